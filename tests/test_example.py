"""The example: the plan of the day, the commands that replay and show it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

EXAMPLE = Path(__file__).resolve().parent.parent / "example"
sys.path.append(str(EXAMPLE))

from board.clock import SimulatedClock  # noqa: E402
from board.planner import Event, Kind, outcome, plan, share, with_ticks  # noqa: E402
from board.timetable import DAY, NEW_YORK, ORIGINS, Leg, legs, places  # noqa: E402

PATIENCE = 60.0


def at(clock: str, day: int = 13) -> datetime:
    return datetime(2013, 6, day, int(clock[:2]), int(clock[3:]), tzinfo=NEW_YORK)


def leg(**changed: object) -> Leg:
    values = {
        "number": "B6112",
        "airline": "JetBlue Airways",
        "tail": "N292JB",
        "origin": "JFK",
        "destination": "BUF",
        "scheduled": at("12:10"),
        "departed": at("12:10"),
        "landed": at("13:20"),
    }
    return Leg(**{**values, **changed})


def story(only: Leg) -> list[tuple[str, str, dict[str, object]]]:
    """What happens to one flight, up to its departure or the end of its stay; a late flight makes the day long."""
    last = leg(number="UA1", scheduled=at("23:59"), departed=at("23:59"), landed=None)
    return [
        (f"{event.at:%H:%M}", event.kind.name.lower(), dict(event.rows[only.number]))
        for event in plan([only, last])
        if only.number in event.rows and event.kind is not Kind.SHOW
    ]


def test_the_data_gives_the_flights_of_three_airports():
    assert Counter(flight.origin for flight in legs()) == {"EWR": 358, "JFK": 322, "LGA": 309}
    assert sum(flight.departed is None for flight in legs()) == 95


def test_every_flight_has_a_number_of_its_own():
    assert len({flight.number for flight in legs()}) == 989


def test_every_airport_of_the_timetable_is_known():
    used = {flight.origin for flight in legs()} | {flight.destination for flight in legs()}
    assert used == places().keys()


def test_a_flight_that_left_after_midnight_left_on_the_next_day():
    flight = next(flight for flight in legs() if flight.number == "B6112")
    assert (flight.scheduled, flight.departed) == (at("22:55"), at("00:03", day=14))


def test_an_arrival_is_in_the_time_of_its_destination():
    flight = next(flight for flight in legs() if flight.number == "HA51")
    assert flight.destination == "HNL"
    assert timedelta(hours=10) < flight.landed - flight.departed < timedelta(hours=12)


def test_every_flight_takes_as_long_as_flights_do():
    times = [flight.landed - flight.departed for flight in legs() if flight.landed]
    assert timedelta(minutes=30) < min(times) < max(times) < timedelta(hours=12)


def test_a_punctual_flight_boards_departs_lands_and_leaves_the_board():
    assert story(leg()) == [
        ("11:40", "board", {"status": "boarding"}),
        ("12:10", "depart", {"status": "departed", "expected": at("12:10")}),
        ("13:20", "land", {"status": "landed", "landed_at": at("13:20")}),
        ("14:00", "remove", {}),
    ]


def test_a_flight_comes_onto_the_board_three_hours_ahead_with_all_its_values():
    first = plan([leg()])[0]
    assert first == Event(
        at("09:00"),
        Kind.SHOW,
        {
            "B6112": {
                "origin": "JFK",
                "destination": "BUF",
                "airline": "JetBlue Airways",
                "tail": "N292JB",
                "scheduled": at("12:10"),
                "expected": at("12:10"),
                "status": "scheduled",
                "landed_at": None,
            }
        },
    )


def test_an_early_flight_boards_early():
    assert story(leg(departed=at("12:00")))[0] == ("11:30", "board", {"status": "boarding"})


def test_a_delay_is_admitted_in_steps_before_boarding():
    assert story(leg(departed=at("13:20"), landed=at("14:30"))) == [
        ("11:30", "delay", {"status": "delayed", "expected": at("12:30")}),
        ("12:10", "delay", {"status": "delayed", "expected": at("12:55")}),
        ("12:35", "delay", {"status": "delayed", "expected": at("13:20")}),
        ("12:50", "board", {"status": "boarding"}),
        ("13:20", "depart", {"status": "departed", "expected": at("13:20")}),
        ("14:30", "land", {"status": "landed", "landed_at": at("14:30")}),
        ("15:10", "remove", {}),
    ]


def test_a_few_minutes_late_are_not_announced():
    assert [kind for _, kind, _ in story(leg(departed=at("12:24")))] == ["board", "depart", "land", "remove"]


def test_a_cancelled_flight_stays_for_a_while():
    assert story(leg(departed=None, landed=None)) == [
        ("11:00", "cancel", {"status": "cancelled"}),
        ("13:10", "remove", {}),
    ]


def test_a_flight_whose_landing_is_unknown_leaves_the_board_some_day():
    assert story(leg(landed=None))[-1] == ("18:10", "remove", {})


def test_the_plan_is_in_order_and_ends_with_the_last_departure():
    events = plan(legs())
    assert [(event.at, event.kind) for event in events] == sorted({(event.at, event.kind) for event in events})
    assert events[-1].at == max(flight.departed for flight in legs() if flight.departed)


def test_the_lives_of_all_flights_make_sense():
    follows = {
        None: {Kind.SHOW},
        Kind.SHOW: {Kind.CANCEL, Kind.DELAY, Kind.BOARD},
        Kind.CANCEL: {Kind.REMOVE},
        Kind.DELAY: {Kind.DELAY, Kind.BOARD},
        Kind.BOARD: {Kind.DEPART},
        Kind.DEPART: {Kind.LAND, Kind.REMOVE},
        Kind.LAND: {Kind.REMOVE},
        Kind.REMOVE: set(),
    }
    last: dict[str, Kind] = {}
    for event in plan(legs()):
        for number in event.rows:
            assert event.kind in follows[last.get(number)], number
            last[number] = event.kind
    assert len(last) == 989


def test_what_is_written_at_once_is_the_same_for_all_rows():
    for event in with_ticks(plan(legs()), timedelta(minutes=5)):
        if event.kind in (Kind.TICK, Kind.CANCEL, Kind.BOARD):
            first, *others = event.rows.values()
            assert all(row == first for row in others)


def test_late_in_the_afternoon_the_storm_shows():
    rows = outcome(event for event in plan(legs()) if event.at <= at("17:00"))
    assert Counter(row["status"] for row in rows.values()) == {
        "departed": 180,
        "scheduled": 161,
        "delayed": 72,
        "boarding": 35,
        "landed": 30,
        "cancelled": 17,
    }


def test_writers_share_the_plan_so_that_each_row_belongs_to_one():
    whole = with_ticks(plan(legs()), timedelta(minutes=5))
    shares = [share(whole, number, of=3) for number in (1, 2, 3)]
    owned = [{pk for event in part for pk in event.rows} for part in shares]
    assert all(owned)
    assert sum(map(len, owned)) == len(set.union(*owned)) == 989 + 3
    together: dict[tuple[datetime, Kind], dict[str, object]] = {}
    for event in sorted((event for part in shares for event in part), key=lambda event: (event.at, event.kind)):
        together.setdefault((event.at, event.kind), {}).update(event.rows)
    assert together == {(event.at, event.kind): dict(event.rows) for event in whole}


def test_the_clocks_of_the_three_airports_tick_through_the_day():
    ticks = [event for event in with_ticks(plan([leg()]), timedelta(hours=1)) if event.kind is Kind.TICK]
    assert ticks == [
        Event(at(hour), Kind.TICK, {code: {"local_time": at(hour)} for code in ORIGINS})
        for hour in ("09:00", "10:00", "11:00", "12:00")
    ]


def simulated(speed: float) -> tuple[SimulatedClock, list[float]]:
    """A clock whose seconds pass only where it sleeps, and how long it slept."""
    slept: list[float] = []
    return SimulatedClock(DAY, speed, monotonic=lambda: sum(slept), sleep=slept.append), slept


def test_the_simulated_clock_runs_as_fast_as_it_is_told():
    clock, slept = simulated(speed=60)
    clock.wait_until(DAY + timedelta(hours=1))
    clock.wait_until(DAY + timedelta(hours=1, minutes=30))
    assert slept == [60.0, 30.0]


def test_the_simulated_clock_catches_up_where_it_is_late():
    clock, slept = simulated(speed=60)
    clock.wait_until(DAY + timedelta(minutes=10))
    clock.wait_until(DAY + timedelta(minutes=5))
    assert slept == [10.0, 0.0]


def test_at_no_speed_nobody_waits():
    clock, slept = simulated(speed=0)
    clock.wait_until(DAY + timedelta(hours=1))
    assert slept == []


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """The environment of a run of the example with a directory of its own, of which nothing may be left running."""
    # A unix socket's path must be short, so it is not below pytest's own folder.
    with tempfile.TemporaryDirectory(prefix="board-") as folder:
        yield {
            **os.environ,
            "BOARD_STATE_DIR": folder,
            "DJANGO_SETTINGS_MODULE": "departures.settings",
            "PYTHONPATH": str(EXAMPLE.parent),
            "TMPDIR": folder,
        }
        wait_for(lambda: not Path(folder, "server").exists())


def manage(environment: dict[str, str], *arguments: str) -> str:
    """Run a command of the example and get what it prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "manage.py"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "It takes too long."
        time.sleep(0.02)


