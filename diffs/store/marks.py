"""Where shards stood when a change was captured.

A diff that carries a higher version of the same row is drawn later, and so appended later: it stands above the clock
that the shard had when this one was captured. The clock that a process has last seen serves, as it was no higher.
"""

from __future__ import annotations

from collections.abc import Collection

from diffs.cursor import Cursor

UNKNOWN = Cursor("-", 0)
"""A shard that this process knows nothing of."""


class Marks:
    """The clocks that this process has seen, by shard."""

    def __init__(self) -> None:
        self._seen: dict[str, Cursor] = {}

    def __bool__(self) -> bool:
        return bool(self._seen)

    def of(self, shard: str) -> Cursor:
        """A shard's epoch and clock as they were seen last."""
        return self._seen.get(shard, UNKNOWN)

    def lacks(self, shard: str) -> bool:
        """Whether a shard's mark isn't known, although others are: it had no data."""
        return shard not in self._seen

    def note(self, shard: str, mark: Cursor) -> None:
        """Take in what the server said."""
        self._seen[shard] = mark

    def clear(self) -> None:
        """Forget everything, as after the server was emptied by somebody who knows that no diff is on its way."""
        self._seen.clear()

    @staticmethod
    def lowest(marks: Collection[Cursor | None]) -> Cursor | None:
        """One for several diffs: what any of them may not take for certain, none does."""
        if len(marks) == 1:
            return next(iter(marks))
        known = [mark for mark in marks if mark is not None]
        if len({mark.epoch for mark in known}) == 1 and len(known) == len(marks):
            return min(known)
        return UNKNOWN if known else None
