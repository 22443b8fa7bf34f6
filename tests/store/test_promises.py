"""P1 to P3: positions rise and nothing is missed, a repeated append adds nothing, memory is bounded."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
from typing import Any

import pytest
import redis
import six
from redis.client import NEVER_DECODE

from diffs.keys import SHARDS
from diffs.store import Entry, Floors, Page, Read, Store, Stored
from tests.servers import RedisServer

from .feeds import (
    SECOND,
    START,
    WINDOW,
    Clock,
    add,
    cursor_now,
    feed,
    member,
    neighbours,
    numbers,
    positions,
    read_all,
    refusal,
)
from .processes import ENVIRONMENT, wait_for

pytestmark = pytest.mark.store

WRITER = """
import sys
import redis
from diffs.keys import parse_feed
from diffs.store import Entry, FeedRef, Store
socket, writer, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
feeds = [FeedRef(parse_feed(name), 3600 * 10**6) for name in sys.argv[4:]]
store = Store(redis.Redis(unix_socket_path=socket), "diffs")
print("ready", flush=True)
sys.stdin.readline()
number = 0
while number < count:
    batch = range(number, min(number + 1 + number % 7, count))
    entries = [Entry(feed, b"\\xff %d %d" % (writer, one)) for one in batch for feed in feeds]
    store.append(entries)
    if number % 5 == 0:
        store.append(entries)
    number = batch.stop