def flights(environment: dict[str, str]) -> dict[str, dict[str, object]]:
    return {row["pk"]: row["fields"] for row in json.loads(manage(environment, "dumpdata", "board.flight"))}


def planned(until: datetime | None = None) -> dict[str, dict[str, object]]:
    """What the database must hold by the plan, as Django dumps it."""
    rows = outcome(event for event in plan(legs()) if until is None or event.at <= until)
    return {
        number: {
            name: f"{value.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else value
            for name, value in values.items()
        }
        for number, values in rows.items()
    }


def test_a_replay_leaves_what_the_plan_says(environment: dict[str, str]):
    manage(environment, "migrate", "--verbosity", "0")
    manage(environment, "replay", "--speed", "0")
    assert flights(environment) == planned()


def test_several_writers_together_leave_what_the_plan_says(environment: dict[str, str]):
    manage(environment, "migrate", "--verbosity", "0")
    manage(environment, "replay", "--speed", "0", "--from", "20:00", "--writers", "3")
    assert flights(environment) == planned()


def test_a_replay_can_begin_and_stop_in_the_middle_of_the_day(environment: dict[str, str]):
    manage(environment, "migrate", "--verbosity", "0")
    manage(environment, "replay", "--speed", "0", "--from", "16:00", "--until", "17:00")
    assert flights(environment) == planned(until=at("17:00"))


