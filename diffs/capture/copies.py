"""Copies of values that can change in place, to tell later whether they did."""

from __future__ import annotations

import copy
import marshal
import pickle
from collections.abc import Callable
from typing import Any

# Without references between parts, so that equal values have equal bytes.
_MARSHAL_VERSION = 2


class Snapshot:
    """A copy of a value.

    Args:
        copied: what was kept.
        load: makes the value of it.
    """

    __slots__ = ("_copied", "_load")

    def __init__(self, copied: Any, load: Callable[[Any], Any] = marshal.loads) -> None:
        self._copied = copied
        self._load = load

    def __deepcopy__(self, memo: dict[int, Any]) -> Snapshot:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # Another Python's marshal may write otherwise.
        return _snapshot_of_state, (self.value, self._load is marshal.loads)

    @property
    def value(self) -> Any:
        """The value as it was."""
        return self._load(self._copied)

    def is_of(self, value: Any) -> bool:
        """Whether a value is surely the one that was copied, down to the types of its parts."""
        try:
            return self._load is marshal.loads and plain_copy(value) == self._copied
        except ValueError:
            return False


def plain_copy(value: Any) -> bytes:
    """Copy what ``json.loads`` gives; `Snapshot` takes the bytes.

    Raises:
        ValueError: the value has parts of other types.
    """
    return marshal.dumps(value, _MARSHAL_VERSION)


def snapshot_of_json(value: Any) -> Snapshot:
    """Copy a JSON value, which may hold whatever the user's encoder takes."""
    try:
        return Snapshot(plain_copy(value))
    except ValueError:
        return snapshot_of(value)


def snapshot_of(value: Any) -> Snapshot:
    """Copy any value."""
    try:
        return Snapshot(pickle.dumps(value, pickle.HIGHEST_PROTOCOL), pickle.loads)
    except Exception:  # whatever a value raises that doesn't want to be pickled
        return Snapshot(copy.deepcopy(value), copy.deepcopy)


def _snapshot_of_state(value: Any, is_json: bool) -> Snapshot:
    return snapshot_of_json(value) if is_json else snapshot_of(value)
