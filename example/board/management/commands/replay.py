"""Replay the day on the board."""

import re
from argparse import ArgumentParser, ArgumentTypeError
from datetime import datetime, timedelta

from django.core.management.base import BaseCommand

from board.clock import SimulatedClock
from board.planner import Event, plan, share, with_ticks
from board.processes import Processes, interruptible
from board.replay import apply, begin, load_airports
from board.timetable import DAY, legs

SPEED = 130.0
"""From the first departure to the last in about ten minutes."""
FIRST_DEPARTURE = "04:45"
TICK_SECONDS = 2
"""Real seconds between two ticks of the airports' clocks."""


def time_of_day(text: str) -> datetime:
    """A moment of the day, from ``HH:MM``."""
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text)
    if not match:
        raise ArgumentTypeError(f"{text!r} is no time of the day: write it like 17:30.")
    return DAY.replace(hour=int(match[1]), minute=int(match[2]))


def speed(text: str) -> float:
    """A speed, 0 or more."""
    value = float(text)
    if value < 0:
        raise ArgumentTypeError("The day can't run backwards.")
    return value


def share_of(text: str) -> tuple[int, int]:
    """Which writer of how many, from ``2/3``."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ArgumentTypeError(f"{text!r} is no share: write 2/3 for the second of three writers.")
    return int(match[1]), int(match[2])


class Command(BaseCommand):
    """Replay the flights of 13 June 2013: the board changes as it did on that day, faster."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say what the command takes."""
        parser.add_argument(
            "--speed", type=speed, default=SPEED, help="how many times faster than time, 0: at once (%(default)g)"
        )
        parser.add_argument(
            "--from",
            dest="start",
            type=time_of_day,
            default=FIRST_DEPARTURE,
            metavar="HH:MM",
            help="when the day begins (%(default)s)",
        )
        parser.add_argument(
            "--until", type=time_of_day, metavar="HH:MM", help="when to stop (after the last departure)"
        )
        parser.add_argument("--loop", action="store_true", help="begin again at the end of the day")
        parser.add_argument("--database", default="default", help="the database's alias (%(default)s)")
        writers = parser.add_mutually_exclusive_group()
        writers.add_argument("--writers", type=int, default=1, metavar="N", help="share the flights among N processes")
        writers.add_argument(
            "--share", type=share_of, default=(1, 1), metavar="I/N", help="be the I-th of N such processes"
        )

    def handle(self, *args: object, **options: object) -> None:
        """Replay the day, in one process or in several."""
        load_airports(options["database"])
        with interruptible():
            if options["writers"] > 1:
                self._delegate(options)
            else:
                self._replay(options)

    def _replay(self, options: dict) -> None:
        start, until, speed, database = (options[name] for name in ("start", "until", "speed", "database"))
        whole = with_ticks(plan(legs()), timedelta(minutes=max(1, round(speed * TICK_SECONDS / 60))))
        events = share(whole, *options["share"])
        while True:
            begin(events, start, database)
            clock = SimulatedClock(start, speed)
            for event in events:
                if start < event.at and (until is None or event.at <= until):
                    clock.wait_until(event.at)
                    apply(event, database)
                    self._tell(event, options["verbosity"])
            if not options["loop"]:
                return

    def _tell(self, event: Event, verbosity: int) -> None:
        if verbosity > 1:
            self.stdout.write(f"{event.at:%H:%M} {event.kind.name.lower():7} {' '.join(event.rows)}")

    def _delegate(self, options: dict) -> None:
        arguments = [
            *("replay", "--speed", str(options["speed"]), "--from", f"{options['start']:%H:%M}"),
            *("--database", options["database"], "--verbosity", str(options["verbosity"])),
            *(["--until", f"{options['until']:%H:%M}"] if options["until"] else []),
            *(["--loop"] if options["loop"] else []),
        ]
        with Processes() as processes:
            for number in range(1, options["writers"] + 1):
                processes.start(*arguments, "--share", f"{number}/{options['writers']}")
            processes.wait()
