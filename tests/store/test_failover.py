"""P4 when a replica takes over: it may lack the last writes, so that cursors from before are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from diffs.codec import Encoder
from diffs.cursor import Cursor, parse
from diffs.errors import CursorExpired
from diffs.store import Entry, Floors, Read, Store
from tests.servers import RedisServer

from .feeds import Clock, add, cursor_now, feed, numbers, positions, read_all, refusal

pytestmark = pytest.mark.store

Servers = tuple[RedisServer, RedisServer]


@pytest.fixture
def servers(store_server: RedisServer) -> Iterator[Servers]:
    """A master, and a replica that has what it has."""
    with RedisServer(store_server.kind) as master, RedisServer(store_server.kind) as replica:
        replica.follow(master)
        yield master, replica


@pytest.fixture
def on() -> Iterator[Callable[..., Store]]:
    """Stores, as processes have them that reach one server each."""
    made: list[Store] = []

    def store(server: RedisServer, **options: Any) -> Store:
        made.append(Store(redis.Redis(**server.options), "diffs", **options))
        return made[-1]

    yield store
    for one in made:
        one.close()


def fail_over(servers: Servers) -> None:
    master, replica = servers
    master.kill()
    replica.take_over()


def replid(server: RedisServer) -> str:
    return str(server.client.info("replication")["master_replid"])


def refusals(store: Store, *cursors: Cursor) -> list[str | None]:
    return [refusal(store, cursor) for cursor in cursors]


@pytest.mark.parametrize("appends", [0, 1, 5])
def test_p4_replica_that_lacks_the_last_writes_refuses_everybody_when_it_takes_over(
    servers: Servers, on: Callable[..., Store], appends: int
) -> None:
    master, replica = servers
    before = on(master)
    behind = cursor_now(before)
    add(before, 1)
    up_to_there = read_all(before).cursor
    replica.follow(master)
    replica.lag_behind()
    add(before, 2, 3)
    page = read_all(before)
    lost = page.cursor
    # One who reads more slowly than the replica copied, one who has just what it has, one who has half of what is lost.
    cursors = (behind, up_to_there, lost._replace(timestamp=positions(page)[1]), lost)
    fail_over(servers)

    after = on(replica)
    # What comes before anybody reads takes the clock beyond what was handed out.
    for number in range(4, 4 + appends):
        add(after, number)
    assert after.client.zcard(after.keys.feed(feed().name)) == 1 + appends
    assert refusals(after, *cursors) == ["reset"] * 4
    assert numbers(read_all(after)) == []
    fresh = cursor_now(after)
    add(after, 9)
    assert refusals(after, *cursors) == ["reset"] * 4
    assert numbers(after.read_one(Read(feed(), 9, fresh))) == [9]


def test_p4_raised_floor_that_the_replica_lacks_is_not_missed(servers: Servers, on: Callable[..., Store]) -> None:
    master, replica = servers
    before = on(master)
    add(before, 1)
    cursor = read_all(before).cursor
    replica.follow(master)
    replica.lag_behind()
    before.raise_floors(Floors([feed()], ["polls.question"]))
    fail_over(servers)
    assert refusal(on(replica), cursor) == "reset"


def test_p4_replica_that_lacks_nothing_refuses_all_the_same_and_once_only(
    servers: Servers, on: Callable[..., Store]
) -> None:
    master, replica = servers
    before = on(master)
    add(before, 1)
    cursor = read_all(before).cursor
    replica.follow(master)
    fail_over(servers)
    after = on(replica)
    # Nobody can know that it lacks nothing.
    (answer,) = after.read([Read(feed(), 9, cursor)])
    assert isinstance(answer, CursorExpired) and answer.reason == "reset"
    add(after, 2)
    page = after.read_one(Read(feed(), 9, parse(answer.cursor)))
    assert numbers(page) == [2]
    assert after.read_one(Read(feed(), 9, page.cursor)).cursor == page.cursor


@pytest.mark.parametrize("is_empty", [True, False])
def test_p7_diff_is_late_where_a_later_one_of_its_row_may_have_been_lost(
    servers: Servers, on: Callable[..., Store], is_empty: bool
) -> None:
    master, replica = servers
    before = on(master)
    if not is_empty:
        add(before, 1)
    mark = before.mark(feed().name.shard)
    early, later = (Entry(feed(), Encoder("update", version, bytes(4), {}).own(), mark) for version in (5, 7))
    add(before, 2)
    replica.follow(master)
    replica.lag_behind()
    assert list(before.append([later]).late) == []
    fail_over(servers)
    after = on(replica)
    # Whoever fetches the object now has what the lost diff said.
    cursor = cursor_now(after)
    assert [(one.entry, one.version) for one in after.append([early]).late] == [(early, 0)]
    assert after.read_one(Read(feed(), 9, cursor)).stored == []


@pytest.mark.parametrize("what", ["count", "begin", "latest"])
def test_p4_whoever_reads_without_a_cursor_gets_no_part_of_what_was_lost(
    servers: Servers, on: Callable[..., Store], what: str
) -> None:
    master, replica = servers
    before = on(master)
    add(before, 1)
    replica.follow(master)
    replica.lag_behind()
    add(before, 2)
    fail_over(servers)
    after = on(replica)
    add(after, 3)
    if what == "count":
        assert after.count(Read(feed())) == 0
    else:
        assert after.read_one(Read(feed(), 9, mode="asc" if what == "begin" else "desc")).stored == []
    add(after, 4)
    assert numbers(read_all(after)) == [4]


def test_p4_clock_of_the_replica_may_lie_an_hour_behind(servers: Servers, on: Callable[..., Store]) -> None:
    master, replica = servers
    clock = Clock()
    before = on(master, now=clock)
    add(before, 1)
    cursor = read_all(before).cursor
    replica.follow(master)
    replica.lag_behind()
    add(before, 2)
    fail_over(servers)
    clock.advance(-3600)
    after = on(replica, now=clock)
    assert refusal(after, cursor) == "reset"
    fresh = cursor_now(after)
    assert fresh.timestamp > cursor.timestamp
    add(after, 3)
    page = after.read_one(Read(feed(), 9, fresh))
    assert (numbers(page), positions(page)) == ([3], [fresh.timestamp + 1])
    clock.advance(3600)
    add(after, 4)
    assert numbers(after.read_one(Read(feed(), 9, fresh))) == [3, 4]


def test_p4_old_master_that_comes_back_as_a_replica_answers_as_the_new_one_does(
    servers: Servers, on: Callable[..., Store]
) -> None:
    old, new = servers
    before = on(old)
    add(before, 1)
    new.follow(old)
    new.lag_behind()
    add(before, 2)
    cursor = read_all(before).cursor
    new.take_over()
    after = on(new)
    fresh = cursor_now(after)
    add(after, 3)
    old.follow(new)
    assert refusals(on(old), cursor, fresh) == refusals(after, cursor, fresh) == ["reset", None]
    assert numbers(on(old).read_one(Read(feed(), 9, fresh))) == [3]


def test_p4_master_that_was_a_replica_for_a_while_refuses_what_it_handed_out_before(
    servers: Servers, on: Callable[..., Store]
) -> None:
    first, second = servers
    before = on(first)
    add(before, 1)
    cursor = read_all(before).cursor
    second.follow(first)
    second.take_over()
    first.follow(second)
    first.lag_behind()
    # Nobody reads from the second: nothing but appends to the epoch of the first, which the first lacks.
    add(on(second), 2)
    second.kill()
    first.take_over()
    add(before, 3)
    assert refusal(on(first), cursor) == "reset"


def test_p4_full_server_that_takes_over_refuses_and_can_be_gone_on_from(
    servers: Servers, on: Callable[..., Store]
) -> None:
    master, replica = servers
    cursor = cursor_now(on(master))
    replica.follow(master)
    replica.cli("CONFIG", "SET", "maxmemory", 1)
    fail_over(servers)
    after = on(replica)
    assert refusal(after, cursor) == "reset"
    replica.cli("CONFIG", "SET", "maxmemory", 0)
    fresh = cursor_now(after)
    add(after, 1)
    assert numbers(after.read_one(Read(feed(), 9, fresh))) == [1]


def test_p4_first_replica_of_a_server_refuses_what_was_before_and_later_ones_do_not(
    store_server: RedisServer, on: Callable[..., Store]
) -> None:
    kind = store_server.kind
    with RedisServer(kind) as master, RedisServer(kind) as replica, RedisServer(kind) as another:
        store = on(master)
        cursor, name = cursor_now(store), replid(master)
        replica.follow(master)
        assert replid(master) != name
        assert refusal(store, cursor) == "reset"
        cursor = cursor_now(store)
        another.follow(master)
        add(store, 1)
        assert numbers(store.read_one(Read(feed(), 9, cursor))) == [1]


def test_p4_epoch_of_an_unknown_server_is_refused(store_server: RedisServer, on: Callable[..., Store]) -> None:
    store = on(store_server)
    cursor = cursor_now(store)
    for field in ("replid", "evicted"):
        assert store.client.hdel(store.keys.meta(feed().name.shard), field) == 1
        assert refusal(store, cursor) == "reset"
        cursor = cursor_now(store)
        assert refusal(store, cursor) is None


def test_user_who_may_not_call_info_reads_and_writes_but_compares_nothing(
    servers: Servers, on: Callable[..., Store]
) -> None:
    master, replica = servers
    for server in servers:
        server.cli("ACL", "SETUSER", "reader", "on", ">secret", "~*", "&*", "+@all", "-info")
    made = [redis.Redis(**server.options, username="reader", password="secret") for server in servers]
    before, after = (Store(client, "diffs") for client in made)
    try:
        cursor = cursor_now(before)
        add(before, 1)
        replica.follow(master)
        fail_over(servers)
        assert numbers(after.read_one(Read(feed(), 9, cursor))) == [1]
        # Whoever may call it refuses what was before, once, for both.
        knowing = on(replica)
        assert refusal(knowing, cursor) == "reset"
        fresh = cursor_now(after)
        assert refusals(knowing, fresh) == refusals(after, fresh) == [None]
    finally:
        before.close()
        after.close()
