"""Do to the database what a plan says, through the same calls that any Django project makes."""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import Model

from board.models import Airport, Flight
from board.planner import Event, Kind, Rows, outcome
from board.timetable import places


def apply(event: Event, using: str = "default") -> None:
    """Let an event happen. Flights that somebody removed meanwhile are left alone.

    Args:
        event: What happens.
        using: The database's alias.
    """
    with transaction.atomic(using=using):
        _HANDLERS[event.kind](event.rows, using)


def begin(events: Iterable[Event], at: datetime, using: str = "default") -> None:
    """Put the flights of a plan where they stand at a moment; other flights stay as they are.

    Args:
        events: The whole plan, or a writer's share of it.
        at: The moment.
        using: The database's alias.
    """
    events = [event for event in events if event.kind is not Kind.TICK]
    numbers = {number for event in events for number in event.rows}
    with transaction.atomic(using=using):
        _remove(dict.fromkeys(numbers, {}), using)
        _show(outcome(event for event in events if event.at <= at), using)


def load_airports(using: str = "default") -> None:
    """Add the airports that are missing.

    Args:
        using: The database's alias.
    """
    airports = Airport.objects.using(using)
    known = set(airports.values_list("code", flat=True))
    missing = [Airport(code=place.code, city=place.city) for place in places().values() if place.code not in known]
    # Several writers may begin at once.
    airports.bulk_create(missing, ignore_conflicts=True)


def _tick(rows: Rows, using: str) -> None:
    _update_at_once(rows, using, Airport)


def _show(rows: Rows, using: str) -> None:
    flights = [
        Flight(
            number=number,
            origin_id=values["origin"],
            destination_id=values["destination"],
            **{name: value for name, value in values.items() if name not in ("origin", "destination")},
        )
        for number, values in rows.items()
    ]
    Flight.objects.using(using).bulk_create(flights)


def _update_at_once(rows: Rows, using: str, model: type[Model] = Flight) -> None:
    """All rows get the same values."""
    values = next(iter(rows.values()))
    model._default_manager.using(using).filter(pk__in=rows).update(**values)


def _update_each(rows: Rows, using: str) -> None:
    """Every row gets its own values, in one statement."""
    flights = _changed(rows, using)
    Flight.objects.using(using).bulk_update(flights, ["status", "expected"])


def _save(rows: Rows, using: str) -> None:
    for flight in _changed(rows, using):
        flight.save(using=using)


def _remove(rows: Rows, using: str) -> None:
    Flight.objects.using(using).filter(number__in=rows).delete()


def _changed(rows: Rows, using: str) -> list[Flight]:
    """The flights that are still there, locked, with their new values set but not written."""
    flights = Flight.objects.using(using).select_for_update().filter(number__in=rows).order_by("number")
    changed = list(flights)
    for flight in changed:
        for name, value in rows[flight.number].items():
            setattr(flight, name, value)
    return changed


_HANDLERS = {
    Kind.TICK: _tick,
    Kind.SHOW: _show,
    Kind.CANCEL: _update_at_once,
    Kind.DELAY: _update_each,
    Kind.BOARD: _update_at_once,
    Kind.DEPART: _save,
    Kind.LAND: _save,
    Kind.REMOVE: _remove,
}
