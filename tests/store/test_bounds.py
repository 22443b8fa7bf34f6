"""P3 and P4 of feeds that keep no more than so many diffs: the newest stay, and who missed one that went is refused."""

from __future__ import annotations

import pytest
import six

from diffs.store import Entry, Floors, Read, Store

from .feeds import (
    SECOND,
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

BOUNDED = feed(bound=10)


def stored(store: Store) -> int:
    """How many stand in the sorted set, whether they may be read or not."""
    count: int = store.client.zcard(store.keys.feed(BOUNDED.name))
    return count


def floor(store: Store) -> int | None:
    found = store.client.get(store.keys.floor(BOUNDED.name))
    return None if found is None else int(six.ensure_str(found))


def test_p3_feed_keeps_the_newest_of_as_many_as_its_bound_allows(store: Store) -> None:
    for number in range(25):
        add(store, number, to=BOUNDED)
        assert numbers(read_all(store, BOUNDED)) == list(range(max(0, number - 9), number + 1))
        assert stored(store) == min(number + 1, 10)


def test_p3_large_feed_at_its_bound_loses_a_hundredth_at_once(store: Store) -> None:
    large = BOUNDED._replace(max_elements=300)
    sizes = []
    for number in range(320):
        add(store, number, to=large)
        sizes.append(stored(store))
    assert sizes == [*range(1, 301), *[297, 298, 299, 300] * 5]
    assert numbers(read_all(store)) == list(range(20, 320))
    assert (floor(store) or 0) < positions(read_all(store))[0]


def test_p2_what_was_added_just_now_stays_for_a_call_that_is_repeated(store: Store) -> None:
    large = BOUNDED._replace(max_elements=300)
    add(store, *range(100), to=large)
    for _ in range(2):
        add(store, *range(1000, 1299), to=large)
        assert numbers(read_all(store))[-299:] == list(range(1000, 1299))
        assert stored(store) == 299


def test_p3_transaction_larger_than_the_bound_leaves_its_newest(store: Store) -> None:
    add(store, 1, 2, to=BOUNDED)
    add(store, *range(100, 125), to=BOUNDED)
    assert numbers(read_all(store, BOUNDED)) == list(range(115, 125))
    assert stored(store) == 10


def test_p3_very_large_transaction_is_cut_in_one_call(store: Store) -> None:
    add(store, *range(3000), to=BOUNDED)
    add(store, *range(3000, 9000), to=feed(bound=5000))
    assert numbers(read_all(store, BOUNDED)) == list(range(4000, 9000))


def test_p3_lowered_bound_is_reached_by_a_thousand_with_each_append(store: Store) -> None:
    add(store, *range(2500))
    sizes = []
    for number in range(2500, 2503):
        add(store, number, to=BOUNDED)
        sizes.append(stored(store))
    assert sizes == [1501, 502, 10]
    assert numbers(read_all(store, BOUNDED)) == list(range(2493, 2503))


def test_p3_appends_larger_than_what_one_call_removes_keep_no_more_than_their_window(
    store: Store, clock: Clock
) -> None:
    sizes = []
    for start in range(0, 15_000, 3000):
        add(store, *range(start, start + 3000), to=feed(window=60 * SECOND))
        sizes.append(stored(store))
        clock.advance(61)
    assert sizes == [3000] * 5


def test_p3_feed_without_a_bound_keeps_all(store: Store) -> None:
    add(store, *range(25))
    assert stored(store) == 25
    assert floor(store) is None


def test_p3_bounds_are_each_feed_s_own(store: Store) -> None:
    first, second, third = neighbours(3)
    feeds = [first._replace(max_elements=2), second, third._replace(max_elements=3)]
    store.append(Entry(one, member(number)) for number in range(5) for one in feeds)
    assert [numbers(read_all(store, one)) for one in feeds] == [[3, 4], [0, 1, 2, 3, 4], [2, 3, 4]]
    floors = [store.client.exists(store.keys.floor(one.name)) for one in feeds]
    assert floors == [1, 0, 1]


def test_p3_floor_that_a_bound_raised_expires_after_two_windows(store: Store) -> None:
    add(store, *range(11), to=BOUNDED._replace(window=60 * SECOND))
    assert 119_000 < store.client.pttl(store.keys.floor(BOUNDED.name)) <= 120_000


def test_p4_only_who_stands_below_the_last_that_went_is_refused(store: Store) -> None:
    begin = cursor_now(store)
    add(store, *range(10), to=BOUNDED)
    cursors = [begin._replace(timestamp=position) for position in positions(read_all(store, BOUNDED))]
    add(store, 10, 11, 12, to=BOUNDED)
    assert [refusal(store, cursor) for cursor in (begin, *cursors[:2])] == ["reset"] * 3
    for seen, cursor in enumerate(cursors[2:], 3):
        page = store.read_one(Read(feed=BOUNDED, cursor=cursor, limit=100))
        assert numbers(page) == list(range(seen, 13))


def test_p4_who_is_up_to_date_is_never_refused_by_a_feed_at_its_bound(store: Store, clock: Clock) -> None:
    cursor = cursor_now(store)
    for start in range(0, 200, 10):
        add(store, *range(start, start + 10), to=BOUNDED)
        page = store.read_one(Read(feed=BOUNDED, cursor=cursor, limit=100))
        assert numbers(page) == list(range(start, start + 10))
        cursor = page.cursor
        clock.advance(1)


def test_p4_transaction_larger_than_the_bound_refuses_who_was_up_to_date(store: Store) -> None:
    add(store, 0, to=BOUNDED)
    cursor = read_all(store).cursor
    add(store, *range(1, 12), to=BOUNDED)
    assert refusal(store, cursor) == "reset"
    assert floor(store) == positions(read_all(store))[0] - 1


def test_p4_floor_of_a_large_transaction_rises_although_older_diffs_are_still_to_be_removed(store: Store) -> None:
    add(store, *range(5000))
    cursor = read_all(store).cursor
    add(store, *range(5000, 5012), to=BOUNDED)
    assert stored(store) == 4010
    assert refusal(store, cursor) == "reset"
    assert numbers(read_all(store)) == list(range(5002, 5012))


def test_p2_repeated_transaction_larger_than_the_bound_adds_nothing(store: Store) -> None:
    for _ in range(2):
        add(store, *range(25), to=BOUNDED)
        assert numbers(read_all(store)) == list(range(15, 25))
    assert positions(read_all(store))[0] - 1 == floor(store)


def test_p4_bound_never_lowers_a_floor(store: Store) -> None:
    add(store, *range(10), to=BOUNDED)
    cursor = read_all(store).cursor
    store.raise_floors(Floors([BOUNDED]))
    raised = floor(store)
    add(store, 10, 11, to=BOUNDED)
    assert stored(store) == 10
    assert floor(store) == raised
    assert refusal(store, cursor) == "reset"
    assert numbers(read_all(store)) == [10, 11]


def test_p4_what_is_older_than_the_window_goes_without_a_floor(store: Store, clock: Clock) -> None:
    add(store, *range(10), to=BOUNDED)
    clock.advance(3601)
    add(store, *range(10, 20), to=BOUNDED)
    assert stored(store) == 10
    assert floor(store) is None


def test_p4_longer_window_does_not_bring_back_who_was_refused_for_a_bound(store: Store, clock: Clock) -> None:
    short = BOUNDED._replace(window=60 * SECOND)
    cursor = cursor_now(store, short)
    add(store, *range(11), to=short)
    # When the floor itself has expired.
    clock.advance(121)
    store.client.delete(store.keys.floor(BOUNDED.name))
    assert refusal(store, cursor, short) == "window"
    assert refusal(store, cursor, BOUNDED) == "reset"
