"""Narrower feeds, cursors, managers, snapshots, asynchronous reading; Redis away."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync

import diffs
from diffs.cursor import Cursor, parse
from diffs.errors import CursorError, CursorExpired, NoModelFeed, NotRegistered, StoreUnavailable
from diffs.feed import Feed, FeedManager, feed_of
from diffs.store import get_store
from tests.endpoint.feeds import Feed as Filled
from tests.servers import RedisServer
from tests.testapp.models import Airport, Author, Bar, Friendly, HotQuestion, Question, Restaurant, Seat, Tag

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


@pytest.fixture
def away(server: RedisServer) -> Iterator[RedisServer]:
    """A server that has gone."""
    server.kill()
    yield server


class TestNarrowing:
    def test_since_gives_what_came_after(self, feed: Feed) -> None:
        found = list(feed)
        assert texts(feed.since(found[1].cursor)) == list("cde")
        assert texts(feed.since(found[4].cursor)) == []
        assert texts(feed.since(found[0].cursor).since(found[2].cursor)) == list("de")

    def test_since_has_a_length_an_index_and_a_cursor(self, feed: Feed) -> None:
        narrowed = feed.since(feed[1].cursor)
        assert (len(narrowed), narrowed[0].data, narrowed[-1].data, texts(narrowed[1:2])) == (
            3,
            {"text": "c"},
            {"text": "e"},
            ["d"],
        )
        assert list(narrowed)[-1].cursor == narrowed.cursor

    @pytest.mark.parametrize("text", ["", "x", "now", "0a1b2c3d_", None, 5, b"0a1b2c3d_1", "0a1b2c3d_1 "], ids=repr)
    def test_p4_what_is_no_cursor_is_an_error(self, feed: Feed, text: Any) -> None:
        with pytest.raises(CursorError):
            feed.since(text)

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda feed, position: feed.clear(), "reset"),
            (lambda feed, position: position._replace(epoch="00000000"), "reset"),
            (lambda feed, position: position._replace(timestamp=position.timestamp + 10**12), "unknown"),
            (lambda feed, position: position._replace(timestamp=1), "reset"),
        ],
        ids=["cleared", "of another epoch", "of the future", "of the beginning"],
    )
    @pytest.mark.parametrize("use", [list, len, bool, lambda feed: feed[0], lambda feed: feed.latest(1)[0]])
    def test_p4_a_cursor_that_isnt_honoured_is_refused(
        self, feed: Feed, spoil: Callable[[Feed, Cursor], Any], reason: str, use: Callable[[Feed], Any]
    ) -> None:
        position = parse(feed[1].cursor)
        position = spoil(feed_of(Question(pk=1)), position) or position
        with pytest.raises(CursorExpired) as refused:
            use(feed.since(str(position)))
        assert refused.value.reason == reason
        assert list(feed_of(Question(pk=1)).since(refused.value.cursor)) == []

    def test_p4_a_cursor_older_than_the_window_is_refused(self) -> None:
        filled = Filled(Question, 1)
        old = filled.aged_cursor(seconds=7200)
        with pytest.raises(CursorExpired) as refused:
            list(feed_of(Question(pk=1)).since(str(old)))
        assert refused.value.reason == "window"

    def test_between_takes_both_ends_in(self, feed: Feed) -> None:
        times = [diff.timestamp for diff in feed]
        assert texts(feed.between(times[1], times[3])) == list("bcd")
        assert texts(feed.between(None, times[1])) == list("ab")
        assert texts(feed.between(times[3], None)) == list("de")
        assert texts(feed.between(None, None)) == list("abcde")
        assert texts(feed.between(times[3], times[1])) == []
        tokyo = dt.timezone(dt.timedelta(hours=9))
        assert texts(feed.between(times[4].astimezone(tokyo), None)) == ["e"]

    def test_between_narrows_further(self, feed: Feed) -> None:
        times = [diff.timestamp for diff in feed]
        narrowed = feed.between(times[1], times[3])
        assert texts(narrowed.between(times[0], times[2])) == list("bc")
        assert texts(narrowed.between(None, None)) == list("bcd")
        assert (len(narrowed), texts(narrowed[-1:]), texts(narrowed.latest(2))) == (3, ["d"], list("cd"))

    def test_between_and_since_hold_together(self, feed: Feed) -> None:
        found = list(feed)
        for narrowed in (
            feed.since(found[0].cursor).between(found[2].timestamp, None),
            feed.between(found[2].timestamp, None).since(found[0].cursor),
        ):
            assert (texts(narrowed), len(narrowed), texts([narrowed[0], narrowed[-1]])) == (list("cde"), 3, ["c", "e"])
        later = feed.between(found[0].timestamp, None).since(found[2].cursor)
        assert (texts(later), len(later)) == (list("de"), 2)

    @pytest.mark.parametrize(
        "moment", [dt.datetime(1970, 1, 1, tzinfo=UTC), dt.datetime(1969, 1, 1, tzinfo=UTC)], ids=["epoch", "before it"]
    )
    def test_between_ends_before_anything_began(self, feed: Feed, moment: dt.datetime) -> None:
        assert (texts(feed.between(None, moment)), len(feed.between(None, moment))) == ([], 0)
        assert texts(feed.between(moment, None)) == list("abcde")

    @pytest.mark.parametrize("ends", [(dt.datetime(2024, 1, 1), None), (None, dt.datetime(2024, 1, 1))])
    def test_between_takes_no_moment_without_a_zone(self, feed: Feed, ends: Any) -> None:
        with pytest.raises(ValueError, match=r"^between\(\) takes aware datetimes\.$"):
            feed.between(*ends)

    def test_latest_gives_the_newest_in_their_order(self, feed: Feed) -> None:
        assert texts(feed.latest(2)) == list("de")
        assert texts(feed.latest(50)) == list("abcde")
        assert texts(feed.latest(3).latest(50)) == list("cde")
        assert texts(feed.latest(3).latest(2)) == list("de")
        assert texts(feed.since(feed[2].cursor).latest(1)) == ["e"]
        assert (len(feed.latest(2)), len(feed.latest(50)), bool(feed.latest(1))) == (2, 5, True)
        assert texts([feed.latest(2)[0], feed.latest(2)[-1]]) == list("de")
        assert texts(reversed(feed.latest(2))) == list("ed")

    @pytest.mark.parametrize("count", [0, -1])
    def test_latest_takes_a_positive_number(self, feed: Feed, count: int) -> None:
        with pytest.raises(ValueError, match=r"^latest\(\) takes a positive number\.$"):
            feed.latest(count)

    def test_latest_goes_on_from_the_present(self, filled: Filled) -> None:
        latest = feed_of(Question(pk=1)).latest(2)
        assert texts(latest) == list("de")
        filled.append(data={"text": "f"})
        assert texts(feed_of(Question(pk=1)).since(latest.cursor)) == ["f"]

    def test_the_cursor_of_a_feed_that_wasnt_read_is_the_present(self, filled: Filled) -> None:
        position = feed_of(Question(pk=1)).cursor
        assert texts(feed_of(Question(pk=1)).since(position)) == []
        filled.append(data={"text": "f"})
        assert texts(feed_of(Question(pk=1)).since(position)) == ["f"]

    def test_the_cursor_of_a_narrowed_feed_that_wasnt_read_is_the_readers_own(self, feed: Feed) -> None:
        position = feed[1].cursor
        assert feed.since(position).cursor == position

    def test_the_cursor_of_an_empty_feed_holds(self) -> None:
        feed = feed_of(Question(pk=7))
        position = feed.cursor
        assert list(feed) == []
        assert list(feed.since(position)) == list(feed.since(feed.cursor)) == []


class TestClear:
    def test_p4_clearing_removes_the_diffs_and_refuses_the_cursors(self, feed: Feed, redis_server: RedisServer) -> None:
        position = feed[4].cursor
        feed.clear()
        assert (list(feed), len(feed)) == ([], 0)
        assert not [key for key in redis_server.client.keys("*") if b":feed:" in key]
        with pytest.raises(CursorExpired):
            list(feed.since(position))

    def test_a_feed_that_was_read_is_read_again(self, filled: Filled) -> None:
        feed = feed_of(Question(pk=1))
        list(feed)
        feed.clear()
        filled.append(data={"text": "f"})
        assert texts(feed) == ["f"]

    def test_other_feeds_stay(self, feed: Feed) -> None:
        other = Filled(Question, 2)
        other.append(data={"text": "x"})
        position = feed_of(Question(pk=2)).cursor
        feed.clear()
        assert texts(feed_of(Question(pk=2))) == ["x"]
        assert list(feed_of(Question(pk=2)).since(position)) == []


class TestManager:
    def test_an_objects_feed_is_had_without_the_object(self, filled: Filled) -> None:
        for pk in (1, "1", "01", 1.0):
            assert texts(Question.diffs.for_object(pk)) == list("abcde")  # type: ignore[attr-defined]
            assert texts(Question.diffs.get_by_object_id(pk)) == list("abcde")  # type: ignore[attr-defined]
        assert isinstance(Question.diffs.get_by_object_id(1), list)  # type: ignore[attr-defined]

    @pytest.mark.parametrize("pk", [None, "x", (1, 2), Author(pk=1)], ids=repr)
    def test_what_cant_be_a_primary_key_is_an_error(self, pk: Any) -> None:
        with pytest.raises(ValueError):
            Question.diffs.for_object(pk)  # type: ignore[attr-defined]

    def test_a_model_feed_has_the_diffs_of_all_objects(self) -> None:
        filled = Filled(Airport)
        for pk in (1, 2):
            filled.append("create", {"code": str(pk)}, child=(Airport, pk))
        told = [("testapp.airport", 1), ("testapp.airport", 2)]
        assert [(diff.model, diff.pk) for diff in Airport.diffs] == told  # type: ignore[attr-defined]
        assert [(diff.model, diff.pk) for diff in Airport.diffs.all()] == told  # type: ignore[attr-defined]
        assert [(diff.model, diff.pk) for diff in feed_of(Airport)] == told
        assert repr(feed_of(Airport)) == "<Feed: testapp.airport>"

    @pytest.mark.parametrize(
        "use",
        [
            list,
            lambda manager: manager.all(),
            lambda manager: manager.__aiter__(),
            lambda manager: feed_of(Question),
        ],
    )
    def test_a_model_that_keeps_no_model_feed_says_so(self, use: Callable[[Any], Any]) -> None:
        with pytest.raises(NoModelFeed, match=r"^testapp.Question keeps no feed of all its objects: register it with "):
            use(Question.diffs)  # type: ignore[attr-defined]

    def test_the_manager_is_the_classs_and_the_feed_the_objects(self) -> None:
        assert isinstance(Question.diffs, FeedManager)  # type: ignore[attr-defined]
        assert isinstance(Question(pk=1).diffs, Feed)  # type: ignore[attr-defined]

    def test_an_object_without_a_primary_key_has_no_feed(self) -> None:
        for instance in (Question(), Seat(letter="A")):
            for ask in (feed_of, lambda instance: instance.diffs):
                with pytest.raises(ValueError, match=r"^This (Question|Seat) has no primary key yet, and so no diffs"):
                    ask(instance)

    def test_a_proxys_object_has_its_models_feed(self, filled: Filled) -> None:
        assert texts(HotQuestion(pk=1).diffs) == texts(feed_of(HotQuestion(pk=1))) == list("abcde")  # type: ignore[attr-defined]
        assert repr(feed_of(Friendly(pk=1))) == "<Feed: testapp.contact:1>"

    def test_a_multi_table_childs_object_has_its_own_feed(self) -> None:
        restaurant = Restaurant(pk=7, id=7)
        assert repr(restaurant.diffs) == "<Feed: testapp.restaurant:7>"  # type: ignore[attr-defined]
        assert repr(restaurant.place_ptr_id) == "7"
        assert repr(feed_of(Bar(pk=3))) == "<Feed: testapp.bar:3>"

    @pytest.mark.parametrize("subject", [Tag, Tag(pk=1)], ids=["a model", "an object"])
    def test_what_isnt_registered_has_no_feed(self, subject: Any) -> None:
        with pytest.raises(NotRegistered, match=r"^testapp.Tag has no diffs: decorate it with @diffs.register\.$"):
            feed_of(subject)


@pytest.mark.django_db(transaction=True)
class TestSnapshot:
    def test_nothing_falls_between_the_object_and_its_cursor(self) -> None:
        question = Question.objects.create(text="a")
        found, position = diffs.snapshot(Question, question.pk)
        assert (type(found), found.text) == (Question, "a")
        Question.objects.update(text="b")
        assert texts(feed_of(question).since(position)) == ["b"]

    def test_the_cursor_is_taken_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        question = Question.objects.create(text="a")

        def read_one(store: Any, request: Any) -> Any:
            page = plainly(store, request)
            if request.mode == "cursor":
                Question.objects.update(text="meanwhile")
            return page

        plainly = type(get_store()).read_one
        monkeypatch.setattr(type(get_store()), "read_one", read_one)
        found, position = diffs.snapshot(Question, str(question.pk))
        assert found.text == "meanwhile"
        assert texts(feed_of(question).since(position)) == ["meanwhile"]

    def test_an_object_that_isnt_there_is_an_error(self) -> None:
        with pytest.raises(Question.DoesNotExist):
            diffs.snapshot(Question, 0)
        with pytest.raises(ValueError):
            diffs.snapshot(Question, "x")
        with pytest.raises(NotRegistered):
            diffs.snapshot(Tag, 1)


class TestAsync:
    def test_a_feed_can_be_read_asynchronously(self, feed: Feed) -> None:
        async def read() -> Any:
            position = await feed.acursor()
            found = [diff async for diff in feed]
            last = await feed.aget(-1)
            some = await feed.aget(slice(1, 3))  # type: ignore[arg-type]
            count = await feed.since(found[1].cursor).acount()
            collapsed = await feed.acollapse()
            await feed.aclear()
            return position, texts(found), last.data, texts(some), count, texts(collapsed), await feed.acount()

        position, found, *rest = asyncio.run(read())
        assert parse(position).timestamp > 0
        assert (found, rest) == (list("abcde"), [{"text": "e"}, ["b", "c"], 3, ["e"], 0])

    def test_a_model_feed_too(self) -> None:
        Filled(Airport).append("create", child=(Airport, 1))

        async def read() -> list[Any]:
            return [diff.pk async for diff in Airport.diffs]  # type: ignore[attr-defined]

        assert async_to_sync(read)() == [1]

    def test_a_refused_cursor_is_an_error_there_too(self, feed: Feed) -> None:
        async def read() -> None:
            async for _ in feed.since("00000000_1"):
                pass

        with pytest.raises(CursorExpired):
            async_to_sync(read)()


@pytest.mark.parametrize(
    "use",
    [
        list,
        len,
        bool,
        reversed,
        lambda feed: feed[0],
        lambda feed: feed[-2:],
        lambda feed: feed.cursor,
        lambda feed: feed.collapse(),
        lambda feed: feed.clear(),
        lambda feed: list(feed.latest(3)),
        lambda feed: list(feed.since("0a1b2c3d_1")),
        lambda feed: Question.diffs.get_by_object_id(1),  # type: ignore[attr-defined]
        lambda feed: diffs.snapshot(Question, 1),
        lambda feed: async_to_sync(feed.acount)(),
    ],
)
def test_p6_while_redis_is_away_every_use_is_an_error(away: RedisServer, use: Callable[[Feed], Any]) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        use(feed_of(Question(pk=1)))
    assert refused.value.retry_after >= 1.0


def test_a_feed_gives_its_net_change(feed: Feed) -> None:
    assert [(diff.action, diff.data) for diff in feed.collapse()] == [("update", {"text": "e"})]
    with contextlib.suppress(CursorExpired):
        assert feed.since(feed[4].cursor).collapse() == []
