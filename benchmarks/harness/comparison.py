"""Two results side by side."""

from __future__ import annotations

from collections.abc import Sequence

from .row import Row
from .table import Table, number

HEAD = ("measure", "old", "new", "new / old", "")
DIFFERS = "differs"


def compare(old: Sequence[Row], new: Sequence[Row]) -> Table:
    """Each row of either result, with what it was and is.

    Returns:
        A table; its last column says where the medians lie further apart than the quartiles of either.
    """
    before, after = ({row.name: row for row in rows} for rows in (old, new))
    return [HEAD, *(_line(name, before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after]))]


def differs(old: Row, new: Row) -> bool:
    """Whether two medians lie further apart than the quartiles of either do."""
    if old.value is None or new.value is None:
        return False
    return abs(new.value - old.value) > max(_spread(old), _spread(new))


def _line(name: str, old: Row | None, new: Row | None) -> tuple[str, ...]:
    ratio = mark = ""
    if old and new and old.value and new.value is not None:
        ratio = number(new.value / old.value)
        mark = DIFFERS if differs(old, new) else ""
    return name, _value(old), _value(new), ratio, mark


def _value(row: Row | None) -> str:
    if row is None:
        return "not there"
    if row.value is None:
        return "error" if row.error else "not measured"
    return number(row.value)


def _spread(row: Row) -> float:
    return 0.0 if row.low is None or row.high is None else row.high - row.low
