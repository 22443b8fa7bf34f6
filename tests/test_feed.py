"""Feeds as server code reads them: lazy sequences that ask for no more than they need."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from diffs import feed as feeds
from diffs.codec import Encoder, new_nonce
from diffs.cursor import Cursor, parse
from diffs.diff import UPDATE, Diff
from diffs.errors import CursorExpired
from diffs.feed import Feed, feed_of
from diffs.store import Entry, get_store
from tests.endpoint.feeds import Feed as Filled
from tests.servers import RedisServer
from tests.testapp.models import Choice, Question, Seat

UTC = dt.timezone.utc


def texts(found: Any) -> list[str]:
    """What the diffs of a feed say."""
    return [diff.data["text"] for diff in found]


@pytest.fixture
def filled() -> Filled:
    """The feed of a question, with five diffs: a to e."""
    filled = Filled(Question, 1)
    for letter in "abcde":
        filled.append(data={"text": letter})
    return filled


@pytest.fixture
def feed(filled: Filled) -> Feed:
    return Question(pk=1).diffs  # type: ignore[attr-defined, no-any-return]


class TestSequence:
    def test_it_has_a_length_and_is_true_where_there_are_diffs(self, feed: Feed) -> None:
        assert (len(feed), bool(feed)) == (5, True)
        assert (len(Question(pk=2).diffs), bool(Question(pk=2).diffs)) == (0, False)  # type: ignore[attr-defined]

    def test_it_is_read_from_the_oldest_on_and_backwards(self, feed: Feed) -> None:
        assert texts(feed) == list("abcde")
        assert texts(reversed(feed)) == list("edcba")
        assert [diff.position for diff in feed] == sorted({diff.position for diff in feed})

    def test_an_index_gives_one_diff(self, feed: Feed) -> None:
        assert texts([feed[0], feed[4], feed[-1], feed[-5]]) == ["a", "e", "e", "a"]

    @pytest.mark.parametrize("index", [5, -6, 1000, 2**63, -(2**63), 10**30])
    @pytest.mark.parametrize("fetched", [False, True])
    def test_an_index_behind_the_end_is_an_error(self, feed: Feed, index: int, fetched: bool) -> None:
        if fetched:
            list(feed)
        with pytest.raises(IndexError):
            feed[index]

    @pytest.mark.parametrize("index", ["a", None, 1.5, b"a"], ids=repr)
    def test_what_is_no_index_is_an_error(self, feed: Feed, index: Any) -> None:
        with pytest.raises(TypeError):
            feed[index]

    def test_a_diff_of_a_feed_is_whole(self, filled: Filled) -> None:
        told = filled.append("create", {"text": "f", "pub_date": None}, version=9, actor="ada")
        (diff,) = Question(pk=1).diffs.latest(1)  # type: ignore[attr-defined]
        assert diff == Diff(
            id=told["id"],
            action="create",
            data={"text": "f", "pub_date": None},
            position=told["timestamp"],
            cursor=str(Cursor(parse(diff.cursor).epoch, told["timestamp"])),
            model="testapp.question",
            pk=1,
            version=9,
            actor="ada",
        )
        assert (diff.created, diff.timestamp.tzinfo) == (True, UTC)
        assert diff.timestamp.timestamp() == pytest.approx(told["timestamp"] / 1e6, abs=1e-5)

    def test_a_diff_names_what_was_too_large_for_it(self, filled: Filled) -> None:
        filled.append("update", {"votes": 1}, omitted=["text", "tags"])
        (diff,) = Question(pk=1).diffs.latest(1)  # type: ignore[attr-defined]
        assert (diff.data, diff.omitted) == ({"votes": 1}, ("text", "tags"))
        assert Question(pk=1).diffs[0].omitted == ()  # type: ignore[attr-defined]

    def test_a_diff_cant_be_changed(self, feed: Feed) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            feed[0].pk = 2  # type: ignore[misc]

    def test_a_childs_diff_names_the_child(self, filled: Filled) -> None:
        filled.append("delete", child=(Choice, 7))
        filled.append("update", {"passenger": "x"}, child=(Seat, (7, "A")))
        found = Question(pk=1).diffs[-2:]  # type: ignore[attr-defined]
        assert [(diff.model, diff.pk, diff.data) for diff in found] == [
            ("testapp.choice", 7, {}),
            ("testapp.seat", [7, "A"], {"passenger": "x"}),
        ]

    def test_it_names_itself(self, feed: Feed) -> None:
        assert repr(feed) == "<Feed: testapp.question:1>"
        assert repr(Question.diffs) == "<FeedManager: testapp.question>"  # type: ignore[attr-defined]

    def test_the_feed_of_a_model_that_is_no_longer_registered_can_still_be_read(self, filled: Filled) -> None:
        assert feeds.own_row(filled.ref) == ("testapp.question", 1)
        gone = filled.ref._replace(name=filled.ref.name._replace(model="gone.model"))
        assert feeds.own_row(gone) == ("gone.model", "1")


ENDS = st.none() | st.integers(-8, 8) | st.sampled_from([sys.maxsize, -sys.maxsize, 2**70])


class TestSlices:
    @given(start=ENDS, stop=ENDS, step=st.none() | st.sampled_from([-3, -1, 1, 2, 7]))
    @example(start=0, stop=sys.maxsize, step=None)
    @example(start=-2, stop=None, step=None)
    @example(start=3, stop=1, step=None)
    @hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_a_slice_is_what_it_is_of_a_list(self, filled: Filled, start: Any, stop: Any, step: Any) -> None:
        for narrow in (lambda feed: feed, lambda feed: feed.latest(3)):
            whole = texts(narrow(feed_of(Question(pk=1))))
            index = slice(start, stop, step)
            fresh, fetched = narrow(feed_of(Question(pk=1))), narrow(feed_of(Question(pk=1)))
            list(fetched)
            assert texts(fresh[index]) == texts(fetched[index]) == whole[index]

    def test_a_step_of_zero_is_an_error(self, feed: Feed) -> None:
        with pytest.raises(ValueError, match="slice step cannot be zero"):
            feed[::0]


class Counted:
    """What a server was asked, and how much it said."""

    def __init__(self, server: RedisServer) -> None:
        self._client = server.client
        self._before = self._now()

    def _now(self) -> tuple[int, int]:
        stats, commands = self._client.info("stats"), self._client.info("commandstats")
        scripts = sum(commands.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))
        return scripts, stats["total_net_output_bytes"]

    def scripts_and_bytes(self) -> tuple[int, int]:
        """Since the beginning; what the counting itself took is not counted."""
        scripts, sent = self._now()
        alone, again = self._now()
        return scripts - self._before[0], sent - self._before[1] - (again - sent)


class TestLaziness:
    @pytest.fixture
    def large(self) -> Feed:
        """A feed of half a megabyte."""
        filled = Filled(Question, 1)
        for _ in range(500):
            filled.append(data={"text": "x" * 1000})
        return feed_of(Question(pk=1))

    @pytest.mark.parametrize(
        ("use", "most"),
        [
            pytest.param(lambda feed: None, 0, id="nothing"),
            pytest.param(lambda feed: repr(feed.since("0a1b2c3d_1").latest(3)), 0, id="narrowing"),
            pytest.param(lambda feed: repr(feed.between(None, None).latest(3)), 0, id="describing"),
            pytest.param(len, 1, id="len"),
            pytest.param(bool, 1, id="bool"),
            pytest.param(lambda feed: feed[0], 1, id="the first"),
            pytest.param(lambda feed: feed[-1], 1, id="the last"),
            pytest.param(lambda feed: feed[10:13], 1, id="a few"),
            pytest.param(lambda feed: feed[-3:], 1, id="the last few"),
            pytest.param(lambda feed: list(feed.latest(3)), 1, id="latest"),
            pytest.param(lambda feed: feed.cursor, 1, id="cursor"),
            pytest.param(lambda feed: len(feed.latest(3)), 1, id="len of the latest"),
        ],
    )
    def test_what_needs_few_diffs_asks_for_few(
        self, large: Feed, redis_server: RedisServer, use: Callable[[Feed], Any], most: int
    ) -> None:
        get_store().client.ping()
        counted = Counted(redis_server)
        use(large)
        scripts, sent = counted.scripts_and_bytes()
        assert scripts <= most
        assert sent < 20_000

    def test_iterating_reads_once(self, large: Feed, redis_server: RedisServer) -> None:
        list(large)
        counted = Counted(redis_server)
        assert (len(large), len(list(large)), len(large[1:]), bool(large), large[3] == list(large)[3]) == (
            500,
            500,
            499,
            True,
            True,
        )
        assert large.cursor == list(large)[-1].cursor
        assert counted.scripts_and_bytes()[0] == 0

    def test_a_feed_that_was_read_stays_as_it_was_and_a_new_one_knows_more(self, filled: Filled) -> None:
        feed = feed_of(Question(pk=1))
        assert len(list(feed)) == 5
        filled.append(data={"text": "f"})
        assert (len(feed), len(feed_of(Question(pk=1)))) == (5, 6)


class TestPages:
    @pytest.fixture(autouse=True)
    def _small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(feeds, "PAGE", 2)

    def test_a_feed_of_several_pages_is_whole(self, feed: Feed) -> None:
        assert texts(feed) == list("abcde")

    def test_what_comes_after_a_cursor_is_whole(self, feed: Feed) -> None:
        assert texts(feed.since(feed[0].cursor)) == list("bcde")

    def test_a_span_of_time_is_whole(self, feed: Feed) -> None:
        assert texts(feed.between(feed[0].timestamp, feed[3].timestamp)) == list("abcd")
        assert texts(feed.since(feed[0].cursor).between(None, feed[3].timestamp)) == list("bcd")
        assert texts(feed.since(feed[0].cursor).between(feed[2].timestamp, feed[4].timestamp)) == list("cde")

    def test_diffs_that_are_dropped_between_two_pages_make_it_begin_again(
        self, filled: Filled, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def read_one(store: Any, request: Any) -> Any:
            asked.append(request)
            page = plainly(store, request)
            if len(asked) == 1:
                feed_of(Question(pk=1)).clear()
                filled.append(data={"text": "new"})
            return page

        plainly = type(get_store()).read_one
        monkeypatch.setattr(type(get_store()), "read_one", read_one)
        feed = feed_of(Question(pk=1))
        assert texts(feed) == ["new"]

    def test_p4_after_a_cursor_that_is_an_error_of_the_reader(
        self, feed: Feed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        narrowed = feed.since(feed[0].cursor)

        def read_one(store: Any, request: Any) -> Any:
            page = plainly(store, request)
            feed_of(Question(pk=1)).clear()
            return page

        plainly = type(get_store()).read_one
        monkeypatch.setattr(type(get_store()), "read_one", read_one)
        with pytest.raises(CursorExpired):
            list(narrowed)

    def test_p1_no_diff_falls_between_reading_and_continuing(
        self, filled: Filled, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written = list("abcde")

        def read_one(store: Any, request: Any) -> Any:
            page = plainly(store, request)
            if len(written) < 40:
                written.append(str(len(written)))
                filled.append(data={"text": written[-1]})
            return page

        plainly = type(get_store()).read_one
        monkeypatch.setattr(type(get_store()), "read_one", read_one)
        seen, position = [], None
        while len(seen) < 40:
            feed = feed_of(Question(pk=1)) if position is None else feed_of(Question(pk=1)).since(position)
            seen += texts(feed)
            position = feed.cursor
        assert seen == written


def test_more_diffs_than_a_page_holds_are_whole() -> None:
    filled = Filled(Question, 1)
    get_store().append(Entry(filled.ref, Encoder(UPDATE, 7, new_nonce(), {"text": "x"}).own()) for _ in range(2500))
    feed = feed_of(Question(pk=1))
    assert feeds.PAGE == 1000
    assert len(feed) == len(list(feed)) == len({diff.id for diff in feed}) == 2500


def test_p1_a_reader_who_continues_misses_nothing_that_others_write() -> None:
    filled = [Filled(Question, 1) for _ in range(3)]
    barrier = threading.Barrier(4)

    def write(number: int) -> None:
        barrier.wait(20)
        for count in range(60):
            filled[number].append(data={"text": f"{number}-{count}"})

    position, seen = feed_of(Question(pk=1)).cursor, []
    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    barrier.wait(20)
    while len(seen) < 180:
        feed = feed_of(Question(pk=1)).since(position)
        seen += texts(feed)
        position = feed.cursor
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(f"{number}-{count}" for number in range(3) for count in range(60))
    assert seen == texts(feed_of(Question(pk=1)))
