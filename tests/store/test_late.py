"""The append script finds what comes after a later diff of its row, on every server."""

from __future__ import annotations

import pytest
import redis

from diffs.codec import Encoder, Row, version_of
from diffs.cursor import Cursor
from diffs.errors import StoreUnavailable
from diffs.store import Entry, FeedRef, Floors, Store
from diffs.store.marks import UNKNOWN, Marks

from .feeds import WINDOW, Clock, cursor_now, feed, neighbours, read_all, refusal

pytestmark = pytest.mark.store

DATABASE = 4_000_000_000_000_000


def own(version: int, nonce: int = 0, data: int = 0) -> bytes:
    return Encoder("update", version, nonce.to_bytes(4, "big"), {"n": data}).own()


def entry(store: Store, version: int, *, pk: object = None, nonce: int = 0, to: FeedRef | None = None) -> Entry:
    """A diff that is captured now: of the object that the feed is named after, or of a child with this key."""
    to = to or feed()
    mark = store.marks.of(to.name.shard)
    encoder = Encoder("update", version, nonce.to_bytes(4, "big"), {"n": version})
    if pk is None:
        return Entry(to, encoder.own(), mark)
    foreign = encoder.foreign(Row("polls.choice", pk))
    return Entry(to, foreign, mark, len(foreign) - len(encoder.own()))


def versions(store: Store, of: FeedRef | None = None) -> list[int]:
    return [version_of(stored.member) for stored in read_all(store, of).stored]


def late(store: Store, *entries: Entry) -> list[tuple[int, int]]:
    """Append in one call; the versions of those that came late, with the versions that were ahead."""
    return [(version_of(one.entry.member), one.version) for one in store.append(list(entries)).late]


@pytest.fixture
def learned(store: Store) -> Store:
    store.mark(feed().name.shard)
    return store


def test_p7_a_lower_version_after_a_higher_one_is_late_and_not_appended(learned: Store) -> None:
    early = entry(learned, 5)
    assert late(learned, entry(learned, 7)) == []
    assert late(learned, early) == [(5, 7)]
    assert versions(learned) == [7]


def test_a_higher_version_is_never_late(learned: Store) -> None:
    entries = [entry(learned, version) for version in (5, 6)]
    for one in entries:
        assert late(learned, one) == []
    assert versions(learned) == [5, 6]


def test_one_call_puts_versions_in_their_order(learned: Store) -> None:
    assert late(learned, *(entry(learned, version) for version in (5, 6, 7))) == []
    assert versions(learned) == [5, 6, 7]


@pytest.mark.parametrize("pk", [7, "seven", "x" * 300, [1, "a"], "\x00\xff", -1, 2**50])
def test_p7_rows_of_a_feed_are_told_apart(learned: Store, pk: object) -> None:
    early = [entry(learned, 5, pk=pk), entry(learned, 5, pk="other"), entry(learned, 5)]
    late(learned, entry(learned, 7, pk=pk), entry(learned, 4, pk="other", nonce=1))
    assert late(learned, *early) == [(5, 7)]
    assert versions(learned) == [7, 4, 5, 5]


def test_p7_the_object_s_own_diffs_and_its_children_s_are_told_apart(learned: Store) -> None:
    early = entry(learned, 5)
    late(learned, entry(learned, 7, pk=1))
    assert late(learned, early) == []
    early = entry(learned, 6, pk=2)
    late(learned, entry(learned, 8))
    assert late(learned, early) == []


def test_p7_in_many_only_those_are_late_that_are_and_the_others_are_appended(learned: Store) -> None:
    early = [entry(learned, 5, pk=pk) for pk in range(1200)]
    late(learned, *(entry(learned, 7, pk=pk, nonce=1) for pk in range(0, 1200, 100)))
    assert len(late(learned, *early)) == 12
    assert sorted(versions(learned)) == [5] * 1188 + [7] * 12


def test_p2_what_is_there_already_is_not_late(learned: Store) -> None:
    early = entry(learned, 5)
    assert late(learned, early) == []
    assert late(learned, entry(learned, 7)) == []
    assert late(learned, early) == []
    assert versions(learned) == [5, 7]


def test_versions_by_the_database_are_not_ahead_of_the_clock_s(learned: Store) -> None:
    early = entry(learned, 1_790_000_000_000_000)
    late(learned, entry(learned, DATABASE + 1))
    assert late(learned, early) == []
    early = entry(learned, DATABASE + 2)
    late(learned, entry(learned, 1_790_000_000_000_001))
    assert late(learned, early) == []


def test_large_versions_are_compared_exactly(learned: Store) -> None:
    early = entry(learned, DATABASE + 1)
    late(learned, entry(learned, DATABASE + 2))
    assert late(learned, early) == [(DATABASE + 1, DATABASE + 2)]


@pytest.mark.parametrize("mark", [UNKNOWN, Cursor("elsewhere", 10**15)])
def test_p7_without_a_mark_of_this_data_everything_may_be_late(learned: Store, mark: Cursor) -> None:
    late(learned, entry(learned, 4))
    assert late(learned, entry(learned, 5)._replace(since=mark)) == [(5, 0)]


