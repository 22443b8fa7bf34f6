"""Rows that diffs keep in step."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from diffs.diff import CREATE, DELETE, Diff

MOST = 10_000
"""Of how many objects the versions are remembered: what comes late comes soon after."""

Key = tuple[str, Any]
"""The model, and the primary key; a tuple where that is composite."""


@dataclasses.dataclass(slots=True)
class _Story:
    """What diffs told of an object."""

    gone: int = -1
    """The version with which it was deleted."""
    fields: dict[str, tuple[int, Any]] = dataclasses.field(default_factory=dict)
    """The newest value of each field, behind its version; `_OMITTED` where no diff holds it."""


_OMITTED = object()


class Rows(Mapping[Key, Any]):
    """Rows by model and primary key: ``rows["polls.question", 42]``, whole or not there.

    Put in what was read behind the cursor from which the feeds are followed, then apply what comes. Of diffs that come
    in another order than that of the commits, each field keeps the value with the highest version. A row of which a
    value was too large for a diff is no longer there, but among `stale`, until it is put in anew.

    Args:
        most: of how many objects the versions are remembered, those that were told of last.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._rows: dict[Key, Any] = {}
        self._stories: OrderedDict[Key, _Story] = OrderedDict()
        self._stale: dict[Key, None] = {}

    @property
    def stale(self) -> tuple[Key, ...]:
        """Rows of which a changed value was too large for a diff: fetch each before the next diff is applied."""
        return tuple(self._stale)

    def put(self, model: str, pk: Any, data: Any) -> None:
        """Put in a row that was read, as a snapshot gives it."""
        key = _key(model, pk)
        self._stale.pop(key, None)
        self._rows[key] = dict(data) if isinstance(data, Mapping) else data

    def discard(self, model: str, pk: Any) -> None:
        """Take out a row that was looked for, and isn't there or not to be seen."""
        key = _key(model, pk)
        self._stale.pop(key, None)
        self._rows.pop(key, None)

    def apply(self, diff: Diff) -> bool:
        """Do what a diff says; a change of a row that isn't there can't make it.

        Returns:
            Whether a row may have changed.
        """
        key = _key(diff.model, diff.pk)
        story = self._story(key)
        if diff.version < story.gone:
            return False
        if diff.action == DELETE:
            return self._delete(key, story, diff.version)
        if not isinstance(diff.data, Mapping):
            # What a model's hook makes of it; nothing is known of its parts.
            self._stale.pop(key, None)
            self._rows[key] = diff.data
            return True
        data = self._newest(story, diff)
        if key not in self._rows and diff.action != CREATE:
            return False
        if data is None:
            self._stale[key] = None
            self._rows.pop(key, None)
            return True
        self._stale.pop(key, None)
        before = self._rows.get(key)
        self._rows[key] = {**before, **data} if isinstance(before, Mapping) else data
        return True

    def clear(self) -> None:
        """Forget everything, to begin anew after a `Reset`."""
        self._rows.clear()
        self._stale.clear()
        self._stories.clear()

    def __getitem__(self, key: Key) -> Any:
        return self._rows[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def _story(self, key: Key) -> _Story:
        story = self._stories.setdefault(key, _Story())
        self._stories.move_to_end(key)
        if len(self._stories) > self._most:
            self._stories.popitem(last=False)
        return story

    def _delete(self, key: Key, story: _Story, version: int) -> bool:
        if any(version < newest for newest, _ in story.fields.values()):
            return False  # it was made again since
        story.gone = version
        story.fields.clear()
        was_stale = key in self._stale
        self._stale.pop(key, None)
        return self._rows.pop(key, None) is not None or was_stale

    def _newest(self, story: _Story, diff: Diff) -> dict[str, Any] | None:
        """What becomes of the fields that a diff names; ``None`` where one of its values is to be fetched."""
        named = {**diff.data, **dict.fromkeys(diff.omitted, _OMITTED)}
        for name, value in named.items():
            if diff.version >= story.fields.get(name, (-1, None))[0]:
                story.fields[name] = diff.version, value
        # A change that came before the creation of its object has its say now.
        found = {name: story.fields[name] for name in named}
        missing = {name for name, (_, value) in found.items() if value is _OMITTED}
        # Where one was omitted later than this diff, the row that is here was fetched since.
        if diff.action == CREATE and missing or any(found[name][0] == diff.version for name in missing):
            return None
        return {name: value for name, (_, value) in found.items() if name not in missing}


def _key(model: str, pk: Any) -> Key:
    return model, tuple(pk) if isinstance(pk, list) else pk
