"""The benchmarks' listeners and web servers, with few connections."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from benchmarks.harness import listening
from benchmarks.harness.runs import Run
from benchmarks.harness.web import WebServer, WebServerError
from benchmarks.harness.workers import WorkerError
from benchmarks.live.events import Broken
from benchmarks.live.listeners import Listeners
from benchmarks.live.polls import Answer, Polls, whole

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(listening.reason_not_to_listen()), reason=listening.reason_not_to_listen()),
]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n7\r\nid: 1\n\n\r\n"


def event(number: int) -> bytes:
    body = b'id: %d\ndata: {"n":%d}\n\n' % (number, number)
    return b"%x\r\n%b\r\n" % (len(body), body)


class Told:
    """A server that begins a stream with whoever connects, and sends what a test wants."""

    def __init__(self, listening: socket.socket) -> None:
        self.port = listening.getsockname()[1]
        self.clients: list[socket.socket] = []
        self._listening = listening

    def accept(self, count: int) -> None:
        for _ in range(count):
            client, _ = self._listening.accept()
            client.recv(4096)
            client.sendall(HEAD)
            self.clients.append(client)


@pytest.fixture
def told() -> Iterator[Told]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Told(listening)
        yield server
        for client in server.clients:
            client.close()


@contextlib.contextmanager
def listeners(told: Told, count: int = 3) -> Iterator[Listeners]:
    accepting = threading.Thread(target=told.accept, args=(count,))
    accepting.start()
    found = Listeners(told.port)
    found.connect(["/"] * count)
    accepting.join()
    yield found
    found.close()


def writing(send: Callable[[], object]) -> Callable[[], int]:
    def write() -> int:
        send()
        return 0

    return write


def test_each_diff_has_a_time_for_each_listener(told: Told) -> None:
    with listeners(told) as found:
        numbers = iter((1, 2))

        def send() -> None:
            number = next(numbers)
            for client in told.clients:
                client.sendall(event(number))

        turn = found.listen(writing(send), [0.0, 0.001])
        assert len(found.latencies(turn)) == 6
        assert found.event == b'id: 2\ndata: {"n":2}'
        assert 0 < turn.busy <= 1.5
        found.expect_silence(0.0)


def test_diff_that_comes_twice_is_noticed_also_when_it_comes_late(told: Told) -> None:
    with listeners(told) as found:

        def send() -> None:
            for client in told.clients:
                client.sendall(event(1))

        found.latencies(found.listen(writing(send), [0.0]))
        told.clients[1].sendall(event(1))
        with pytest.raises(Broken, match="twice"):
            found.expect_silence(5.0)


def test_listener_that_gets_another_ones_share_is_noticed(told: Told) -> None:
    with listeners(told) as found:

        def send() -> None:
            told.clients[0].sendall(event(1))
            told.clients[1].sendall(event(1) + event(2))

        with pytest.raises(Broken, match="2 of 3"):
            found.latencies(found.listen(writing(send), [0.0]))


@pytest.fixture
def run() -> Iterator[Run]:
    with Run(pinned=False) as run:
        yield run


def test_servers_tell_all_who_listen(run: Run) -> None:
    with contextlib.ExitStack() as stack:
        ours = listening.diffs(run, stack, feeds=2)
        ours.listen(6)
        told = ours.turn()
        assert 0 < told["first"] <= told["p50"] <= told["p99"] <= told["last"]
        ours.turn(writes=3, rate=100)
        for name in ("in turn", "by itself"):
            floor = listening.floor(run, stack, name, event_bytes=200)
            floor.listen(6)
            assert floor.turn(writes=3, rate=100)["event_bytes"] == 200
            floor.worker.ask("live.expect_silence")
        # As long as the server is there.
        assert ours.server.memory() > 1_000_000
        ours.server.wait_until_idle()
        ours.server.stop()
        with pytest.raises(WorkerError, match="closed a stream"):
            ours.turn()


@pytest.mark.parametrize("application", [listening.APPLICATION, listening.DJANGO_ONLY])
def test_polls_are_answered_at_once_and_by_the_asgi_application_when_there_is_something_to_say(
    run: Run, application: str
) -> None:
    with contextlib.ExitStack() as stack:
        # Without it, some answers of Django's don't tell how long they are.
        settings = {"MIDDLEWARE": ["django.middleware.common.CommonMiddleware"]}
        contender = listening.diffs(run, stack, application=application, settings=settings)
        ask = contender.worker.ask
        ask("polls.connect", port=contender.server.port, path=contender.paths[0], count=3)
        assert ask("polls.repeat", seconds=0.01)["microseconds"] > 0
        if application == listening.APPLICATION:
            for _ in range(2):
                ask("polls.wait", seconds=60)
                contender.server.wait_until_idle()
                assert ask("polls.answer")["first"] > 0


def test_web_server_that_does_not_start_tells_why() -> None:
    with pytest.raises(WebServerError, match=r"(?s)doesn't start.*benchmarks\.missing"):
        WebServer("benchmarks.missing:application", {}, None)


def test_answer_is_there_when_all_of_its_body_is() -> None:
    head, body = b"HTTP/1.1 200 OK\r\nContent-Length: 2", b"{}"
    sent = head + b"\r\n\r\n" + body
    assert [whole(sent[:length]) for length in range(len(sent))] == [None] * len(sent)
    assert whole(sent) == Answer(200, head, body)
    assert whole(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n") == Answer(
        304, b"HTTP/1.1 304 Not Modified\r\nETag: x", b""
    )
    with pytest.raises(Broken, match="no answer"):
        whole(sent + b"H")


def test_poll_over_a_connection_that_breaks_is_a_failure(told: Told) -> None:
    polls = Polls(told.port, 1)
    accepting = threading.Thread(target=lambda: told.accept(1))
    accepting.start()
    polls.ask(b"GET / HTTP/1.1\r\n\r\n")
    accepting.join()
    told.clients[0].close()
    with pytest.raises(Broken):
        polls.answers()
    polls.close()
