"""Show it all: the embedded server, a database, the replay and the site."""

import json
import secrets
import socket
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from django.core.management.base import BaseCommand, CommandError
from django.core.management.utils import get_random_secret_key

from board.management.commands.replay import FIRST_DEPARTURE, SPEED, speed, time_of_day
from board.management.commands.serve import HOST
from board.processes import Processes, interruptible

USER = "demo"
PATIENCE = 30.0
"""Seconds that the site has for its first answer, and the embedded server for its end."""


class Command(BaseCommand):
    """Show the departures board live, on a database of its own that is gone afterwards."""

    help = __doc__
    # The processes that it starts check the project, each before it begins.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Say what the command takes."""
        parser.add_argument(
            "--port", type=int, default=8000, help="of the site; a free one where it is taken (%(default)s)"
        )
        parser.add_argument("--speed", type=speed, default=SPEED, help="how many times faster than time (%(default)g)")
        parser.add_argument(
            "--from",
            dest="start",
            type=time_of_day,
            default=FIRST_DEPARTURE,
            metavar="HH:MM",
            help="when the day begins (%(default)s)",
        )

    def handle(self, *args: object, **options: object) -> None:
        """Start everything, say where it is, and clean up at the end."""
        password = secrets.token_urlsafe(9)
        with interruptible(), state_directory() as directory:
            environment = {
                "BOARD_STATE_DIR": directory,
                "BOARD_SECRET_KEY": get_random_secret_key(),
                "DJANGO_SUPERUSER_PASSWORD": password,
            }
            with Processes(environment) as processes:
                self._run(processes, password, options)

    def _run(self, processes: Processes, password: str, options: dict) -> None:
        self.stdout.write("Setting up ...")
        processes.run("migrate", "--verbosity", "0")
        processes.run("createsuperuser", "--noinput", "--username", USER, "--email", "", quiet=True)
        port = free_port(options["port"])
        site = f"http://{HOST}:{port}"
        if find_spec("uvicorn"):
            processes.start("serve", "--port", str(port))
        else:
            processes.start("runserver", "--noreload", f"{HOST}:{port}", quiet=True)
        replay = ("--speed", str(options["speed"]), "--from", f"{options['start']:%H:%M}")
        processes.start("replay", "--loop", *replay)
        cursor = first_cursor(processes, site)
        self.stdout.write(INTRODUCTION.format(site=site, user=USER, password=password, cursor=cursor))
        self.stdout.flush()
        processes.wait()


INTRODUCTION = """
  The board     {site}/
  The admin     {site}/admin/   user: {user}   password: {password}
                Edit a flight there and watch it on the board.

  What the page pulls, by hand:

    curl '{site}/diffs/board.airport/JFK/?limit=3'
    curl '{site}/diffs/board.airport/JFK/?since={cursor}'
    curl '{site}/diffs/?feed=now@board.airport:EWR&feed={cursor}@board.airport:JFK'
    curl '{site}/diffs/board.airport/JFK/?since=now&wait=10'
    curl -N -H 'Accept: text/event-stream' '{site}/diffs/board.airport/JFK/?since=now'

  The day takes about ten minutes at the usual speed; --from 17:00 begins in the storm.
  Ctrl-C ends everything and leaves nothing behind.
"""


@contextmanager
def state_directory() -> Iterator[str]:
    """Make a directory for all files of a run, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="board-") as directory:
        try:
            yield directory
        finally:
            # The embedded server notices by itself that nobody needs it, and then removes what it wrote.
            deadline = time.monotonic() + PATIENCE
            while Path(directory, "server").exists() and time.monotonic() < deadline:
                time.sleep(0.05)


def free_port(wanted: int) -> int:
    """Find a port to listen on.

    Args:
        wanted: Taken where it is free.

    Returns:
        A port that was free a moment ago.
    """
    for port in (wanted, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port))
            except OSError:
                continue
            return listener.getsockname()[1]
    raise CommandError("No port is free.")


def first_cursor(processes: Processes, site: str) -> str:
    """Wait until the site has flights to show.

    Args:
        processes: What must keep running meanwhile.
        site: Its address.

    Returns:
        A cursor of now in the feed of JFK.

    Raises:
        CommandError: a process ended, or it takes too long.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        processes.check()
        with suppress(URLError, ConnectionError), urlopen(f"{site}/flights.json", timeout=PATIENCE) as response:
            board = json.load(response)
            if board["flights"]:
                return next(airport["cursor"] for airport in board["airports"] if airport["code"] == "JFK")
        time.sleep(0.1)
    raise CommandError("The site doesn't answer.")
