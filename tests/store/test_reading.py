"""Reading in every way: either end first, between bounds, counted, and byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from diffs import cursor as cursors
from diffs.cursor import Cursor
from diffs.errors import CursorExpired
from diffs.store import Entry, Floors, Known, Page, Read, Store, Stored

from .feeds import START, WINDOW, Clock, add, cursor_now, feed, numbers, positions, read_all, refusal

pytestmark = pytest.mark.store


def test_newest_first_gives_the_last_diffs_and_the_present_cursor(store: Store) -> None:
    add(store, *range(5))
    page = store.read_one(Read(feed=feed(), limit=2, mode="desc"))
    assert (numbers(page), page.more, page.cursor) == ([4, 3], True, cursor_now(store))
    page = store.read_one(Read(feed=feed(), limit=9, mode="desc"))
    assert (numbers(page), page.more) == ([4, 3, 2, 1, 0], False)


def test_newest_first_stops_at_the_cursor_and_refuses_like_any_reading(store: Store) -> None:
    add(store, 1, 2)
    cursor = cursor_now(store)
    add(store, 3, 4)
    page = store.read_one(Read(feed=feed(), cursor=cursor, limit=9, mode="desc"))
    assert (numbers(page), page.more) == ([4, 3], False)
    with pytest.raises(CursorExpired):
        store.read_one(Read(feed=feed(), cursor=Cursor("00000000", 0), limit=9, mode="desc"))


@pytest.mark.parametrize(
    ("mode", "offset", "expected", "more"),
    [
        ("asc", 0, [0, 1], True),
        ("asc", 3, [3, 4], False),
        ("asc", 4, [4], False),
        ("asc", 9, [], False),
        ("desc", 1, [3, 2], True),
        ("desc", 3, [1, 0], False),
    ],
)
def test_offset_passes_over_diffs_from_either_end(
    store: Store, mode: Any, offset: int, expected: list[int], more: bool
) -> None:
    add(store, *range(5))
    page = store.read_one(Read(feed=feed(), limit=2, offset=offset, mode=mode))
    assert (numbers(page), page.more) == (expected, more)


def test_reading_between_two_timestamps_takes_the_upper_one_in_and_leaves_the_lower_one_out(store: Store) -> None:
    add(store, *range(5))
    all_positions = positions(read_all(store))
    page = store.read_one(Read(feed=feed(), lower=all_positions[1], upper=all_positions[3], limit=9))
    assert (numbers(page), page.cursor.timestamp) == ([2, 3], all_positions[3])
    assert store.count(Read(feed=feed(), lower=all_positions[1], upper=all_positions[3])) == 2
    beyond = store.read_one(Read(feed=feed(), upper=2**52, limit=9))
    assert (numbers(beyond), beyond.cursor) == ([0, 1, 2, 3, 4], cursor_now(store))
    backwards = store.read_one(Read(feed=feed(), lower=all_positions[1], upper=all_positions[3], limit=9, mode="desc"))
    assert numbers(backwards) == [3, 2]


def test_page_of_a_bounded_reading_that_is_cut_off_goes_on_behind_its_last_diff(store: Store) -> None:
    add(store, *range(5))
    upper = positions(read_all(store))[3]
    page = store.read_one(Read(feed=feed(), upper=upper, limit=2))
    assert (numbers(page), page.more) == ([0, 1], True)
    page = store.read_one(Read(feed=feed(), cursor=page.cursor, upper=upper, limit=2))
    assert (numbers(page), page.more, page.cursor.timestamp) == ([2, 3], False, upper)


def test_lower_bound_below_what_is_kept_refuses_nothing(store: Store, clock: Clock) -> None:
    add(store, 1)
    clock.advance(3700)
    add(store, 2)
    assert numbers(store.read_one(Read(feed=feed(), lower=0, limit=9))) == [2]
    assert store.count(Read(feed=feed(), lower=0)) == 1


def test_counting_reads_nothing_and_refuses_like_reading(store: Store) -> None:
    add(store, *range(1200))
    cursor = cursor_now(store)
    add(store, 2000)
    assert store.count(Read(feed=feed())) == 1201
    assert store.count(Read(feed=feed(), cursor=cursor)) == 1
    with pytest.raises(CursorExpired):
        store.count(Read(feed=feed(), cursor=Cursor("00000000", 0)))


def test_counting_with_an_old_cursor_gives_a_fresh_one_in_a_second_trip(store: Store, clock: Clock) -> None:
    cursor = cursor_now(store)
    clock.advance(5000)
    with pytest.raises(CursorExpired) as caught:
        store.count(Read(feed=feed(), cursor=cursor))
    assert (caught.value.reason, cursors.parse(caught.value.cursor).timestamp) == ("window", clock.time)


def test_diff_older_than_the_window_is_hidden_before_it_is_trimmed(store: Store, clock: Clock) -> None:
    add(store, 1)
    clock.time = read_all(store).stored[0].position + WINDOW
    assert (store.count(Read(feed=feed())), read_all(store).stored) == (0, [])
    assert store.client.zcard(store.keys.feed(feed().name)) == 1


def test_page_without_room_shows_only_that_there_is_more(store: Store) -> None:
    cursor = cursor_now(store)
    add(store, 1)
    page = store.read_one(Read(feed=feed(), cursor=cursor, limit=0))
    assert page == Page([], cursor, True, cursor.timestamp)


@pytest.fixture
def history(store: Store) -> tuple[Cursor, Page]:
    """A cursor, and the five diffs that came after it."""
    cursor = cursor_now(store)
    add(store, *range(5))
    return cursor, store.read_one(Read(feed=feed(), cursor=cursor, limit=9))


@pytest.mark.parametrize(
    ("known", "limit", "expected", "more"),
    [(1, 9, [1, 2, 3, 4], False), (3, 5, [3, 4], False), (3, 4, [3], True), (3, 3, [], True), (5, 5, [], False)],
)
def test_what_the_reader_knows_is_not_returned_but_counts_for_the_limit(
    store: Store, history: tuple[Cursor, Page], known: int, limit: int, expected: list[int], more: bool
) -> None:
    cursor, whole = history
    last = whole.stored[known - 1].position
    page = store.read_one(Read(feed=feed(), cursor=cursor, limit=limit, known=Known(known, last)))
    assert (numbers(page), page.more, page.start) == (expected, more, last)
    assert page.cursor.timestamp == (page.stored[-1].position if page.stored else last)


@pytest.mark.parametrize("claimed", [1, 3])
def test_reader_who_knows_something_else_than_the_feed_holds_gets_all_of_it(
    store: Store, history: tuple[Cursor, Page], claimed: int
) -> None:
    cursor, whole = history
    known = Known(claimed, whole.stored[1].position)
    assert store.read_one(Read(feed=feed(), cursor=cursor, limit=9, known=known)) == whole


def test_reader_who_knows_what_the_server_has_lost_gets_what_it_has(
    store: Store, history: tuple[Cursor, Page], clock: Clock
) -> None:
    cursor, whole = history
    beyond = Known(5, clock.time + 1000)
    assert store.read_one(Read(feed=feed(), cursor=cursor, limit=9, known=beyond)) == whole


def test_refused_cursor_is_refused_whatever_its_reader_knows(store: Store, history: tuple[Cursor, Page]) -> None:
    cursor, whole = history
    store.clear(feed())
    with pytest.raises(CursorExpired):
        store.read_one(Read(feed=feed(), cursor=cursor, limit=9, known=Known(5, whole.stored[-1].position)))


def test_cursor_of_a_reader_who_knows_all_is_renewed_as_late_as_with_the_diffs_before_it(
    store: Store, clock: Clock
) -> None:
    cursor = cursor_now(store)
    clock.advance(1700)
    add(store, 1)
    (stored,) = read_all(store).stored
    read = Read(feed=feed(), cursor=cursor, limit=9, known=Known(1, stored.position))
    clock.advance(1700)
    assert store.read_one(read).cursor.timestamp == stored.position
    clock.advance(150)
    assert store.read_one(read).cursor.timestamp == clock.time


def test_page_tells_from_where_on_it_holds_everything(store: Store, clock: Clock) -> None:
    add(store, 1)
    cursor = cursor_now(store)
    add(store, 2)
    assert store.read_one(Read(feed=feed(), cursor=cursor, limit=9)).start == cursor.timestamp
    clock.advance(3700)
    assert read_all(store).start == clock.time - WINDOW
    store.raise_floors(Floors([feed()]))
    assert read_all(store).start == cursor_now(store).timestamp


def test_member_comes_back_as_the_bytes_that_it_was(store: Store) -> None:
    every_byte = bytes(range(256)) * 4
    store.append([Entry(feed(), every_byte)])
    assert read_all(store).stored == [Stored(every_byte, START + 1)]


def test_feeds_of_another_prefix_are_other_feeds(store: Store, client: redis.Redis, clock: Clock) -> None:
    other = Store(client, "other", now=clock)
    add(store, 1)
    assert read_all(other).stored == []
    assert refusal(other, cursor_now(store)) == "reset"
    other.close()
