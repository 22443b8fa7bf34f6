"""Commits whose diffs are held back between the database and Redis, to arrive in another order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from diffs.capture import late, sending
from diffs.cursor import Cursor
from diffs.store import Entry, Outcome


class Held:
    """What was committed in a ``with`` block reaches Redis with `let_go`, as another process's would meanwhile."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._hand_over = sending.hand_over
        self._waiting: list[tuple[Any, ...]] = []
        self._holds = False
        patch.setattr(sending, "hand_over", self._hand)

    def __enter__(self) -> None:
        self._holds = True

    def __exit__(self, *_: object) -> None:
        self._holds = False

    def _hand(self, entries: list[Entry], floors: Any, receipt: Any) -> Outcome | None:
        if self._holds:
            self._waiting.append((entries, floors, receipt))
            return None
        return self._hand_over(entries, floors, receipt)

    @property
    def entries(self) -> list[Entry]:
        """The diffs that are held back."""
        return [entry for entries, _, _ in self._waiting for entry in entries]

    def let_go(self, mark: Cursor | None = None) -> dict[str, int]:
        """Send what was held back, the first commit first; returns how many came late, and what became of them.

        Args:
            mark: where the process believed the shards to stand; as it was unless given.
        """
        before = late.counts.copy()
        waiting, self._waiting = self._waiting, []
        for entries, floors, receipt in waiting:
            sent = [entry._replace(since=mark) for entry in entries] if mark else entries
            outcome = self._hand_over(sent, floors, receipt)
            if outcome is not None:
                receipt.settle([(receipt, outcome)])
        return dict(late.counts - before)


Hold = Callable[[], Held]
