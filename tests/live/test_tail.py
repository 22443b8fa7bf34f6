"""What a process keeps of the ends of feeds, and where those who listen stand in it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest

from diffs.codec import Encoder
from diffs.cursor import Cursor
from diffs.errors import CursorExpired
from diffs.http.addresses import find_target
from diffs.http.documents import AS_JSON, AS_MSGPACK, Form
from diffs.http.live import tail as module
from diffs.http.live.tail import Log, Place, Tail
from diffs.http.render import Rendered, render
from diffs.store import Page, Read, Stored

TARGET = find_target("testapp.notice", "1")
EPOCH, OTHER = "aaaaaaaa", "bbbbbbbb"

_nonces = itertools.count(1)


def stored(position: int, body: str = "") -> Stored:
    return Stored(Encoder("update", 7, next(_nonces).to_bytes(4, "big"), {"body": body}, None).own(), position)


def diff(position: int, body: str = "") -> Rendered:
    return render(TARGET.own, stored(position, body), AS_JSON)


def page(*positions: int, start: int = 0, end: int | None = None, epoch: str = EPOCH) -> Page:
    return Page([stored(position) for position in positions], Cursor(epoch, end or positions[-1]), False, start)


def positions(news: Sequence[Rendered] | None) -> list[int] | None:
    return None if news is None else [one.stored.position for one in news]


def take(tail: Tail, *taken: int, end: int | None = None, forms: Sequence[Form] = (AS_JSON,)) -> None:
    """Let a tail read diffs at some positions."""
    read = page(*taken, start=tail.position, end=end)
    tail.take(read, {form: [render(tail.own, one, form) for one in read.stored] for form in forms})


def opened(at: int = 10) -> Tail:
    tail = Tail(TARGET)
    tail.open(Cursor(EPOCH, at))
    return tail


def placed(tail: Tail, at: int = 10, form: Form = AS_JSON) -> Place:
    """A place of somebody who has read everything up to there."""
    place = Place(tail, form)
    place.begin_reading()
    place.has_read(Cursor(EPOCH, at))
    return place


def test_log_gives_what_came_after_a_timestamp_from_where_it_began() -> None:
    log = Log(10)
    log.add([diff(11), diff(15)])

    assert [positions(log.after(at)) for at in (9, 10, 11, 14, 15, 99)] == [None, [11, 15], [15], [15], [], []]


def test_log_leaves_damaged_diffs_out() -> None:
    log = Log(10)
    log.add([None, diff(12), None])

    assert positions(log.after(10)) == [12]


def test_log_with_many_diffs_forgets_the_older_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 4)
    log = Log(10)
    for position in range(11, 16):
        log.add([diff(position)])

    assert [positions(log.after(at)) for at in (11, 12)] == [None, [13, 14, 15]]


def test_log_with_large_diffs_forgets_the_older_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10_000)
    log = Log(10)
    for position in range(11, 15):
        log.add([diff(position, 3000 * "x")])

    assert [positions(log.after(at)) for at in (11, 12)] == [None, [13, 14]]


@pytest.mark.parametrize("body", ["", 1000 * "x"])
def test_log_keeps_what_came_last_however_much_that_is(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 4)
    monkeypatch.setattr(module, "MAX_BYTES", 5000)
    log = Log(10)
    log.add([diff(11)])
    log.add([diff(position, body) for position in range(12, 20)])
    whoever_was_up_to_date = positions(log.after(11))
    log.add([diff(20)])

    assert whoever_was_up_to_date == list(range(12, 20))
    assert positions(log.after(19)) == [20]
    assert log.after(11) is None


def test_log_forgets_at_the_second_look_what_was_there_at_the_first() -> None:
    log = Log(10)
    log.add([diff(11)])
    log.age()
    log.add([diff(12)])
    after_first = positions(log.after(10))
    log.age()

    assert after_first == [11, 12]
    assert [positions(log.after(at)) for at in (10, 11)] == [None, [12]]
    log.age()
    assert [positions(log.after(at)) for at in (11, 12)] == [None, []]


def test_log_forgets_nothing_that_could_not_be_missed() -> None:
    log = Log(10)
    for _ in range(3):
        log.age()

    assert positions(log.after(10)) == []


def test_what_was_made_for_one_listener_serves_all_who_stand_between_the_same_diffs() -> None:
    tail = opened(10)
    first, second, ahead = (placed(tail, at) for at in (10, 13, 20))
    take(tail, 20, 21)
    assert first.take_made() is None
    first.at = 21
    first.keep_made(10, b"what was made")

    assert (second.take_made(), second.at) == (b"what was made", 21)
    assert (second.take_made(), ahead.take_made()) == (None, None)


CHANGES: dict[str, Callable[[Tail], None]] = {
    "more comes": lambda tail: take(tail, 30),
    "it ages": lambda tail: (tail.age(), tail.age())[0],
    "it is refused": lambda tail: tail.refuse(CursorExpired("reset", str(Cursor(EPOCH, 9)))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_made_is_thrown_away_when(change: str) -> None:
    tail = opened(10)
    first, second = placed(tail), placed(tail)
    take(tail, 20)
    first.at = 20
    first.keep_made(10, b"what was made")
    CHANGES[change](tail)

    assert second.take_made() is None


def test_listener_of_other_data_is_not_given_what_was_made_of_these() -> None:
    tail = opened(10)
    first, second = placed(tail), placed(tail)
    second.has_read(Cursor(OTHER, 10))
    take(tail, 20)
    first.at = 20
    first.keep_made(10, b"what was made")

    assert second.take_made() is None


def test_listener_gets_what_the_tail_reads() -> None:
    tail = opened()
    place = placed(tail)
    take(tail, 11, 12)

    assert positions(place.news) == [11, 12]
    place.at = 11
    assert positions(place.news) == [12]


def test_p1_listener_gets_what_came_while_it_read_and_not_what_it_has_read() -> None:
    tail = opened()
    place = Place(tail, AS_JSON)
    place.begin_reading()
    take(tail, 11, 12)
    place.has_read(Cursor(EPOCH, 11))
    take(tail, 13)

    assert positions(place.news) == [12, 13]


def test_p1_listener_who_read_nothing_new_stands_where_the_tail_stood_then() -> None:
    tail = opened(10)
    take(tail, 11)
    place = Place(tail, AS_JSON)
    place.begin_reading()
    take(tail, 12)
    # The feed held nothing above its own cursor, which is older than the log.
    place.has_read(Cursor(EPOCH, 5))

    assert (place.at, positions(place.news)) == (11, [12])


def test_p1_listener_with_more_to_read_stands_where_its_page_ended() -> None:
    tail = opened(10)
    place = Place(tail, AS_JSON)
    place.begin_reading()
    place.has_read(Cursor(EPOCH, 5), more=True)

    assert (place.at, place.news) == (5, None)


def test_listener_who_has_read_further_than_the_tail_is_given_nothing_twice() -> None:
    tail = opened()
    place = placed(tail, at=12)
    take(tail, 11, 12, 13)

    assert positions(place.news) == [13]


def test_listener_who_fell_behind_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    tail = opened()
    place = placed(tail)
    for position in range(11, 15):
        take(tail, position)

    assert place.news is None
    assert place.cursor == Cursor(EPOCH, 10)


def test_cursor_of_whoever_has_everything_is_the_tail_s() -> None:
    tail = opened()
    place = placed(tail)
    take(tail, 11, end=30)
    with_news = place.cursor
    place.at = 11

    assert (with_news, place.cursor) == (Cursor(EPOCH, 10), Cursor(EPOCH, 30))


def test_cursor_of_whoever_has_read_further_than_the_tail_is_its_own() -> None:
    place = placed(opened(), at=20)

    assert place.cursor == Cursor(EPOCH, 20)


def test_tail_reads_on_from_where_it_stands() -> None:
    tail = opened()
    assert tail.request() == Read(TARGET.feed, module.MAX_ENTRIES, Cursor(EPOCH, 10))
    take(tail, 11, end=15)

    assert (tail.request().cursor, tail.position) == (Cursor(EPOCH, 15), 15)
    assert Tail(TARGET).position == -1


def test_p4_refusal_resets_all_who_listen_and_they_go_on_from_the_fresh_cursor() -> None:
    tail = opened()
    place = placed(tail)
    take(tail, 11)
    tail.refuse(CursorExpired("reset", str(Cursor(OTHER, 5))))
    take_of_other = page(7, start=5, epoch=OTHER)
    tail.take(take_of_other, {AS_JSON: [render(TARGET.own, one, AS_JSON) for one in take_of_other.stored]})

    assert place.was_reset
    refusal = place.accept_reset()
    assert (refusal.reason, place.was_reset, place.epoch, place.at) == ("reset", False, OTHER, 5)
    assert positions(place.news) == [7]


def test_p4_listener_of_other_data_than_the_tail_s_is_given_nothing_before_it_was_reset() -> None:
    tail = opened()
    place = Place(tail, AS_JSON)
    place.begin_reading()
    # It read after a flush that the tail hasn't noticed yet.
    place.has_read(Cursor(OTHER, 3))
    take(tail, 11)

    assert (positions(place.news), place.cursor) == ([], Cursor(OTHER, 3))
    tail.refuse(CursorExpired("reset", str(Cursor(OTHER, 5))))
    assert place.was_reset


def test_reset_before_a_reading_began_concerns_it_no_more() -> None:
    tail = opened()
    place = Place(tail, AS_JSON)
    tail.refuse(CursorExpired("reset", str(Cursor(OTHER, 5))))
    place.begin_reading()
    place.has_read(Cursor(OTHER, 6))

    assert not place.was_reset


def test_reset_during_a_reading_is_not_overlooked() -> None:
    tail = opened()
    place = Place(tail, AS_JSON)
    place.begin_reading()
    tail.refuse(CursorExpired("reset", str(Cursor(EPOCH, 50))))
    place.has_read(Cursor(EPOCH, 12))

    assert place.was_reset
    place.accept_reset()
    assert place.at == 50


def test_each_form_has_its_own_log_and_one_that_comes_later_begins_then() -> None:
    tail = opened()
    first = placed(tail)
    take(tail, 11)
    second = placed(tail, at=11, form=AS_MSGPACK)
    assert tail.forms == [AS_JSON, AS_MSGPACK]
    take(tail, 12, forms=(AS_JSON, AS_MSGPACK))

    assert [positions(place.news) for place in (first, second)] == [[11, 12], [12]]
    news = [place.news for place in (first, second)]
    assert [one[-1].part.body[:1] for one in news if one] == [b"{", b"\x87"]


def test_p1_form_that_is_wanted_while_the_tail_is_read_has_it_read_again() -> None:
    tail = opened()
    first, late = placed(tail), placed(tail, form=AS_MSGPACK)
    page_of_then = page(11, start=10)
    was_taken = tail.take(page_of_then, {AS_JSON: [render(tail.own, one, AS_JSON) for one in page_of_then.stored]})

    assert (was_taken, tail.request().cursor) == (False, Cursor(EPOCH, 10))
    take(tail, 11, forms=tail.forms)
    assert [positions(place.news) for place in (first, late)] == [[11], [11]]


def test_tail_that_ages_tells_whoever_stood_still_to_read_again() -> None:
    tail = opened()
    slow, quick = placed(tail), placed(tail)
    take(tail, 11)
    tail.age()
    quick.at = 11
    take(tail, 12)
    tail.age()

    assert (slow.news, positions(quick.news)) == (None, [12])