def test_a_replay_leaves_flights_of_others_alone(environment: dict[str, str]):
    manage(environment, "migrate", "--verbosity", "0")
    manage(environment, "replay", "--speed", "0", "--until", "05:00")
    manage(environment, "shell", "--no-imports", "-c", "from board.models import Flight; " + ZEPPELIN)
    manage(environment, "replay", "--speed", "0", "--until", "05:00")
    assert flights(environment).keys() - planned(until=at("05:00")).keys() == {"LZ129"}


ZEPPELIN = """Flight.objects.create(
    number="LZ129", airline="Zeppelin", origin_id="EWR", destination_id="BOS",
    scheduled="2013-06-13T12:00Z", expected="2013-06-13T12:00Z",
)"""


def test_the_models_have_all_their_migrations(environment: dict[str, str]):
    assert manage(environment, "makemigrations", "--check", "--dry-run") == "No changes detected\n"


@pytest.mark.parametrize(
    ("argument", "advice"),
    [
        ("--from=25:00", "'25:00' is no time of the day"),
        ("--speed=-1", "The day can't run backwards"),
        ("--share=4/3", "'4/3' is no share"),
    ],
)
def test_a_replay_says_what_is_wrong_with_an_argument(environment: dict[str, str], argument: str, advice: str):
    command = [sys.executable, str(EXAMPLE / "manage.py"), "replay", argument]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode != 0
    assert advice in done.stderr


@contextmanager
def demo(environment: dict[str, str], *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the demo until it has introduced itself: its process, and what it said."""
    command = [sys.executable, str(EXAMPLE / "manage.py"), "demo", *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        yield process, said
    finally:
        process.terminate()
        process.wait(PATIENCE)
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_shows_everything_and_leaves_nothing(environment: dict[str, str], number: signal.Signals):
    with demo(environment, "--port", "0", "--from", "17:00") as (process, said):
        site = re.search(r"The board +(http://[^/]+)/", said)[1]
        assert urlopen(f"{site}/", timeout=PATIENCE).status == 200
        *pages, (*headers, stream) = curls(said)
        oldest, since, several, waited = (json.load(urlopen(*url, timeout=PATIENCE)) for url in pages)
        assert {diff["action"] for diff in oldest["diffs"]} == {"create"}
        assert since.keys() == {"cursor", "more", "diffs"}
        assert [page["feed"] for page in several["feeds"]] == ["board.airport:EWR", "board.airport:JFK"]
        assert waited.keys() == {"cursor", "more", "diffs"}
        assert headers == ["-N", "-H", "Accept: text/event-stream"]
        with urlopen(Request(stream, headers={"Accept": "text/event-stream"}), timeout=PATIENCE) as events:
            assert next(line for line in events if line.startswith(b"data: "))
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
    assert os.listdir(environment["TMPDIR"]) == []
    with pytest.raises(URLError):
        urlopen(f"{site}/", timeout=PATIENCE)


def test_the_demo_takes_a_free_port_where_its_own_is_taken(environment: dict[str, str]):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with demo(environment, "--port", str(port)) as (_, said):
            assert f"127.0.0.1:{port}" not in said
            assert urlopen(*curls(said)[0], timeout=PATIENCE).status == 200


def curls(said: str) -> list[list[str]]:
    """What the demo's lines with curl give to it."""
    commands = [shlex.split(line) for line in said.splitlines() if line.strip().startswith("curl ")]
    assert [command[0] for command in commands] == ["curl"] * 5
    return [command[1:] for command in commands]
