"""Connections are kept between trips, and one that was closed meanwhile does no harm."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from diffs.store import Store
from diffs.store.lines import NO_RETRY, Lines
from tests.servers import RedisServer

from .conftest import DIALECTS
from .feeds import add, numbers, read_all


@pytest.fixture(params=DIALECTS)
def client(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client as the settings make it."""
    options: dict[str, Any] = {"unix_socket_path": str(redis_server.socket), **DIALECTS[request.param]}
    with redis.Redis(**options, retry=NO_RETRY) as made:
        yield made


@pytest.fixture
def lines(client: redis.Redis) -> Iterator[Lines]:
    made = Lines(client)
    yield made
    made.close()


def connections(server: RedisServer) -> int:
    """How many connections the server has had."""
    return int(server.client.info("stats")["total_connections_received"])


def trips(lines: Lines, count: int) -> list[Any]:
    return [lines.trip([("ECHO", str(number))])[0] for number in range(count)]


def test_trips_one_after_the_other_take_one_connection(lines: Lines, redis_server: RedisServer) -> None:
    before = connections(redis_server)
    assert trips(lines, 50) == [str(number).encode() for number in range(50)]
    assert connections(redis_server) - before == 1


def test_commands_of_one_trip_are_answered_in_their_order_with_errors_in_their_places(lines: Lines) -> None:
    echo = [("ECHO", b"\xff" * 10_000 + str(number).encode()) for number in range(200)]
    *replies, wrong, last = lines.trip([*echo, ("NO-SUCH-COMMAND",), ("ECHO", "last")])
    assert replies == [text for _, text in echo]
    assert isinstance(wrong, redis.ResponseError)
    assert last == b"last"


def reads(server: RedisServer) -> int:
    """How often the server has read from its connections."""
    return int(server.client.info("stats")["total_reads_processed"])


@pytest.mark.parametrize("has_hiredis", [True, False])
def test_small_commands_are_sent_in_one_piece(
    lines: Lines, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, has_hiredis: bool
) -> None:
    if not has_hiredis:
        monkeypatch.setattr("diffs.store.lines._pack", None)
    trips(lines, 1)
    before = reads(redis_server)
    assert lines.trip([("ECHO", str(number)) for number in range(50)]) == [str(number).encode() for number in range(50)]
    assert reads(redis_server) - before == 2  # asking for the count is one, too
    assert lines.trip([("ECHO", str(number) * 10_000) for number in range(9)])[8] == b"8" * 10_000


def test_connection_that_the_server_closed_is_opened_again(lines: Lines, redis_server: RedisServer) -> None:
    trips(lines, 1)
    redis_server.client.client_kill_filter(_type="normal", skipme=True)
    assert trips(lines, 2) == [b"0", b"1"]


@pytest.mark.parametrize("command", [("SET", "key", "1"), ("EVAL", "return redis.call('SET', KEYS[1], 1)", 1, "key")])
def test_connection_to_a_server_that_became_a_replica_is_left_for_another(
    lines: Lines, redis_server: RedisServer, command: tuple[str, ...]
) -> None:
    trips(lines, 1)
    redis_server.cli("REPLICAOF", "127.0.0.1", redis_server.port)
    try:
        before = connections(redis_server)
        with pytest.raises(redis.ReadOnlyError):
            lines.trip([command])
        # Its name may lead to the master by now.
        assert connections(redis_server) - before == 1
        assert lines.begin([("PING",)]) is None
    finally:
        redis_server.cli("REPLICAOF", "NO", "ONE")
    assert lines.trip([command]) == [b"OK"]


def test_p2_diff_whose_answer_was_lost_with_the_connection_stands_in_the_feed_once(
    client: redis.Redis, redis_server: RedisServer
) -> None:
    store = Store(client, "diffs")
    add(store, 1)
    pool: Any = client.connection_pool
    (connection,) = pool._in_use_connections
    connection.read_response = _once(connection.read_response, fails_with=redis.ConnectionError("Gone."))
    add(store, 2)
    add(store, 3)
    assert numbers(read_all(store)) == [1, 2, 3]
    store.close()


def _once(function: Any, *, fails_with: Exception) -> Any:
    """A function that fails when it is called for the first time, after it has done its work."""
    failed = []

    def called(*args: Any, **options: Any) -> Any:
        answer = function(*args, **options)
        if not failed:
            failed.append(True)
            raise fails_with
        return answer

    return called


def test_server_that_is_gone_is_asked_no_third_time(lines: Lines, redis_server: RedisServer) -> None:
    trips(lines, 1)
    redis_server.kill()
    try:
        with pytest.raises(redis.ConnectionError):
            trips(lines, 1)
    finally:
        redis_server.restart()
    assert trips(lines, 1) == [b"0"]


