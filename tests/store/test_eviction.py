"""P4 and P6 when memory is short: what a server evicts, or doesn't take, is refused and never passed over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from diffs.cursor import Cursor, parse
from diffs.errors import CursorExpired
from diffs.store import Entry, Floors, Read, Store
from tests.servers import RedisServer

from .feeds import add, cursor_now, feed, member, neighbours, numbers, read_all, refusal
from .processes import wait_for

pytestmark = pytest.mark.store

FEEDS = 150
MOST_ROUNDS = 200
ROOM = 2_000_000
PADDING = bytes(1000)
"""Of each diff: a dozen rounds fill the room."""


@pytest.fixture
def server(store_server: RedisServer) -> Iterator[RedisServer]:
    """A server that may run out of memory."""
    with RedisServer(store_server.kind) as own:
        yield own


@pytest.fixture
def own_store(server: RedisServer) -> Iterator[Store]:
    """A store on it; the time is the server's."""
    store = Store(redis.Redis(**server.options), "diffs")
    yield store
    store.close()


def evicted(server: RedisServer) -> int:
    return int(server.client.info("stats")["evicted_keys"])


def leave_room(server: RedisServer, policy: str, room: int) -> None:
    server.cli("CONFIG", "SET", "maxmemory-policy", policy)
    server.cli("CONFIG", "SET", "maxmemory", server.client.info("memory")["used_memory"] + room)


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "volatile-ttl", "volatile-lru"])
def test_p4_readers_of_a_server_that_evicts_miss_nothing_without_being_refused(
    server: RedisServer, own_store: Store, policy: str
) -> None:
    feeds = [feed(f"polls.question:{pk}") for pk in range(FEEDS)]
    cursors: list[Cursor] = [cursor_now(own_store, one) for one in feeds]
    expected = [0] * FEEDS
    refused = seen = written = 0
    leave_room(server, policy, ROOM)
    for number in range(MOST_ROUNDS):
        own_store.append(Entry(one, member(number) + PADDING) for one in feeds)
        written += FEEDS
        # A third of the readers polls each time: the others are behind, when something is evicted.
        chosen = range(number % 3, FEEDS, 3)
        answers = own_store.read([Read(feeds[index], 10_000, cursors[index]) for index in chosen])
        for index, answer in zip(chosen, answers, strict=True):
            if isinstance(answer, CursorExpired):
                cursors[index] = parse(answer.cursor)
                refused += 1
            else:
                found = [int(stored.member[4 : -len(PADDING)]) for stored in answer.stored]
                assert (found, answer.more) == (list(range(expected[index], number + 1)), False)
                cursors[index] = answer.cursor
                seen += len(found)
            expected[index] = number + 1
        if evicted(server) > 50 and seen > FEEDS:
            break
    assert evicted(server) > 50
    assert refused >= 1
    assert FEEDS < seen < written


@pytest.mark.parametrize("what", ["feed", "floor", "meta", "another"])
@pytest.mark.parametrize("appends", [0, 1])
def test_p4_evicted_key_refuses_cursors_from_before_also_where_a_diff_came_behind_it(
    server: RedisServer, own_store: Store, what: str, appends: int
) -> None:
    behind = cursor_now(own_store)
    add(own_store, 1)
    own_store.raise_floors(Floors([feed()]))
    add(own_store, 2)
    up_to_date = read_all(own_store).cursor
    server.cli("SET", "another", 1)
    keys = {
        "feed": own_store.keys.feed(feed().name),
        "floor": own_store.keys.floor(feed().name),
        "meta": own_store.keys.meta(feed().name.shard),
    }
    assert server.evict(keys.get(what, what))
    add(own_store, *range(3, 3 + appends))
    # Which key it was, nobody knows: another may have been a feed as well.
    assert [refusal(own_store, cursor) for cursor in (behind, up_to_date)] == ["reset", "reset"]
    fresh = cursor_now(own_store)
    add(own_store, 9)
    assert numbers(own_store.read_one(Read(feed(), 9, fresh))) == [9]


def test_p4_eviction_refuses_each_shard_once(server: RedisServer, own_store: Store) -> None:
    feeds = [feed(f"polls.question:{pk}") for pk in range(10)]
    cursors = [cursor_now(own_store, one) for one in feeds]
    server.cli("SET", "another", 1)
    assert server.evict("another")
    assert [refusal(own_store, cursor, one) for cursor, one in zip(cursors, feeds, strict=True)] == ["reset"] * 10
    cursors = [cursor_now(own_store, one) for one in feeds]
    assert [refusal(own_store, cursor, one) for cursor, one in zip(cursors, feeds, strict=True)] == [None] * 10


def test_p4_counter_of_evicted_keys_that_begins_anew_refuses(server: RedisServer, own_store: Store) -> None:
    server.cli("SET", "another", 1)
    assert server.evict("another")
    cursor = cursor_now(own_store)
    server.cli("CONFIG", "RESETSTAT")
    assert refusal(own_store, cursor) == "reset"


def test_keys_that_expire_are_none_that_were_evicted(server: RedisServer, own_store: Store) -> None:
    cursor = cursor_now(own_store)
    server.cli("SET", "short", 1, "PX", 1)
    wait_for(lambda: server.client.info("stats")["expired_keys"] == 1)
    add(own_store, 1)
    assert numbers(own_store.read_one(Read(feed(), 9, cursor))) == [1]


def test_p6_full_server_that_does_not_evict_refuses_the_readers_of_what_it_did_not_take(
    server: RedisServer, own_store: Store
) -> None:
    one, other = neighbours(2)
    own_store.append([Entry(one, member(1)), Entry(other, member(1))])
    cursors = [cursor_now(own_store, one), cursor_now(own_store, other)]
    leave_room(server, "noeviction", -1)
    add(own_store, 2, to=one)
    assert [refusal(own_store, cursor, of) for cursor, of in zip(cursors, (one, other), strict=True)] == ["reset", None]
    server.cli("CONFIG", "SET", "maxmemory", 0)
    add(own_store, 3, to=one)
    assert numbers(read_all(own_store, one)) == [3]
    assert evicted(server) == 0
