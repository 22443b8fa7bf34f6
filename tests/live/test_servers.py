"""Streams and long polls by the servers that sites use: each in a process of its own, asked over TCP."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest

import diffs
from diffs.codec import Encoder
from tests.endpoint.feeds import Feed
from tests.needs import missing
from tests.servers import RedisServer
from tests.store.processes import wait_for

SITE = "tests.live.served:application"
STREAM = {"accept": "text/event-stream"}
NOTICE = "/diffs/testapp.notice/1/"
# What the servers are told so that they end soon though streams are open.
COMMANDS: dict[str, Callable[[int], list[str]]] = {
    "uvicorn": lambda port: ["uvicorn", SITE, "--port", str(port), "--timeout-graceful-shutdown", "1"],
    "granian": lambda port: [
        "granian",
        "--interface",
        "asgi",
        SITE,
        "--port",
        str(port),
        "--workers-kill-timeout",
        "1",
    ],
    "hypercorn": lambda port: ["hypercorn", SITE, "--bind", f"127.0.0.1:{port}", "--graceful-timeout", "1"],
}
SETTINGS = {"heartbeat": 0.1, "stream_age": 2}


class Served:
    """The site in a process of its own."""

    def __init__(self, kind: str, redis_server: RedisServer, log: IO[bytes]) -> None:
        self.kind = kind
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        environment = {
            **os.environ,
            "DIFFS_TEST_REDIS_SOCKET": str(redis_server.socket),
            "DIFFS_TEST_SETTINGS": json.dumps(SETTINGS),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PYTHONPATH": str(Path(diffs.__file__).parent.parent),
        }
        command = [sys.executable, "-m", *COMMANDS[kind](self.port)]
        self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20)
        wait_for(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/listeners").status_code == 200
        return False

    @property
    def listeners(self) -> int:
        told = self.client.get("/listeners").json()
        assert told["woken"] <= told["listeners"]
        return int(told["listeners"])

    @property
    def kilobytes(self) -> int:
        return int(self.client.get("/listeners").json()["kilobytes"])

    def connect(self, path: str = NOTICE) -> socket.socket:
        """A stream that has begun, over a connection that isn't read on."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode())
        received = b""
        while b"\nid: " not in received:
            received += connection.recv(1000)
        return connection

    def stop(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module", params=COMMANDS)
def served(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[Served]:
    importlib.util.find_spec(request.param) or missing(f"{request.param} isn't installed.")
    with tempfile.TemporaryFile() as log:
        site = Served(request.param, redis_server, log)
        yield site
        site.stop()
        log.seek(0)
        said = log.read().decode()
    # What Hypercorn says where it cancels what it reads from is its own.
    assert request.param == "hypercorn" or "Traceback" not in said, said


def events(response: httpx.Response) -> Iterator[dict[str, str]]:
    """The blocks of a stream, as they arrive."""
    rest = ""
    for text in response.iter_text():
        *blocks, rest = (rest + text).split("\n\n")
        for block in blocks:
            yield {
                name: value.removeprefix(" ") for name, _, value in (line.partition(":") for line in block.split("\n"))
            }


def test_stream_sends_what_is_there_and_what_comes_and_goes_on_behind_an_id(served: Served, notices: Feed) -> None:
    first = notices.append()
    with served.client.stream("GET", NOTICE, headers=STREAM) as response:
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")
        stream = events(response)
        assert "retry" in next(stream)
        assert json.loads(next(stream)["data"]) == first
        at_first = next(stream)
        assert list(at_first) == ["id"]
        second = notices.append()
        assert json.loads(next(block for block in stream if "data" in block)["data"]) == second
    wait_for(lambda: served.listeners == 0)
    with served.client.stream("GET", NOTICE, headers={**STREAM, "last-event-id": at_first["id"]}) as response:
        assert json.loads(next(block for block in events(response) if "data" in block)["data"]) == second
    wait_for(lambda: served.listeners == 0)


def test_long_poll_is_answered_with_what_comes(served: Served, notices: Feed) -> None:
    since = notices.now()
    answers: list[httpx.Response] = []
    path = f"{NOTICE}?since={since}&wait=20"
    threads = [threading.Thread(target=lambda: answers.append(served.client.get(path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: served.listeners == 3)
    diff = notices.append()
    for thread in threads:
        thread.join()

    assert [answer.json()["diffs"] for answer in answers] == [[diff]] * 3
    assert {answer.headers["preference-applied"] for answer in answers} == {"wait=20"}
    wait_for(lambda: served.listeners == 0)


def test_clients_that_hang_up_are_forgotten_however_many_come_and_go(served: Served, notices: Feed) -> None:
    notices.append()
    # Whoever waits with a poll, too.
    with pytest.raises(httpx.ReadTimeout):
        served.client.get(f"{NOTICE}?since=now&wait=20", timeout=0.1)
    sizes = []
    for _ in range(2):
        for _ in range(5):
            for connection in [served.connect() for _ in range(50)]:
                connection.close()
        wait_for(lambda: served.listeners == 0)
        sizes.append(served.kilobytes)

    assert sizes[1] - sizes[0] < 2000


def test_old_streams_end_and_a_client_that_never_reads_is_cut_off(served: Served, notices: Feed) -> None:
    blocks: list[dict[str, str]] = []

    def follow() -> None:
        with served.client.stream("GET", NOTICE + "?since=now", headers=STREAM) as response:
            blocks.extend(events(response))

    with served.connect(NOTICE + "?since=now"):
        follower = threading.Thread(target=follow)
        follower.start()
        wait_for(lambda: blocks)
        # In the end more than any socket holds on the way.
        for number in range(16):
            body = {"number": number, "body": 500_000 * "x"}
            notices.append_member(Encoder("update", 7, number.to_bytes(4, "big"), body, None).own())
            start = f'"number":{number},'
            wait_for(
                lambda start=start: (
                    any(start in block.get("data", "")[:300] for block in blocks) or not follower.is_alive()
                )
            )
        follower.join()
        wait_for(lambda: served.listeners == 0)

    assert (blocks[-1]["event"], json.loads(blocks[-1]["data"])) == ("resume", {"reason": "age"})


def test_server_ends_though_streams_are_open(served: Served, notices: Feed) -> None:
    with served.connect() as first, served.connect() as second:
        served.process.send_signal(signal.SIGTERM)
        served.process.wait(20)
        for connection in (first, second):
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(1000):
                    pass