def test_hung_server_is_not_asked_again(redis_server: RedisServer) -> None:
    with redis.Redis(unix_socket_path=str(redis_server.socket), socket_timeout=0.2, retry=NO_RETRY) as client:
        lines = Lines(client)
        trips(lines, 1)
        redis_server.pause()
        try:
            with pytest.raises(redis.TimeoutError):
                trips(lines, 1)
        finally:
            redis_server.resume()
        # The answer that came too late is nobody's.
        assert trips(lines, 2) == [b"0", b"1"]
        lines.close()


def test_commands_that_were_begun_are_ended_like_a_trip(lines: Lines, redis_server: RedisServer) -> None:
    commands = [("ECHO", "one"), ("NO-SUCH-COMMAND",)]
    for is_kept in (False, True):
        begun = lines.begin(commands)
        assert (begun is not None) is is_kept
        one, wrong = lines.end(commands, begun)
        assert (one, type(wrong)) == (b"one", redis.ResponseError)
    begun = lines.begin(commands)
    redis_server.client.client_kill_filter(_type="normal", skipme=True)
    assert lines.end(commands, begun)[0] == b"one"
    lines.abandon(lines.begin(commands))
    assert lines.begin(commands) is None
    # What was given up is nobody's answer.
    assert trips(lines, 2) == [b"0", b"1"]


def test_server_that_is_gone_ends_what_was_begun(lines: Lines, redis_server: RedisServer) -> None:
    trips(lines, 1)
    redis_server.pause()
    begun = lines.begin([("ECHO", "one")])
    redis_server.kill()
    try:
        with pytest.raises(redis.ConnectionError):
            lines.end([("ECHO", "one")], begun)
    finally:
        redis_server.restart()


def test_connections_that_are_kept_are_given_up_with_one_that_hangs(redis_server: RedisServer) -> None:
    with redis.Redis(unix_socket_path=str(redis_server.socket), socket_timeout=0.2, retry=NO_RETRY) as client:
        lines = Lines(client)
        trips(lines, 1)
        begun = lines.begin([("ECHO", "one")])
        trips(lines, 1)
        lines.end([("ECHO", "one")], begun)
        redis_server.pause()
        try:
            with pytest.raises(redis.TimeoutError):
                trips(lines, 1)
        finally:
            redis_server.resume()
        # The other would have to be waited for, too.
        assert lines.begin([("ECHO", "two")]) is None
        lines.close()


def test_threads_have_connections_of_their_own_and_leave_them_to_others(
    lines: Lines, redis_server: RedisServer
) -> None:
    before = connections(redis_server)
    wrong: list[Any] = []

    def ask(name: int) -> None:
        for number in range(200):
            text = f"{name}-{number}".encode()
            if (reply := lines.trip([("ECHO", text)])) != [text]:
                wrong.append(reply)

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert connections(redis_server) - before <= 8


def test_forked_child_opens_connections_of_its_own(lines: Lines) -> None:
    trips(lines, 1)
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            status = 0 if trips(lines, 100) == [str(number).encode() for number in range(100)] else 2
        os._exit(status)
    assert trips(lines, 100) == [str(number).encode() for number in range(100)]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("most", [1, 2, 3])
def test_small_pool_is_not_emptied_by_what_is_kept(redis_server: RedisServer, most: int) -> None:
    pool = redis.BlockingConnectionPool(
        connection_class=redis.UnixDomainSocketConnection,
        path=str(redis_server.socket),
        max_connections=most,
        timeout=1,
        retry=NO_RETRY,
    )
    lines = Lines(redis.Redis(connection_pool=pool))
    assert trips(lines, 3) == [b"0", b"1", b"2"]
    assert redis.Redis(connection_pool=pool).ping()
    lines.close()
    pool.disconnect()


def test_client_that_is_to_try_again_does(redis_server: RedisServer) -> None:
    tries: list[Exception] = []

    class Counting(Retry):
        def call_with_retry(self, do: Any, fail: Any, *args: Any, **options: Any) -> Any:
            def failed(error: Exception, *rest: Any) -> Any:
                tries.append(error)
                return fail(error, *rest)

            return super().call_with_retry(do, failed, *args, **options)

    with redis.Redis(unix_socket_path=str(redis_server.socket), retry=Counting(NoBackoff(), 3)) as client:
        lines = Lines(client)
        assert trips(lines, 1) == [b"0"]
        redis_server.client.client_kill_filter(_type="normal", skipme=True)
        redis_server.kill()
        try:
            with pytest.raises(redis.ConnectionError):
                trips(lines, 1)
        finally:
            redis_server.restart()
        assert len(tries) > 1