store.close()
"""


def test_p1_nothing_is_missed_or_comes_twice_while_processes_write_and_a_reader_follows(
    store_server: RedisServer,
) -> None:
    names = ["polls.question:1", "polls.question:2", "polls.question"]
    writers, count = 3, 400
    store = Store(redis.Redis(**store_server.options), "diffs")
    cursors = {name: cursor_now(store, feed(name)) for name in names}
    seen: dict[str, list[Stored]] = {name: [] for name in names}
    pages = 0

    def poll() -> bool:
        nonlocal pages
        requests = [Read(feed=feed(name), cursor=cursors[name], limit=7) for name in names]
        for name, page in zip(names, store.read(requests), strict=True):
            assert isinstance(page, Page)
            cursors[name] = page.cursor
            seen[name] += page.stored
            pages += bool(page.stored)
        return any(len(stored) < writers * count for stored in seen.values())

    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", WRITER, str(store_server.socket), str(writer), str(count), *names],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=ENVIRONMENT,
                )
            )
            for writer in range(writers)
        ]
        pipes = [(process.stdin, process.stdout) for process in processes]
        assert [reading.readline() for _, reading in pipes if reading] == [b"ready\n"] * writers
        for writing, _ in pipes:
            assert writing
            writing.close()
        while any(process.poll() is None for process in processes):
            poll()
    assert [process.returncode for process in processes] == [0] * writers
    # What was appended last.
    wait_for(lambda: not poll())

    assert pages > writers * count / 7
    expected = [[writer, number] for writer in range(writers) for number in range(count)]
    for stored in seen.values():
        changes = [[int(part) for part in one.member.split()[1:]] for one in stored]
        assert sorted(changes) == expected
        # Each writer's changes come in the order in which it made them.
        assert sorted(changes, key=lambda change: change[0]) == expected
        ours = [one.position for one in stored]
        assert all(earlier < later for earlier, later in itertools.pairwise(ours))
        for (writer, number), (next_writer, _) in itertools.pairwise(changes):
            # One call's changes of a feed are never torn apart.
            assert next_writer == writer or number + 1 in batch_starts(count)
    store.close()


def batch_starts(count: int) -> set[int]:
    starts, number = set(), 0
    while number < count:
        number = min(number + 1 + number % 7, count)
        starts.add(number)
    return starts


def test_p1_timestamps_are_redis_s_time_and_strictly_increase(store: Store, clock: Clock) -> None:
    add(store, 1, 2, 3)
    add(store, 4)
    clock.advance(1)
    add(store, 5)
    page = read_all(store)
    assert numbers(page) == [1, 2, 3, 4, 5]
    # A shard's first clock tick is its epoch's floor.
    assert positions(page) == [START + 1, START + 2, START + 3, START + 4, START + SECOND]


def test_p1_without_a_given_time_it_is_the_server_s(client: redis.Redis) -> None:
    store = Store(client, "diffs")
    before, after = (client.time() for _ in range(2))
    add(store, 1)
    (position,) = positions(read_all(store))
    seconds, micros = client.time()
    assert before[0] * SECOND + before[1] < position <= seconds * SECOND + micros + 1
    assert after >= before


@pytest.mark.parametrize("start", [START, 2**52 - 100, 1_999_999_999_999_999, 999_999_999_999_999])
def test_p1_positions_are_exact_to_the_microsecond(store: Store, clock: Clock, start: int) -> None:
    clock.time = start
    add(store, *range(50))
    page = read_all(store)
    assert positions(page) == list(range(start + 1, start + 51))
    assert page.cursor.timestamp == start + 50
    for stored, following in itertools.pairwise(page.stored):
        after = store.read_one(Read(feed=feed(), limit=1, cursor=page.cursor._replace(timestamp=stored.position)))
        assert after.stored == [following]


def test_p1_positions_rise_also_when_the_clock_steps_back(store: Store, clock: Clock) -> None:
    add(store, 1)
    cursor = cursor_now(store)
    clock.advance(-600)
    add(store, 2)
    clock.advance(-600)
    add(store, 3)
    page = store.read_one(Read(feed=feed(), cursor=cursor, limit=10))
    assert numbers(page) == [2, 3]
    assert positions(read_all(store)) == [START + 1, START + 2, START + 3]


def test_p1_feeds_of_one_shard_share_a_clock(store: Store) -> None:
    one, other = neighbours(2)
    store.append([Entry(one, member(1)), Entry(other, member(2)), Entry(one, member(3))])
    found = {position: number for of in (one, other) for number, position in pairs(read_all(store, of))}
    assert found == {START + 1: 1, START + 2: 3, START + 3: 2}


def pairs(page: Page) -> Any:
    return zip(numbers(page), positions(page), strict=True)


@pytest.mark.parametrize("count", [1001, 2500])
def test_p1_more_than_a_thousand_diffs_of_one_feed_stay_together(store: Store, count: int) -> None:
    one, other = neighbours(2)
    store.append(Entry(to, member(number)) for number in range(count) for to in (one, other))
    for of in (one, other):
        page = read_all(store, of)
        assert numbers(page) == list(range(count))
        assert positions(page) == list(range(page.stored[0].position, page.stored[0].position + count))


def test_p1_many_feeds_are_appended_to_in_one_call_of_the_store(store: Store) -> None:
    feeds = [feed(f"polls.question:{pk}") for pk in range(1500)]
    store.append(Entry(one, member(number)) for one in feeds for number in range(2))
    assert [numbers(read_all(store, one)) for one in feeds] == [[0, 1]] * 1500


def test_p1_nothing_to_append_asks_nothing_of_the_server(store: Store, client: redis.Redis) -> None:
    store.append([])
    assert client.dbsize() == 0


def test_p2_member_appended_again_shows_once_and_keeps_its_timestamp(store: Store, clock: Clock) -> None:
    add(store, 1, 2)
    before = read_all(store)
    clock.advance(10)
    add(store, 1, 2)
    add(store, 0, 1, 3)
    page = read_all(store)
    assert numbers(page) == [1, 2, 0, 3]
    assert page.stored[:2] == before.stored


def test_p2_member_that_comes_twice_in_one_call_shows_once(store: Store) -> None:
    add(store, 1, 1, 2, 1)
    assert numbers(read_all(store)) == [1, 2]


def test_p2_reader_who_has_a_diff_does_not_get_it_again_after_a_retry(store: Store, clock: Clock) -> None:
    add(store, 1)
    cursor = read_all(store).cursor
    clock.advance(10)
    add(store, 1)
    assert store.read_one(Read(feed=feed(), cursor=cursor, limit=10)).stored == []


def test_p2_equal_changes_with_ids_of_their_own_are_two_diffs(store: Store) -> None:
    store.append(Entry(feed(), bytes((0x11,)) + version.to_bytes(7, "big") + b"abcd" + b"\x80") for version in (1, 2))
    assert len(read_all(store).stored) == 2


def test_p2_same_member_stands_in_each_of_its_feeds(store: Store) -> None:
    feeds = [feed("polls.question:1"), feed("polls.question:2"), feed("polls.question")]
    for _ in range(2):
        store.append(Entry(one, member(1)) for one in feeds)
    assert [numbers(read_all(store, one)) for one in feeds] == [[1]] * 3


def test_p3_append_removes_what_is_older_than_the_window(store: Store, clock: Clock, client: redis.Redis) -> None:
    add(store, 1)
    clock.advance(1)
    add(store, 2)
    clock.advance(3599)
    # The first is older than the window by a microsecond, the second just within.
    clock.time += 2
    add(store, 3)
    assert stored_numbers(client) == [2, 3]


def stored_numbers(client: redis.Redis) -> list[int]:
    """What stands in the sorted set, whether it may be read or not."""
    key = Store(client, "diffs").keys.feed(feed().name)
    return [int(one[4:]) for one in client.execute_command("ZRANGE", key, 0, -1, **{NEVER_DECODE: True})]


def test_p3_append_removes_at_most_a_thousand_at_once(store: Store, clock: Clock, client: redis.Redis) -> None:
    add(store, *range(2500))
    clock.advance(3601)
    add(store, 5000)
    assert stored_numbers(client) == [*range(1000, 2500), 5000]
    assert numbers(read_all(store)) == [5000]
    add(store, 5001)
    add(store, 5002)
    assert stored_numbers(client) == [5000, 5001, 5002]


def test_p3_each_feed_is_trimmed_by_its_own_window(store: Store, clock: Clock) -> None:
    short, long = feed("polls.vote:1", 60 * SECOND), feed("polls.question:1", WINDOW)
    for number in range(3):
        store.append([Entry(short, member(number)), Entry(long, member(number))])
        clock.advance(61)
    store.append([Entry(short, member(3)), Entry(long, member(3))])
    sizes = [store.client.zcard(store.keys.feed(one.name)) for one in (short, long)]
    assert sizes == [1, 4]


def test_p3_idle_feed_expires_as_a_whole_after_two_windows(store: Store, client: redis.Redis) -> None:
    key = store.keys.feed(feed().name)
    add(store, 1)
    assert 7_199_000 < client.pttl(key) <= 7_200_000
    client.pexpire(key, 1000)
    add(store, 2)
    assert 7_199_000 < client.pttl(key) <= 7_200_000


def test_p3_window_of_a_microsecond_still_expires_after_a_moment(store: Store, client: redis.Redis) -> None:
    add(store, 1, to=feed(window=1))
    assert client.exists(store.keys.feed(feed().name)) in (0, 1)
    assert client.pttl(store.keys.feed(feed().name)) <= 1


def test_p3_floor_of_a_feed_expires_after_two_windows(store: Store, client: redis.Redis) -> None:
    store.raise_floors(Floors([feed()]))
    assert 7_199_000 < client.pttl(store.keys.floor(feed().name)) <= 7_200_000
    store.clear(feed(window=60 * SECOND))
    assert 119_000 < client.pttl(store.keys.floor(feed().name)) <= 120_000


def test_p3_what_never_expires_is_bounded(store: Store, client: redis.Redis) -> None:
    names = [f"polls.question:{pk}" for pk in range(1000)]
    store.append(Entry(feed(name), member(1)) for name in names)
    store.raise_floors(Floors(map(feed, names), ["polls.question", "polls.choice"]))
    store.raise_floors(Floors(everything=True))
    lasting = {six.ensure_str(key) for key in client.scan_iter(count=1000) if client.pttl(key) == -1}
    assert lasting == {store.keys.meta(shard) for shard in SHARDS}
    fields = {six.ensure_str(field) for key in lasting for field in client.hkeys(key)}
    assert fields == {
        "epoch",
        "clock",
        "cleared",
        "replid",
        "evicted",
        "floor",
        "floor:polls.question",
        "floor:polls.choice",
        "window:polls.question",
    }


def test_p3_reading_makes_no_feed(store: Store, client: redis.Redis) -> None:
    for pk in range(100):
        store.read([Read(feed=feed(f"polls.question:{pk}"), limit=1)])
    assert client.dbsize() <= len(SHARDS)


def test_p4_key_that_is_no_sorted_set_loses_its_diffs_only_and_its_readers_are_told(
    store: Store, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = neighbours(2)
    cursors = [cursor_now(store, of) for of in (one, other)]
    client.set(store.keys.feed(one.name), "in the way")
    store.append([Entry(one, member(1)), Entry(other, member(2))])
    assert caplog.messages == [f"No sorted set: {one.name}. Its diffs are lost."]
    assert client.exists(store.keys.feed(one.name))
    (page,) = store.read([Read(feed=other, cursor=cursors[1], limit=10)])
    assert isinstance(page, Page)
    assert numbers(page) == [2]
    client.delete(store.keys.feed(one.name))
    assert refusal(store, cursors[0], one) == "reset"


def test_scripts_that_the_server_has_forgotten_are_sent_again(store: Store, client: redis.Redis) -> None:
    feeds = [feed(f"polls.question:{pk}") for pk in range(200)]
    for number in range(2):
        client.script_flush()
        store.append(Entry(one, member(number)) for one in feeds)
        client.script_flush()
        pages = store.read([Read(feed=one, limit=10) for one in feeds])
        assert [numbers(page) for page in pages if isinstance(page, Page)] == [[*range(number + 1)]] * 200
        client.script_flush()
        store.raise_floors(Floors([feeds[0]]))
        client.script_flush()
        assert store.count(Read(feed=feeds[1])) == number + 1
        store.append([Entry(feeds[0], member(0))])
        client.delete(store.keys.feed(feeds[0].name), store.keys.floor(feeds[0].name))
        store.append(Entry(feeds[0], member(one)) for one in range(number + 1))


def test_news_are_published_per_feed_once_with_the_last_timestamp(store: Store, client: redis.Redis) -> None:
    one, other = neighbours(2)
    with client.pubsub() as channel:
        channel.psubscribe("diffs:*")
        assert channel.get_message(timeout=5)["type"] == "psubscribe"
        store.append([Entry(one, member(1)), Entry(other, member(2)), Entry(one, member(3))])
        store.raise_floors(Floors([one]))
        store.raise_floors(Floors(models=["polls.choice"]))
        store.clear(other)
        messages = [channel.get_message(timeout=5) for _ in range(4 + len(SHARDS))]
        assert channel.get_message(timeout=0.05) is None
    heard = [(six.ensure_str(message["channel"]), int(message["data"])) for message in messages]
    meta = {store.keys.meta(shard): START + (5 if shard == one.name.shard else 1) for shard in SHARDS}
    assert {key: position for key, position in heard if key in meta} == meta
    assert [(key, position) for key, position in heard if key not in meta] == [
        (store.keys.feed(one.name), START + 2),
        (store.keys.feed(other.name), START + 3),
        (store.keys.feed(one.name), START + 4),
        (store.keys.feed(other.name), START + 6),
    ]
