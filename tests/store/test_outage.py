"""P6: while Redis is refused, hung, full or read-only nobody waits, and what was missed refuses old cursors later."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from diffs.errors import StoreUnavailable
from diffs.keys import SHARDS
from diffs.store import Entry, Floors, Read, Store, Upkeep, batch, outage
from tests.servers import RedisServer

from .feeds import WINDOW, add, cursor_now, feed, member, neighbours, numbers, read_all, refusal
from .processes import ENVIRONMENT, recovery_threads, wait_for

pytestmark = pytest.mark.store

AWAY = "Redis is away ({}): changes are saved but get no diffs; old cursors will be refused."
BACK = "Redis is back."
STILL_AWAY = (
    "Redis is still away, and this process won't ask again: once it is back, refuse the old cursors of {} with "
    "diffs.touch()."
)


@pytest.fixture
def own_server(store_server: RedisServer) -> Iterator[RedisServer]:
    """A server of each kind that the test may stop, freeze and fill."""
    with RedisServer(store_server.kind) as own:
        yield own


@pytest.fixture
def store(own_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(outage, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(outage, "LONGEST_PAUSE", 0.2)
    made = Store(connect(own_server), "diffs")
    yield made
    made.close()


def connect(server: RedisServer) -> redis.Redis:
    """A client as the settings make it, but less patient."""
    return redis.Redis(**server.options, socket_timeout=0.3, socket_connect_timeout=0.3, retry=Retry(NoBackoff(), 0))


def is_back(store: Store) -> bool:
    try:
        store.check()
    except StoreUnavailable:
        return False
    return True


def seconds_of_appends(store: Store, count: int) -> float:
    begin = time.monotonic()
    for number in range(count):
        add(store, number)
    return time.monotonic() - begin


def test_p6_thousand_appends_to_a_hung_server_wait_once(
    store: Store, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = neighbours(2)
    cursors = [cursor_now(store, of) for of in (one, other)]
    own_server.pause()
    assert seconds_of_appends(store, 1000) < 5
    assert caplog.messages == [AWAY.format("TimeoutError")]
    own_server.resume()
    wait_for(lambda: is_back(store))
    assert caplog.messages == [AWAY.format("TimeoutError"), BACK]
    # The first of the two is feed(), which missed the appends.
    assert [refusal(store, cursor, of) for cursor, of in zip(cursors, (one, other), strict=True)] == ["reset", None]
    add(store, 5000)
    assert numbers(read_all(store)) == [5000]
    wait_for(lambda: not recovery_threads())


def test_p6_marks_of_shards_without_data_wait_once_for_a_hung_server(store: Store, own_server: RedisServer) -> None:
    store.mark("00")
    own_server.pause()
    begin = time.monotonic()
    for shard in SHARDS[1:]:
        with pytest.raises(StoreUnavailable):
            store.mark(shard)
    assert time.monotonic() - begin < 5
    own_server.resume()
    wait_for(lambda: not recovery_threads())


def test_p6_thousand_appends_to_a_server_that_refuses_connections_do_not_wait(
    store: Store, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    cursor = cursor_now(store)
    own_server.kill()
    assert seconds_of_appends(store, 1000) < 5
    assert caplog.messages == [AWAY.format("ConnectionError")]
    own_server.restart()
    wait_for(lambda: is_back(store))
    assert refusal(store, cursor) == "reset"
    add(store, 5000)
    assert numbers(read_all(store)) == [5000]
    assert caplog.messages == [AWAY.format("ConnectionError"), BACK]
    wait_for(lambda: not recovery_threads())


def test_p6_each_outage_has_its_own_lines(
    store: Store, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        own_server.pause()
        seconds_of_appends(store, 10)
        own_server.resume()
        wait_for(lambda: is_back(store))
    assert caplog.messages == [AWAY.format("TimeoutError"), BACK] * 3


def test_p6_whatever_was_missed_in_an_outage_is_refused_by_feed_model_or_everything(
    store: Store, own_server: RedisServer
) -> None:
    names = ("polls.question:1", "polls.question:2", "polls.choice:1", "polls.choice", "polls.vote:1")
    cursors = {name: cursor_now(store, feed(name)) for name in names}
    own_server.pause()
    add(store, 1)
    store.raise_floors(Floors(models=["polls.choice"]))
    own_server.resume()
    wait_for(lambda: is_back(store))
    refused = [name for name in names if refusal(store, cursors[name], feed(name))]
    assert refused == ["polls.question:1", "polls.choice:1", "polls.choice"]
    own_server.pause()
    add(store, 1)
    store.raise_floors(Floors(everything=True))
    own_server.resume()
    wait_for(lambda: is_back(store))
    assert refusal(store, cursors["polls.vote:1"], feed("polls.vote:1")) == "reset"


def test_p6_reading_while_away_is_an_error_at_once_that_says_when_to_come_back(
    store: Store, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    own_server.pause()
    requests: list[Any] = [
        lambda: read_all(store),
        lambda: store.count(Read(feed=feed())),
        lambda: store.clear(feed()),
        lambda: list(Upkeep(store).feeds()),
        lambda: Upkeep(store).survey([feed().name]),
    ]
    begin = time.monotonic()
    for request in requests * 50:
        with pytest.raises(StoreUnavailable) as caught:
            request()
        assert 1 <= caught.value.retry_after <= outage.LONGEST_PAUSE + 1
    assert time.monotonic() - begin < 5
    assert caplog.messages == [AWAY.format("TimeoutError")]
    own_server.resume()
    wait_for(lambda: is_back(store))
    assert read_all(store).stored == []


def test_p6_full_server_refuses_diffs_and_old_cursors_at_once(
    store: Store, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    add(store, 1)
    fill(own_server)
    cursor = cursor_now(store)
    assert seconds_of_appends(store, 200) < 5
    assert refusal(store, cursor) == "reset"
    assert [message.partition("(")[0] for message in caplog.messages] == ["Redis takes no diffs "]
    fill(own_server, limit="0")
    cursor = cursor_now(store)
    add(store, 5000)
    assert numbers(store.read_one(Read(feed=feed(), cursor=cursor, limit=9))) == [5000]
    assert caplog.messages[1:] == ["Redis takes diffs again."]
    assert recovery_threads() == []


def fill(server: RedisServer, limit: str = "1") -> None:
    server.cli("CONFIG", "SET", "maxmemory", limit)
    if limit != "0":
        with pytest.raises(redis.ResponseError, match="OOM|maxmemory"):
            server.cli("SET", "key", "value")


def test_p6_full_server_does_all_that_takes_nothing(store: Store, own_server: RedisServer) -> None:
    one, other = neighbours(2)
    store.append(Entry(of, member(number)) for of in (one, other) for number in range(10))
    cursor = cursor_now(store, one)
    fill(own_server)
    assert numbers(read_all(store, one)) == list(range(10))
    store.clear(one)
    assert refusal(store, cursor, one) == "reset"
    # The model's window grows, and then the epoch goes: both have to be written down.
    assert refusal(store, cursor_now(store, other), other._replace(window=2 * WINDOW)) == "reset"
    *_, pruned = Upkeep(store).prune(lambda model: (2 * WINDOW, 0))
    assert pruned.removed == 10
    cursor = cursor_now(store, other)
    own_server.cli("FLUSHALL")
    assert refusal(store, cursor, other) == "reset"
    store.raise_floors(Floors(everything=True))
    assert is_back(store)


def test_p6_replica_that_may_not_be_written_is_an_outage_until_it_is_promoted(
    store: Store, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    cursor = cursor_now(store)
    # Its master is itself, so that nothing is ever copied over what is there.
    own_server.cli("REPLICAOF", "127.0.0.1", own_server.port)
    assert seconds_of_appends(store, 200) < 5
    away = AWAY.format("ReadOnlyError")
    assert caplog.messages == [away]
    own_server.cli("REPLICAOF", "NO", "ONE")
    wait_for(lambda: is_back(store))
    assert refusal(store, cursor) == "reset"
    add(store, 5000)
    assert numbers(read_all(store)) == [5000]
    assert caplog.messages == [away, BACK]


def test_p6_user_who_may_not_append_is_told_once_and_old_cursors_are_refused(
    store: Store, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    cursor = cursor_now(store)
    own_server.cli("ACL", "SETUSER", "default", "-zadd")
    seconds_of_appends(store, 50)
    assert refusal(store, cursor) == "reset"
    assert [message.partition("(")[0] for message in caplog.messages] == ["Redis takes no diffs "]
    own_server.cli("ACL", "SETUSER", "default", "+zadd")
    add(store, 5000)
    assert numbers(read_all(store)) == [5000]
    assert caplog.messages[1:] == ["Redis takes diffs again."]


def test_p6_nothing_is_appended_before_the_floors_are_raised(
    store: Store, own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "FIRST_PAUSE", 600)
    cursor = cursor_now(store)
    own_server.kill()
    add(store, 1)
    own_server.restart()
    # The server is there, but this process hasn't raised its floors yet.
    add(store, 2)
    other = Store(connect(own_server), "diffs")
    assert read_all(other).stored == []
    store.close()
    assert refusal(other, cursor) == "reset"
    other.close()


def test_p6_closing_tries_once_more_to_raise_the_floors(
    store: Store, own_server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outage, "FIRST_PAUSE", 600)
    cursor = cursor_now(store)
    own_server.pause()
    add(store, 1)
    own_server.resume()
    store.close()
    other = Store(connect(own_server), "diffs")
    assert refusal(other, cursor) == "reset"
    other.close()
    assert caplog.messages == [AWAY.format("TimeoutError"), BACK]
    wait_for(lambda: not recovery_threads())


def test_p6_closing_while_redis_is_still_away_is_quick_and_says_what_to_do(
    store: Store, own_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    own_server.pause()
    add(store, 1)
    begin = time.monotonic()
    store.close()
    assert time.monotonic() - begin < 5
    store.close()
    assert caplog.messages == [AWAY.format("TimeoutError"), STILL_AWAY.format("polls.question")]
    wait_for(lambda: not recovery_threads())


MISSING = """
import sys
import redis
from diffs.keys import parse_feed
from diffs.store import Entry, FeedRef, Store, outage
outage.FIRST_PAUSE = 600
store = Store(redis.Redis(unix_socket_path=sys.argv[1], socket_timeout=0.3, retry=None), "diffs")
store.append([Entry(FeedRef(parse_feed("polls.question:1"), 3600 * 10**6), b"missed")])
print("missed", flush=True)
sys.stdin.readline()
"""


def test_p6_process_that_ends_after_an_outage_raises_its_floors_first(store: Store, own_server: RedisServer) -> None:
    cursor = cursor_now(store)
    own_server.pause()
    with missing_process(own_server) as process:
        own_server.resume()
        assert refusal(store, cursor) is None
        process.communicate(b"\n")
    assert process.returncode == 0
    assert refusal(store, cursor) == "reset"


def test_p6_process_that_ends_in_an_outage_is_not_kept(own_server: RedisServer) -> None:
    own_server.pause()
    with missing_process(own_server) as process:
        begin = time.monotonic()
        process.communicate(b"\n")
        assert process.returncode == 0
        assert time.monotonic() - begin < 5


def missing_process(server: RedisServer) -> subprocess.Popen[bytes]:
    """Another process that has missed a write, and ends when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", MISSING, str(server.socket)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    assert process.stdout
    assert process.stdout.readline() == b"missed\n"
    return process


