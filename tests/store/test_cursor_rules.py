"""P4: a cursor is honoured exactly, or refused with the reason and a fresh one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import redis

from diffs import cursor as cursors
from diffs.cursor import Cursor
from diffs.errors import CursorExpired
from diffs.store import Entry, Floors, Page, Read, Store

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

pytestmark = pytest.mark.store


def after(store: Store, cursor: Cursor, limit: int = 100) -> Page:
    return store.read_one(Read(feed=feed(), cursor=cursor, limit=limit))


def nothing(cursor: Cursor) -> Page:
    """The answer to a cursor that was handed out last."""
    return Page([], cursor, False, cursor.timestamp)


def meta(store: Store) -> dict[Any, Any]:
    found: dict[Any, Any] = store.client.hgetall(store.keys.meta(feed().name.shard))
    return found


def test_p4_reader_gets_everything_above_the_cursor_and_nothing_below(store: Store) -> None:
    add(store, 1, 2)
    cursor = cursor_now(store)
    add(store, 3, 4)
    page = after(store, cursor)
    assert (numbers(page), page.more) == ([3, 4], False)
    assert page.cursor == cursor._replace(timestamp=page.stored[-1].position)
    assert after(store, page.cursor) == nothing(page.cursor)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
def test_p4_pages_are_as_long_as_asked_for_and_follow_each_other(store: Store, limit: int) -> None:
    cursor = cursor_now(store)
    add(store, *range(6))
    pages = []
    more = True
    while more:
        page = after(store, cursor, limit)
        cursor, more = page.cursor, page.more
        pages.append(numbers(page))
    assert pages == [list(range(start, min(start + limit, 6))) for start in range(0, 6, limit)]


def test_p4_reader_without_a_cursor_begins_with_the_oldest_and_goes_on_from_there(store: Store) -> None:
    add(store, 1, 2, 3)
    first = store.read_one(Read(feed=feed(), limit=2))
    assert (numbers(first), first.more) == ([1, 2], True)
    assert (numbers(after(store, first.cursor)), after(store, first.cursor).more) == ([3], False)


def test_p4_reader_of_an_empty_feed_can_begin(store: Store) -> None:
    page = store.read_one(Read(feed=feed(), limit=2))
    assert (page.stored, page.more) == ([], False)
    add(store, 1)
    assert numbers(after(store, page.cursor)) == [1]


def test_p4_empty_page_returns_the_reader_s_own_cursor(store: Store, clock: Clock) -> None:
    add(store, 1)
    cursor = read_all(store).cursor
    other = neighbours(2)[1]
    for _ in range(10):
        clock.advance(100)
        store.append([Entry(other, member(1))])
        assert after(store, cursor) == nothing(cursor)


def test_p4_cursor_is_renewed_in_the_older_half_of_the_window_only(store: Store, clock: Clock) -> None:
    cursor = cursor_now(store)
    clock.time = cursor.timestamp + WINDOW // 2
    before = meta(store)
    assert after(store, cursor).cursor == cursor
    assert meta(store) == before
    clock.time += 1
    renewed = after(store, cursor).cursor
    assert renewed == cursor._replace(timestamp=clock.time)
    clock.advance(3000)
    assert after(store, renewed).cursor.timestamp == clock.time
    add(store, 1)
    assert numbers(after(store, renewed)) == [1]


def test_p4_cursor_behind_an_old_diff_is_renewed_with_its_page(store: Store, clock: Clock) -> None:
    cursor = cursor_now(store)
    add(store, 1)
    clock.advance(2000)
    page = after(store, cursor)
    assert numbers(page) == [1]
    assert page.cursor == cursor._replace(timestamp=clock.time)


def test_p4_page_with_more_to_come_ends_at_its_last_diff_however_old(store: Store, clock: Clock) -> None:
    cursor = cursor_now(store)
    add(store, 1, 2)
    clock.advance(2000)
    page = after(store, cursor, 1)
    assert page.cursor.timestamp == page.stored[-1].position
    assert numbers(after(store, page.cursor)) == [2]


def test_p4_cursor_to_begin_from_now_is_renewed_when_the_shard_has_been_idle(store: Store, clock: Clock) -> None:
    add(store, 1)
    first = cursor_now(store)
    assert first.timestamp == read_all(store).stored[0].position
    assert cursor_now(store) == first
    clock.advance(1801)
    assert cursor_now(store).timestamp == clock.time


def test_p4_reading_writes_nothing_unless_it_has_to(store: Store, client: redis.Redis, clock: Clock) -> None:
    add(store, 1)
    cursor = read_all(store).cursor
    before = meta(store)
    clock.advance(1000)
    after(store, cursor)
    read_all(store)
    cursor_now(store)
    store.count(Read(feed=feed(), cursor=cursor))
    refused = store.read([Read(feed=feed(), cursor=cursor._replace(epoch="00000000"), limit=1)])
    assert isinstance(refused[0], CursorExpired)
    assert meta(store) == before
    assert client.dbsize() == 2


def test_p4_cursor_at_the_window_s_edge_is_honoured_and_one_below_refused(store: Store, clock: Clock) -> None:
    cursor = cursor_now(store)
    add(store, 1)
    clock.time = cursor.timestamp + WINDOW
    assert numbers(after(store, cursor)) == [1]
    clock.time = cursor.timestamp + WINDOW
    # The page before has renewed the reader's cursor, and so moved the clock.
    add(store, 2)
    clock.time = store.read_one(Read(feed=feed(), mode="cursor")).cursor.timestamp
    assert refusal(store, cursor) == "window"


def test_p4_cursor_older_than_the_window_is_refused(store: Store, clock: Clock) -> None:
    cursor = cursor_now(store)
    clock.time = cursor.timestamp + WINDOW + 1
    assert refusal(store, cursor) == "window"


def test_p4_cursor_above_what_was_handed_out_is_unknown(store: Store) -> None:
    add(store, 1)
    cursor = read_all(store).cursor
    assert refusal(store, cursor) is None
    assert refusal(store, cursor._replace(timestamp=cursor.timestamp + 1)) == "unknown"
    assert refusal(store, cursor._replace(timestamp=2**52 - 1)) == "unknown"


def test_p4_cursor_of_another_epoch_is_reset_whatever_its_timestamp(store: Store) -> None:
    cursor = cursor_now(store)
    for timestamp in (0, cursor.timestamp, 2**52 - 1):
        assert refusal(store, Cursor("zzzzzzzz", timestamp)) == "reset"


def test_p4_refusal_gives_a_cursor_to_go_on_from_that_misses_nothing_after_it(store: Store, clock: Clock) -> None:
    add(store, 1)
    old = read_all(store).cursor
    clock.advance(3601)
    with pytest.raises(CursorExpired) as caught:
        after(store, old)
    assert caught.value.reason == "window"
    add(store, 2)
    assert numbers(after(store, cursors.parse(caught.value.cursor))) == [2]


def test_p4_cursor_of_a_flushed_server_is_reset_and_the_epoch_another(store: Store, client: redis.Redis) -> None:
    add(store, 1)
    cursor = read_all(store).cursor
    client.flushall()
    assert refusal(store, cursor) == "reset"
    client.flushall()
    add(store, 2)
    assert refusal(store, cursor) == "reset"
    assert cursor_now(store).epoch != cursor.epoch


def test_p4_when_only_the_meta_key_was_lost_what_it_left_is_not_shown(store: Store, clock: Clock) -> None:
    add(store, 1)
    cursor = read_all(store).cursor
    clock.advance(1)
    store.client.delete(store.keys.meta(feed().name.shard))
    assert refusal(store, cursor) == "reset"
    # How many changes were lost with it, nobody knows: the feed begins anew.
    assert read_all(store).stored == []
    add(store, 2)
    assert numbers(read_all(store)) == [2]


def test_p4_when_only_the_epoch_was_lost_the_rest_of_meta_is_not_believed(store: Store, clock: Clock) -> None:
    add(store, 1)
    cursor = read_all(store).cursor
    clock.advance(1)
    store.client.hset(store.keys.meta(feed().name.shard), "clock", 2**52)
    store.client.hdel(store.keys.meta(feed().name.shard), "epoch")
    add(store, 2)
    assert positions(read_all(store)) == [clock.time + 1]
    assert refusal(store, cursor) == "reset"
    assert numbers(read_all(store)) == [2]


@pytest.mark.parametrize("how", ["append", "read", "count", "floor", "prune"])
def test_p4_any_first_call_makes_an_epoch_that_refuses_what_was_before(store: Store, how: str) -> None:
    calls: dict[str, Any] = {
        "append": lambda: add(store, 1),
        "read": lambda: read_all(store),
        "count": lambda: store.count(Read(feed=feed())),
        "floor": lambda: store.raise_floors(Floors([feed()])),
        "prune": lambda: store.run([store.call("prune", feed().name.shard, [], ["", 0])]),
    }
    calls[how]()
    before = meta(store)
    assert len(before) >= 3
    assert refusal(store, Cursor("00000000", START)) == "reset"
    calls[how]()
    assert {name: value for name, value in before.items() if name in epoch_fields(store)}.items() <= meta(store).items()


def epoch_fields(store: Store) -> set[Any]:
    decodes = store.client.get_encoder().decode_responses
    return {name if decodes else name.encode() for name in ("epoch", "floor")}


def test_p4_cursor_survives_a_clock_that_steps_back(store: Store, clock: Clock) -> None:
    add(store, 1)
    cursor = read_all(store).cursor
    clock.advance(-1000)
    assert after(store, cursor) == nothing(cursor)
    add(store, 2)
    assert numbers(after(store, cursor)) == [2]


def test_p4_clock_that_steps_back_revives_no_cursor_whose_diffs_were_trimmed(store: Store, clock: Clock) -> None:
    cursor = cursor_now(store)
    add(store, 1)
    clock.advance(3601)
    add(store, 2)
    clock.advance(-3000)
    assert refusal(store, cursor) == "window"


def test_p4_grown_window_refuses_cursors_from_before(store: Store) -> None:
    add(store, 1)
    cursor = read_all(store).cursor
    longer = feed(window=2 * WINDOW)
    add(store, 2, to=longer)
    assert refusal(store, cursor, longer) == "reset"
    assert numbers(read_all(store, longer)) == [2]


def test_p4_grown_window_is_noticed_by_a_reader_too(store: Store) -> None:
    add(store, 1)
    cursor = read_all(store).cursor
    assert refusal(store, cursor, feed(window=2 * WINDOW)) == "reset"
    assert store.count(Read(feed=feed(window=2 * WINDOW))) == 0


def test_p4_grown_window_is_noticed_once(store: Store) -> None:
    add(store, 1)
    longer = feed(window=2 * WINDOW)
    add(store, 2, to=longer)
    cursor = cursor_now(store, longer)
    add(store, 3, to=longer)
    assert numbers(store.read_one(Read(feed=longer, cursor=cursor, limit=9))) == [3]


def test_p4_window_of_one_model_is_no_other_model_s(store: Store) -> None:
    one = feed("polls.question:1")
    choices = (feed(f"polls.choice:{pk}") for pk in itertools.count())
    other = next(choice for choice in choices if choice.name.shard == one.name.shard)
    store.append([Entry(one, member(1)), Entry(other, member(1))])
    cursor = cursor_now(store, other)
    store.append([Entry(one._replace(window=2 * WINDOW), member(2))])
    assert refusal(store, cursor, other) is None
    assert refusal(store, cursor, one._replace(window=2 * WINDOW)) == "reset"


def test_p4_shrunk_window_refuses_what_lies_outside_and_honours_the_rest(store: Store, clock: Clock) -> None:
    old = cursor_now(store)
    add(store, 1)
    clock.advance(1000)
    add(store, 2)
    young = read_all(store).cursor
    clock.advance(100)
    shorter = feed(window=600 * SECOND)
    assert refusal(store, old, shorter) == "window"
    assert refusal(store, young, shorter) is None
    assert numbers(read_all(store, shorter)) == [2]


def test_p4_window_that_was_shorter_for_a_while_counts_as_grown(store: Store, clock: Clock) -> None:
    cursor = cursor_now(store)
    add(store, 1)
    clock.advance(700)
    add(store, 2, to=feed(window=600 * SECOND))
    assert refusal(store, cursor) == "reset"


def test_p4_clear_refuses_every_cursor_of_the_feed_and_removes_its_diffs(store: Store, client: redis.Redis) -> None:
    one, other = neighbours(2)
    store.append([Entry(one, member(1)), Entry(other, member(1))])
    cursor = cursor_now(store, one)
    store.clear(one)
    assert client.exists(store.keys.feed(one.name)) == 0
    assert refusal(store, cursor, one) == "reset"
    assert refusal(store, cursor, other) is None
    assert numbers(read_all(store, other)) == [1]
    store.append([Entry(one, member(2))])
    assert numbers(read_all(store, one)) == [2]


def test_p4_clear_of_an_empty_feed_still_refuses(store: Store) -> None:
    cursor = cursor_now(store)
    store.clear(feed())
    assert refusal(store, cursor) == "reset"


FEEDS = ("polls.question:1", "polls.question:2", "polls.question", "polls.choice:1", "polls.choice")


@pytest.mark.parametrize(
    ("floors", "refused"),
    [
        (Floors([feed("polls.question:1")]), FEEDS[:1]),
        (Floors([feed("polls.question")]), FEEDS[2:3]),
        (Floors(models=["polls.question"]), FEEDS[:3]),
        (Floors([feed("polls.choice:1")], ["polls.question"]), FEEDS[:4]),
        (Floors(everything=True), FEEDS),
        (Floors(), ()),
    ],
    ids=repr,
)
def test_p4_floors_refuse_the_feeds_that_they_name_and_no_others(
    store: Store, floors: Floors, refused: tuple[str, ...]
) -> None:
    for name in FEEDS:
        add(store, 1, to=feed(name))
    up_to_date = {name: read_all(store, feed(name)).cursor for name in FEEDS}
    store.raise_floors(floors)
    assert [name for name in FEEDS if refusal(store, up_to_date[name], feed(name))] == list(refused)
    assert {refusal(store, up_to_date[name], feed(name)) for name in refused} <= {"reset"}
    for name in FEEDS:
        add(store, 2, to=feed(name))
        assert numbers(read_all(store, feed(name))) == ([2] if name in refused else [1, 2])


def test_p4_floor_outlasts_every_cursor_that_it_has_to_refuse(store: Store, clock: Clock) -> None:
    cursor = cursor_now(store)
    store.raise_floors(Floors([feed()]))
    clock.advance(7200)
    # Its key expires after two windows.
    store.client.delete(store.keys.floor(feed().name))
    assert refusal(store, cursor) == "window"


def test_p4_several_feeds_are_read_at_once_each_with_its_own_answer(store: Store, clock: Clock) -> None:
    feeds = [feed(f"polls.question:{pk}") for pk in range(40)]
    store.append(Entry(one, member(number)) for one in feeds for number in range(3))
    fresh = [cursor_now(store, one) for one in feeds]
    clock.advance(2000)
    requests = [
        Read(feed=feeds[0], limit=2),
        Read(feed=feeds[1], cursor=fresh[1], limit=5),
        Read(feed=feeds[2], cursor=Cursor("00000000", START), limit=5),
        Read(feed=feeds[3], cursor=fresh[3]._replace(timestamp=fresh[3].timestamp - 1), limit=1),
        Read(feed=feed("polls.question:never"), limit=1),
    ]
    first, renewed, refused, second, empty = store.read(requests)
    assert isinstance(first, Page) and (numbers(first), first.more) == ([0, 1], True)
    assert renewed == Page([], Cursor(fresh[1].epoch, clock.time), False, fresh[1].timestamp)
    assert isinstance(refused, CursorExpired) and refused.reason == "reset"
    assert isinstance(second, Page) and (numbers(second), second.more) == ([2], False)
    assert isinstance(empty, Page) and (empty.stored, empty.more) == ([], False)
    assert store.read([]) == []


def test_p4_floor_set_under_a_short_window_still_refuses_when_the_window_has_grown(store: Store, clock: Clock) -> None:
    cursor = cursor_now(store)
    clock.advance(1)
    store.raise_floors(Floors([feed(window=60 * SECOND)]))
    clock.advance(121)
    # Its key expires after two windows.
    store.client.delete(store.keys.floor(feed().name))
    assert refusal(store, cursor) == "reset"
