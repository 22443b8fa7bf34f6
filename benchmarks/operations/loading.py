"""Reading many instances."""

from __future__ import annotations

from . import tables
from .timing import stopwatch


def prepare(*, model: str, rows: int) -> None:
    """Insert what will be read."""
    tables.fill(model=model, rows=rows)


def load(*, model: str, rows: int) -> dict[str, float]:
    """Read all instances; microseconds for each."""
    queryset = tables.model_of(model).objects.all()
    with stopwatch() as watch:
        loaded = list(queryset)
    if len(loaded) != rows:
        raise ValueError(f"There are {len(loaded)} rows.")
    return watch.per(rows)
