"""The example's day of flights, replayed without waiting."""

from __future__ import annotations

from datetime import timedelta

from board.models import Airport, Flight
from board.planner import plan, with_ticks
from board.replay import apply, load_airports
from board.timetable import legs

import diffs

from . import tables
from .timing import stopwatch

TICK = timedelta(minutes=5)


def prepare(*, recorded: bool) -> None:
    """Bring the airports in.

    Args:
        recorded: leave the models registered, as the example has them.
    """
    if not recorded:
        for model in (Airport, Flight):
            diffs.unregister(model)
    load_airports()


def replay() -> dict[str, float]:
    """Let the day happen; microseconds for each row that is written."""
    events = with_ticks(plan(legs()), TICK)
    Flight.objects.all()._raw_delete("default")
    tables.settle()
    with stopwatch() as watch:
        for event in events:
            apply(event)
    rows = sum(len(event.rows) for event in events)
    return {**watch.per(rows), "rows": rows, "seconds": watch.nanoseconds / 1e9}