def test_nothing_is_late_where_nobody_asks(learned: Store) -> None:
    late(learned, entry(learned, 7))
    assert late(learned, entry(learned, 5)._replace(since=None)) == []


def test_p7_after_a_clearing_or_a_raised_floor_everything_may_be_late(learned: Store) -> None:
    late(learned, entry(learned, 4))
    for refuse in (
        lambda: learned.clear(feed()),
        lambda: learned.raise_floors(Floors([feed()])),
        lambda: learned.raise_floors(Floors(models=["polls.question"])),
        lambda: learned.raise_floors(Floors(everything=True)),
    ):
        early = entry(learned, 5)
        refuse()
        assert late(learned, early) == [(5, 0)]
        assert late(learned, entry(learned, 5)) == []
        learned.clear(feed())


def test_p4_what_a_bound_leaves_out_of_a_call_with_late_ones_refuses_who_was_up_to_date(learned: Store) -> None:
    bounded = feed(bound=2)
    late(learned, *(entry(learned, 1, pk=pk, to=bounded) for pk in (1, 2)))
    cursor = cursor_now(learned, bounded)
    entries = [entry(learned, 5, pk=pk, to=bounded)._replace(since=UNKNOWN) for pk in range(4)]
    assert late(learned, *entries) == [(5, 0), (5, 0)]
    assert refusal(learned, cursor, bounded) == "reset"


def test_p7_what_was_captured_a_window_ago_may_be_late(learned: Store, clock: Clock) -> None:
    late(learned, entry(learned, 4))
    early = entry(learned, 5)
    other = neighbours(2)[1]
    clock.advance(WINDOW / 1_000_000 + 1)
    late(learned, entry(learned, 9, to=other))
    assert late(learned, early) == [(5, 0)]
    assert late(learned, entry(learned, 5)) == []


def test_where_a_shard_stood_still_nothing_can_have_come_since(learned: Store, clock: Clock) -> None:
    late(learned, entry(learned, 4))
    early = entry(learned, 5)
    clock.advance(2 * WINDOW / 1_000_000)
    assert late(learned, early) == []


def test_p7_where_too_much_came_since_everything_may_be_late(learned: Store) -> None:
    early = entry(learned, 5, pk="mine")
    for start in range(0, 2001, 500):
        late(learned, *(entry(learned, 7, pk=start + number) for number in range(500)))
    assert late(learned, early) == [(5, 0)]


def test_p7_who_finds_a_shard_empty_begins_it_and_so_notices_that_it_lost_data(
    store: Store, client: redis.Redis, clock: Clock
) -> None:
    shard = feed().name.shard
    assert store.marks.of(shard) == UNKNOWN
    mark = store.mark(shard)
    assert mark == store.marks.of(shard) != UNKNOWN
    early = entry(store, 5)
    other = Store(client, "diffs", now=clock)
    assert other.mark(shard) == mark
    late(other, entry(other, 7))
    assert late(store, early) == [(5, 7)]
    early = entry(store, 6)
    client.flushall()
    other = Store(client, "diffs", now=clock)
    other.mark(shard)
    assert late(store, early) == [(6, 0)]


def test_p6_without_a_server_no_mark_is_known(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    away = Store(redis.Redis(unix_socket_path="/nowhere"), "diffs")
    with pytest.raises(StoreUnavailable):
        away.mark("00")
    assert away.marks.of("00") == UNKNOWN
    away.close()


def test_a_flush_forgets_marks(learned: Store, client: redis.Redis) -> None:
    late(learned, entry(learned, 4))
    client.flushall()
    assert late(learned, entry(learned, 5)) == [(5, 0)]
    assert late(learned, entry(learned, 5)) == []


def test_p7_stale_marks_are_as_good_as_new_ones(learned: Store, client: redis.Redis, clock: Clock) -> None:
    other = Store(client, "diffs", now=clock)
    other.mark(feed().name.shard)
    early = entry(learned, 5)
    for number in range(1, 5):
        late(other, entry(other, number, pk=number))
    late(other, entry(other, 9))
    assert late(learned, early) == [(5, 9)]


def test_a_key_of_another_type_is_told_beside_what_is_late(learned: Store, client: redis.Redis) -> None:
    late(learned, entry(learned, 4))
    early = entry(learned, 5)
    late(learned, entry(learned, 7))
    wrong = neighbours(2)[1]
    client.set(learned.keys.feed(wrong.name), "no feed")
    assert late(learned, early, entry(learned, 1, to=wrong)) == [(5, 7)]


@pytest.mark.parametrize(
    ("marks", "lowest"),
    [
        ([None], None),
        ([UNKNOWN], UNKNOWN),
        ([Cursor("a", 3), Cursor("a", 2)], Cursor("a", 2)),
        ([Cursor("a", 3), Cursor("b", 2)], UNKNOWN),
        ([Cursor("a", 3), None], UNKNOWN),
    ],
)
def test_several_diffs_have_the_lowest_of_their_marks(marks: list[Cursor | None], lowest: Cursor | None) -> None:
    assert Marks.lowest(marks) == lowest
