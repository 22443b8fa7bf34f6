"""What happens on the board, and when: from the timetable to an ordered list of events. No Django, no clock."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from zlib import crc32

from board.timetable import ORIGINS, Leg

SHOWN_AHEAD = timedelta(hours=3)
BOARDING_TIME = timedelta(minutes=30)
WORTH_ANNOUNCING = timedelta(minutes=15)
CANCELLED_AHEAD = timedelta(hours=1)
CANCELLED_STAYS = timedelta(hours=1)
LANDED_STAYS = timedelta(minutes=40)
LOST_FROM_SIGHT = timedelta(hours=6)
"""How long a flight stays whose landing the data does not know."""

Values = Mapping[str, object]
Rows = Mapping[str, Values]


class Kind(IntEnum):
    """What happens to flights; events of one moment happen in this order."""

    TICK = 0
    """The airports' clocks move on."""
    SHOW = 1
    """Flights come onto the board."""
    CANCEL = 2
    DELAY = 3
    """The estimates move."""
    BOARD = 4
    DEPART = 5
    LAND = 6
    REMOVE = 7
    """Flights leave the board."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happens to some rows at one moment."""

    at: datetime
    kind: Kind
    rows: Rows
    """The new values by primary key: of airports for a tick, else of flights."""


def plan(legs: Iterable[Leg]) -> list[Event]:
    """Work out the day.

    What happens to several flights in the same minute is one event. The day ends with the last departure: who is
    still in the air then stays on the board.

    Args:
        legs: The timetable.

    Returns:
        The events in order.
    """
    grouped: defaultdict[tuple[datetime, Kind], dict[str, Values]] = defaultdict(dict)
    for leg in legs:
        for at, kind, values in _life(leg):
            grouped[at, kind][leg.number] = values
    events = [Event(at, kind, rows) for (at, kind), rows in sorted(grouped.items(), key=lambda item: item[0])]
    end = max(event.at for event in events if event.kind is Kind.DEPART)
    return [event for event in events if event.at <= end]


def with_ticks(events: list[Event], every: timedelta) -> list[Event]:
    """Add the moments at which the airports' clocks move on.

    Args:
        events: A plan.
        every: How far apart they are, in the day's time.

    Returns:
        A plan with one tick after another from the first event to the last.
    """
    at, end = events[0].at, events[-1].at
    ticks = []
    while at <= end:
        ticks.append(Event(at, Kind.TICK, {code: {"local_time": at} for code in ORIGINS}))
        at += every
    return sorted([*events, *ticks], key=lambda event: (event.at, event.kind))


def share(events: Iterable[Event], number: int, of: int) -> list[Event]:
    """Pick what one of several writers does: every row belongs to exactly one of them.

    Args:
        events: A plan.
        number: Which writer, counted from 1.
        of: How many there are.

    Returns:
        The events with this writer's rows only, without those that are left empty.
    """
    own = (
        replace(event, rows={pk: row for pk, row in event.rows.items() if crc32(pk.encode()) % of == number - 1})
        for event in events
    )
    return [event for event in own if event.rows]


def outcome(events: Iterable[Event]) -> dict[str, dict[str, object]]:
    """Say which rows there are after some events.

    Args:
        events: The beginning of a plan, or a whole one.

    Returns:
        The values by primary key.
    """
    rows: dict[str, dict[str, object]] = {}
    for event in events:
        for pk, values in event.rows.items():
            if event.kind is Kind.REMOVE:
                del rows[pk]
            else:
                rows.setdefault(pk, {}).update(values)
    return rows


def _life(leg: Leg) -> Iterator[tuple[datetime, Kind, Values]]:
    """What happens to one flight, in order."""
    timetable = {
        "origin": leg.origin,
        "destination": leg.destination,
        "airline": leg.airline,
        "tail": leg.tail,
        "scheduled": leg.scheduled,
        "expected": leg.scheduled,
        "status": "scheduled",
        "landed_at": None,
    }
    yield _floor(leg.scheduled - SHOWN_AHEAD, 30), Kind.SHOW, timetable
    if leg.departed is None:
        yield _floor(leg.scheduled - CANCELLED_AHEAD, 30), Kind.CANCEL, {"status": "cancelled"}
        yield _ceil(leg.scheduled + CANCELLED_STAYS, 10), Kind.REMOVE, {}
        return
    estimate = leg.scheduled
    for at, estimate in _estimates(leg.scheduled, leg.departed):
        yield at, Kind.DELAY, {"status": "delayed", "expected": estimate}
    yield min(estimate, leg.departed) - BOARDING_TIME, Kind.BOARD, {"status": "boarding"}
    yield leg.departed, Kind.DEPART, {"status": "departed", "expected": leg.departed}
    if leg.landed is None:
        yield _ceil(leg.departed + LOST_FROM_SIGHT, 10), Kind.REMOVE, {}
        return
    yield leg.landed, Kind.LAND, {"status": "landed", "landed_at": leg.landed}
    yield _ceil(leg.landed + LANDED_STAYS, 10), Kind.REMOVE, {}


def _estimates(scheduled: datetime, departed: datetime) -> Iterator[tuple[datetime, datetime]]:
    """How a delay becomes known: every half hour of it is admitted shortly before the last estimate is due.

    Yields:
        When a new estimate is announced, and the estimate; the last one is the truth, before boarding begins.
    """
    delay = departed - scheduled
    if delay < WORTH_ANNOUNCING:
        return
    steps = 1 + delay // timedelta(minutes=30)
    estimate = scheduled
    for step in range(1, steps + 1):
        announced = _floor(estimate - timedelta(minutes=20 if step > 1 else 40), 5)
        estimate = departed if step == steps else _floor(scheduled + delay * step / steps, 5)
        yield announced, estimate


def _floor(at: datetime, minutes: int) -> datetime:
    return at - timedelta(minutes=at.minute % minutes, seconds=at.second, microseconds=at.microsecond)


def _ceil(at: datetime, minutes: int) -> datetime:
    return _floor(at + timedelta(minutes=minutes - 1), minutes)
