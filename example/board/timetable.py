"""What the data says about the flights of 13 June 2013: no Django, no clock."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from pathlib import Path

DATA = Path(__file__).parent / "data"
ORIGINS = ("EWR", "JFK", "LGA")
NEW_YORK = timezone(timedelta(hours=-4), "EDT")
DAY = datetime(2013, 6, 13, tzinfo=NEW_YORK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An airport."""

    code: str
    """IATA code: ``"JFK"``."""
    city: str
    """The name that a board shows."""
    zone: timezone
    """Its time on that day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One flight as it happened; times are aware."""

    number: str
    """Airline code and number: ``"B6112"``, unique on that day."""
    airline: str
    """The airline's name."""
    tail: str
    """The aircraft's registration, empty where the data has none."""
    origin: str
    destination: str
    scheduled: datetime
    departed: datetime | None
    """When it left; ``None``: cancelled."""
    landed: datetime | None
    """When it arrived; ``None``: cancelled, or never known."""


def places() -> dict[str, Place]:
    """Read the airports.

    Returns:
        The airports by code.
    """
    return {
        row["code"]: Place(code=row["code"], city=row["city"], zone=timezone(timedelta(hours=int(row["utc_offset"]))))
        for row in _rows("airports.csv")
    }


def legs() -> list[Leg]:
    """Read the flights.

    Returns:
        All flights of the day, in the order of their scheduled departure, then number.
    """
    airlines = {row["carrier"]: row["name"] for row in _rows("airlines.csv")}
    known = places()
    flights = (_leg(row, airlines, known) for row in _rows("flights-2013-06-13.csv"))
    return sorted(flights, key=lambda leg: (leg.scheduled, leg.number))


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _leg(row: dict[str, str], airlines: dict[str, str], known: dict[str, Place]) -> Leg:
    scheduled = datetime.combine(DAY, _clock(row["sched_dep_time"]), NEW_YORK)
    departed = landed = None
    if row["dep_time"] != "NA":
        departed = scheduled + timedelta(minutes=int(row["dep_delay"]))
    if departed and row["arr_time"] != "NA":
        landed = _next(_clock(row["arr_time"]), departed, known[row["dest"]].zone)
    return Leg(
        number=f"{row['carrier']}{row['flight']}",
        airline=airlines[row["carrier"]],
        tail="" if row["tailnum"] == "NA" else row["tailnum"],
        origin=row["origin"],
        destination=row["dest"],
        scheduled=scheduled,
        departed=departed,
        landed=landed,
    )


def _clock(text: str) -> time:
    # The data writes midnight as 2400.
    return time(int(text) // 100 % 24, int(text) % 100)


def _next(clock: time, after: datetime, zone: timezone) -> datetime:
    """The first moment after another at which a zone's clocks show a time."""
    moment = datetime.combine(after.astimezone(zone), clock, zone)
    return moment if moment > after else moment + timedelta(days=1)
