"""The example's site as processes of its own, which a test may kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen
from zoneinfo import ZoneInfo

from tests.servers import RedisServer, best_kind

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "example"
HOST = "127.0.0.1"
USER, PASSWORD = "demo", "correct horse"
PATIENCE = 60.0


class Site:
    """The board with a database, a Redis server and a port of its own; `start` and `kill` serve it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="board-"))
        self.redis = RedisServer(best_kind())
        """Its Redis server, which a test may kill and restart, too."""
        self._environment = {
            **os.environ,
            "BOARD_REDIS_SOCKET": str(self.redis.socket),
            "BOARD_STATE_DIR": str(self._folder),
            "BOARD_SECRET_KEY": "only the tests sign with this",
            "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "PYTHONPATH": str(ROOT),
        }
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port: int = probe.getsockname()[1]
        self._server: subprocess.Popen[bytes] | None = None
        self._others: list[subprocess.Popen[bytes]] = []
        self.manage("migrate", "--verbosity", "0")
        self.manage("createsuperuser", "--noinput", "--username", USER, "--email", "")

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"

    def manage(self, *arguments: str) -> str:
        """Run a command to its end.

        Returns:
            What it prints.
        """
        done = subprocess.run(
            _command(*arguments), env=self._environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, statements: str) -> None:
        """Run statements in another process, with the models at hand."""
        self.manage("shell", "--no-imports", "-c", f"from board.models import Airport, Flight\n{statements}")

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command and leave it running."""
        process = subprocess.Popen(_command(*arguments), env=self._environment)
        self._others.append(process)
        return process

    def start(self, *, streams: bool = True) -> None:
        """Serve the site; returns when it answers.

        Args:
            streams: whether by an ASGI server; otherwise it is Django's own.
        """
        wanted = ("serve", "--port", str(self.port)) if streams else ("runserver", "--noreload", f"{HOST}:{self.port}")
        self._server = subprocess.Popen(_command(*wanted), env=self._environment, stdout=subprocess.DEVNULL)
        wait_for(self._answers)

    def kill(self) -> None:
        """End the site's process as a crash would."""
        assert self._server is not None
        self._server.send_signal(signal.SIGKILL)
        self._server.wait(PATIENCE)

    def close(self) -> None:
        """End every process and remove every file."""
        for process in [*self._others, *filter(None, [self._server])]:
            process.kill()
            process.wait(PATIENCE)
        self.redis.stop()
        shutil.rmtree(self._folder)

    def shown(self) -> dict[str, dict[str, str]]:
        """What a board must show by the database: the texts of each flight's row, by its number."""
        dumped: list[dict[str, Any]] = json.loads(self.manage("dumpdata", "board.airport", "board.flight"))
        cities = {row["pk"]: row["fields"]["city"] for row in dumped if row["model"] == "board.airport"}
        flights = {row["pk"]: row["fields"] for row in dumped if row["model"] == "board.flight"}
        return {number: _texts(number, flight, cities) for number, flight in flights.items()}

    def _answers(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, "The site ended."
        try:
            with urlopen(f"{self.url}/flights.json", timeout=PATIENCE) as response:
                return bool(response.status == 200)
        except (URLError, ConnectionError):
            return False


def wait_for(condition: Callable[[], bool], *, every: float = 0.02) -> None:
    """Return when a condition holds; fail when it doesn't within a minute.

    Args:
        condition: asked again and again.
        every: how often, in seconds: what asks a whole page takes the processor's time from it.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "It takes too long."
        time.sleep(every)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, str(EXAMPLE / "manage.py"), *arguments]


def _texts(number: str, flight: dict[str, Any], cities: dict[str, str]) -> dict[str, str]:
    scheduled, expected = _clock(flight["scheduled"]), _clock(flight["expected"])
    remarks = {"scheduled": "", "landed": f"landed {_clock(flight['landed_at'])}"}
    airline = flight["airline"]
    for ending in (" Inc.", " Co.", " Corporation"):
        airline = airline.removesuffix(ending)
    return {
        "origin": flight["origin"],
        "scheduled": scheduled,
        "destination": cities[flight["destination"]],
        "flight": f"{number[:2]} {number[2:]}",
        "airline": airline,
        "expected": "" if expected == scheduled else expected,
        "remark": remarks.get(flight["status"], flight["status"]),
    }


def _clock(moment: str | None) -> str:
    if moment is None:
        return ""
    return f"{datetime.fromisoformat(moment.replace('Z', '+00:00')).astimezone(ZoneInfo('America/New_York')):%H:%M}"