FORKING = """
import os, signal, sys
import redis
from diffs.cursor import parse
from diffs.keys import parse_feed
from diffs.store import Entry, FeedRef, Read, Store, outage
outage.FIRST_PAUSE = 600
socket, process = sys.argv[1], int(sys.argv[2])
missed, other = (FeedRef(parse_feed(name), 3600 * 10**6) for name in ("polls.question:1", "polls.question:2"))
store = Store(redis.Redis(unix_socket_path=socket, socket_timeout=0.3, retry=None), "diffs")
os.kill(process, signal.SIGSTOP)
store.append([Entry(missed, b"missed")])
os.kill(process, signal.SIGCONT)
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
# Its parent's outage is not its own: this neither waits nor is refused.
store.append([Entry(other, b"not missed")])
store.read_one(Read(feed=other, cursor=parse(sys.argv[4]), limit=9)).stored[0]
# The floors are its parent's to raise.
store.read_one(Read(feed=missed, cursor=parse(sys.argv[3]), limit=9))
"""


def test_p6_child_that_was_forked_in_an_outage_asks_the_server_itself_and_leaves_the_floors_to_its_parent(
    store: Store, own_server: RedisServer
) -> None:
    feeds = [feed("polls.question:1"), feed("polls.question:2")]
    cursors = [cursor_now(store, one) for one in feeds]
    command = [sys.executable, "-c", FORKING, str(own_server.socket), str(own_server.pid), *map(str, cursors)]
    subprocess.run(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL, check=True)
    assert [refusal(store, cursor, one) for cursor, one in zip(cursors, feeds, strict=True)] == ["reset", None]


def test_floors_of_ten_thousand_feeds_are_raised_in_one_trip(store: Store) -> None:
    feeds = [feed(f"polls.question:{pk}") for pk in range(batch.MAX_FEEDS)]
    begin = time.monotonic()
    store.raise_floors(Floors(feeds))
    assert time.monotonic() - begin < 5
    assert is_back(store)
    assert store.client.exists(*(store.keys.floor(one.name) for one in feeds)) == batch.MAX_FEEDS
