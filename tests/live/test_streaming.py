"""What an event stream tells: what is there, what comes, resets, heartbeats; and what it doesn't tell."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.db import models

from diffs.codec import Encoder
from diffs.cursor import Cursor, parse
from diffs.errors import TokenError
from diffs.http.tokens import make_token, read_token
from diffs.store import Entry, Floors, get_store
from tests.endpoint.feeds import Feed
from tests.endpoint.stage import EXPIRED
from tests.testapp.models import Choice, Notice, Question

from .clients import Stream, until

NOTICE = "/testapp.notice/1/"


def expired(reason: str, cursor: str, **members: str) -> dict[str, Any]:
    about = {"type": "about:blank", "title": "Gone", "status": 410, "detail": EXPIRED}
    return {**about, "reason": reason, "cursor": cursor, **members}


async def test_stream_begins_at_once_and_says_when_to_come_back() -> None:
    async with Stream(NOTICE) as client:
        await client.live()

        assert (client.status, client.headers) == (
            200,
            {
                "content-type": "text/event-stream",
                "cache-control": "no-store",
                "x-accel-buffering": "no",
                "x-content-type-options": "nosniff",
            },
        )
        assert re.fullmatch(rb":\nretry: \d+\n\n", client.chunks[0])
        assert client.retry is not None and 1000 <= client.retry <= 3000
        assert not client.is_complete


async def test_stream_sends_what_is_there_then_an_id_alone_then_what_comes(notices: Feed) -> None:
    first = notices.append("create", {"headline": "Fire"})
    at_first = notices.now()
    async with Stream(NOTICE) as client:
        await client.live()
        second = notices.append(data={"body": "In the kitchen — 火\nand upstairs"}, omitted=["headline"])
        await client.count(2)
        at_second = notices.now()

        assert client.diffs == [first, second]
        _, first_frame, bare, second_frame, rest = client.body.split(b"\n\n", 4)
        assert first_frame == f"id: {at_first}\ndata: {compact(first)}".encode()
        assert bare == f"id: {at_first}".encode()
        assert second_frame + rest == f"id: {at_second}\ndata: {compact(second)}".encode()


def compact(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


async def test_stream_goes_on_behind_its_last_id(notices: Feed) -> None:
    sent = [notices.append(data={"body": str(number)}) for number in range(3)]
    async with Stream(NOTICE) as client:
        await client.live()
        ids = [event.id for event in client.events]
    for number, last_id in enumerate(ids, 1):
        async with Stream(NOTICE, last_id) as again:
            await again.live()
            assert again.diffs == sent[number:]


@pytest.mark.parametrize("query", ["?since=now", "?since={old}", "?since=00000000_1"])
async def test_last_event_id_wins_over_where_the_query_begins(notices: Feed, query: str) -> None:
    old = notices.now()
    first = notices.append()
    start = Cursor(old.epoch, first["timestamp"])
    second = notices.append()
    async with Stream(NOTICE + query.format(old=old), str(start)) as client:
        await client.live()

        assert (client.diffs, client.resets) == ([second], [])


async def test_empty_last_event_id_is_none(notices: Feed) -> None:
    notices.append()
    async with Stream(NOTICE + "?since=now", headers={"Last-Event-ID": ""}) as client:
        await client.live()

        assert client.diffs == []


async def test_stream_from_now_tells_what_comes_and_where_it_begins(notices: Feed) -> None:
    notices.append()
    async with Stream(NOTICE + "?since=now") as client:
        await client.live()
        assert client.bare_ids == [str(notices.now())]
        second = notices.append()
        await client.count(1)

        assert client.diffs == [second]


async def test_stream_of_a_long_history_has_all_of_it(notices: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffs.http.live.stream.PAGE", 3)
    for _ in range(11):
        notices.append()
    async with Stream(NOTICE + "?limit=2") as client:
        await client.live()

        assert client.positions == [stored.position for stored in notices.stored()]


async def test_diffs_that_come_many_at_once_are_sent_in_order(notices: Feed) -> None:
    async with Stream(NOTICE) as client:
        await client.live()
        for _ in range(100):
            notices.append()
        await client.count(100)

        assert client.positions == [stored.position for stored in notices.stored()]
        assert client.sent_meanwhile == 1


async def test_stream_of_several_feeds_names_each_diff_s_feed_and_all_cursors(
    notices: Feed, others: list[Feed]
) -> None:
    second, third = others[:2]
    first = notices.append()
    other = second.append()
    at_third = third.now()
    path = f"/?feed=@{notices.name}&feed=@{second.name}&feed=now@{third.name}"
    async with Stream(path) as client:
        await client.live()
        last = third.append()
        await client.count(3)
        epochs = [feed.now().epoch for feed in (notices, second, third)]
        at_first, at_other, at_last = (
            str(Cursor(epoch, one["timestamp"])) for epoch, one in zip(epochs, (first, other, last), strict=True)
        )

        assert [(event.id, event.data) for event in client.events] == [
            (f"{at_first},,{at_third}", {"feed": notices.name, **first}),
            (f"{at_first},{at_other},{at_third}", {"feed": second.name, **other}),
            (f"{at_first},{at_other},{at_last}", {"feed": third.name, **last}),
        ]
        assert list(client.diffs[0])[0] == "feed"
        assert client.bare_ids == [f"{at_first},{at_other},{at_third}"]


async def test_one_feed_that_the_query_names_is_told_as_one_of_several(notices: Feed) -> None:
    notices.append()
    async with Stream(f"/?feed=@{notices.name}") as client:
        await client.live()

        assert [diff["feed"] for diff in client.diffs] == [notices.name]


async def test_p1_stream_of_several_feeds_goes_on_behind_any_of_its_ids(notices: Feed, others: list[Feed]) -> None:
    feeds = [notices, *others]
    path = "/?" + "&".join(f"feed=@{feed.name}" for feed in feeds)
    for number in range(8):
        feeds[number % 3].append()
    async with Stream(path) as client:
        await client.live()
        for number in range(12):
            feeds[number * 2 % len(feeds)].append()
        await client.count(20)
    everything = [(diff["feed"], diff["id"]) for diff in client.diffs]
    assert len(set(everything)) == 20
    for number, event in enumerate(client.events, 1):
        async with Stream(path, event.id) as again:
            await again.live()
            rest = [(diff["feed"], diff["id"]) for diff in again.diffs]
            assert sorted(rest) == sorted(everything[number:])
            for feed in feeds:
                mine = [one for one in rest if one[0] == feed.name]
                assert mine == [one for one in everything[number:] if one[0] == feed.name]


async def test_p4_refused_cursor_resets_the_stream_which_goes_on(notices: Feed) -> None:
    notices.append()
    async with Stream(NOTICE, "00000000_1") as client:
        await client.live()
        fresh = str(notices.now())
        assert [(event.name, event.id, event.data) for event in client.events] == [
            ("reset", fresh, expired("reset", fresh))
        ]
        second = notices.append()
        await client.count(1)

        assert (client.diffs, len(client.resets)) == ([second], 1)


async def test_p4_one_refused_cursor_among_several_resets_its_feed_alone(notices: Feed, others: list[Feed]) -> None:
    other = others[0]
    start = notices.now()
    first = notices.append()
    other.append()
    async with Stream(f"/?feed=@{notices.name}&feed=@{other.name}", f"{start},00000000_1") as client:
        await client.live()
        fresh = str(other.now())
        at_first = str(Cursor(start.epoch, first["timestamp"]))

        assert [(event.name, event.id, event.data) for event in client.events] == [
            ("message", f"{at_first},00000000_1", {"feed": notices.name, **first}),
            ("reset", f"{at_first},{fresh}", expired("reset", fresh, feed=other.name)),
        ]


RAISES = {
    "the feed's": lambda feed: get_store().raise_floors(Floors([feed.ref])),
    "the model's": lambda feed: get_store().raise_floors(Floors(models=[feed.registration.label])),
    "all": lambda feed: get_store().raise_floors(Floors(everything=True)),
    "cleared": lambda feed: get_store().clear(feed.ref),
}


@pytest.mark.parametrize("how", RAISES)
async def test_p4_raised_floor_resets_whoever_listens(notices: Feed, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    # So that nothing but news can tell of it.
    monkeypatch.setattr("diffs.http.live.hub.READ_AGAIN", 10_000)
    notices.append()
    async with Stream(NOTICE) as client:
        await client.live()
        RAISES[how](notices)
        await client.until(lambda: client.resets)
        fresh = client.last_id
        later = notices.append()
        await client.count(2)

        assert client.resets == [expired("reset", fresh)]
        assert client.events[1].id == fresh
        assert client.diffs[1:] == [later]
        async with Stream(NOTICE, fresh) as again:
            await again.live()
            assert (again.diffs, again.resets) == ([later], [])


@pytest.mark.usefixtures("hasty")
async def test_p4_flush_that_nothing_tells_of_resets_whoever_listens(notices: Feed, redis_server: Any) -> None:
    notices.append()
    async with Stream(NOTICE) as client:
        await client.live()
        redis_server.cli("FLUSHALL")
        await client.until(lambda: client.resets)
        later = notices.append()
        await client.count(2)

        assert client.diffs[1:] == [later]
        assert [reset["reason"] for reset in client.resets] == ["reset"]


async def test_p4_reset_of_one_feed_leaves_the_others_alone(notices: Feed, others: list[Feed]) -> None:
    other = others[0]
    async with Stream(f"/?feed=now@{notices.name}&feed=now@{other.name}") as client:
        await client.live()
        get_store().raise_floors(Floors([other.ref]))
        await client.until(lambda: client.resets)
        last = notices.append()
        await client.count(1)

        assert [reset["feed"] for reset in client.resets] == [other.name]
        assert client.diffs == [{"feed": notices.name, **last}]


async def test_p4_feed_at_its_bound_resets_nobody_who_is_not_behind(notices: Feed) -> None:
    notices.ref = notices.ref._replace(max_elements=3)
    async with Stream(NOTICE) as client, Stream("/?feed=@testapp.notice:1") as of_several:
        await client.live()
        await of_several.live()
        sent = []
        for number in range(12):
            sent.append(notices.append(data={"body": str(number)}))
            await client.count(number + 1)
        await of_several.count(12)

        assert (client.diffs, client.resets, of_several.resets) == (sent, [], [])
        assert len(notices.stored()) == 3


async def test_p4_transaction_larger_than_the_bound_resets_whoever_listens(notices: Feed) -> None:
    notices.ref = notices.ref._replace(max_elements=3)
    async with Stream(NOTICE) as client:
        await client.live()
        get_store().append([Entry(notices.ref, Encoder("update", number, bytes(4), {}).own()) for number in range(4)])
        await client.until(lambda: client.resets)
        assert [reset["reason"] for reset in client.resets] == ["reset"]
        last = notices.append()
        await client.count(1)
        assert client.diffs == [last]


async def test_heartbeats_are_ids_without_an_event(notices: Feed, configure: Callable[..., None]) -> None:
    configure(heartbeat=0.02)
    notices.append()
    async with Stream(NOTICE) as client:
        await client.until(lambda: len(client.bare_ids) == 5)

        assert set(client.bare_ids) == {str(notices.now())}
        assert len(client.events) == 1


@pytest.mark.usefixtures("hasty")
async def test_p4_idle_stream_outlives_the_window_as_heartbeats_renew_its_cursor(
    configure: Callable[..., None],
) -> None:
    configure(heartbeat=0.02, max_element_age=0.8)
    Feed(Notice, 1).append()
    async with Stream(NOTICE) as client:
        await client.until(lambda: len(set(client.bare_ids)) == 4)
        assert client.resets == []
        age = parse(client.bare_ids[-1]).timestamp - parse(client.bare_ids[0]).timestamp
        assert age > 800_000
        async with Stream(NOTICE, client.last_id) as again:
            await again.live()
            assert (again.diffs, again.resets) == ([], [])


def of_even_pk(request: Any, model: type[models.Model], pk: Any) -> bool:
    if pk == 404:
        raise ObjectDoesNotExist
    return bool(pk % 2 == 0)


async def test_p8_child_s_diffs_are_withheld_from_whoever_may_not_pull_it(
    questions: Feed, rule: Callable[..., Any]
) -> None:
    rule(Question, permission="public")
    rule(Choice, permission=of_even_pk)
    seen = [questions.append(data={"text": "before"}, child=(Choice, 2))]
    questions.append(data={"text": "secret"}, child=(Choice, 1))
    async with Stream("/testapp.question/42/") as client:
        await client.live()
        assert client.last_id == str(questions.now())
        questions.append(data={"text": "secret"}, child=(Choice, 3))
        questions.append("delete", child=(Choice, 3))
        seen.append(questions.append(data={"text": "after"}, child=(Choice, 4)))
        questions.append(data={"text": "secret"}, child=(Choice, 404))
        seen.append(questions.append("delete", child=(Choice, 404)))
        seen.append(questions.append())
        await client.count(len(seen))

        assert client.diffs == seen
        assert b"secret" not in client.body


async def test_p8_id_moves_behind_diffs_that_are_withheld(
    questions: Feed, rule: Callable[..., Any], configure: Callable[..., None]
) -> None:
    configure(heartbeat=0.02)
    rule(Question, permission="public")
    rule(Choice, permission=of_even_pk)
    async with Stream("/testapp.question/42/") as client:
        await client.live()
        questions.append(child=(Choice, 1))
        end = str(questions.now())
        await client.until(lambda: client.last_id == end)

        assert client.events == []


async def test_p8_listeners_of_one_feed_are_each_given_what_they_may_see(
    questions: Feed, rule: Callable[..., Any]
) -> None:
    def is_asked_for(request: Any, model: type[models.Model], pk: Any) -> bool:
        return str(pk) in request.GET.get("mine", "").split("x")

    rule(Question, permission="public")
    rule(Choice, permission=is_asked_for)
    async with (
        Stream("/testapp.question/42/?mine=1x2") as both,
        Stream("/testapp.question/42/?mine=2") as one,
        Stream("/testapp.question/42/") as none,
    ):
        for client in (both, one, none):
            await client.live()
        first, second, own = (
            questions.append(child=(Choice, 1)),
            questions.append(child=(Choice, 2)),
            questions.append(),
        )
        await both.count(3)
        await one.count(2)
        await none.count(1)

        assert [client.diffs for client in (both, one, none)] == [[first, second, own], [second, own], [own]]
        # By now all that the rules say is remembered: nobody waits for them, and what one is sent others may be, too.
        third, last = questions.append(child=(Choice, 1)), questions.append()
        await both.count(5)
        await one.count(3)
        await none.count(2)

        assert [client.diffs[-2:] for client in (both, one, none)] == [[third, last], [own, last], [own, last]]


async def test_rule_is_asked_once_for_each_child_as_long_as_a_stream_lasts(
    questions: Feed, rule: Callable[..., Any]
) -> None:
    asked: list[Any] = []

    def remember(request: Any, model: type[models.Model], pk: Any) -> bool:
        asked.append(pk)
        return True

    rule(Question, permission="public")
    rule(Choice, permission=remember)
    questions.append(child=(Choice, 1))
    async with Stream("/testapp.question/42/") as client:
        await client.live()
        for pk in (1, 2, 1, 2):
            questions.append(child=(Choice, pk))
        await client.count(5)

    assert asked == [1, 2]


async def test_token_opens_a_stream_of_the_whole_feed_without_actors(questions: Feed) -> None:
    diff = questions.append(child=(Choice, 1), actor="ada")
    token = make_token(questions.ref.name)
    async with (
        Stream(f"/testapp.question/42/?token={token}") as client,
        Stream("/testapp.question/42/", headers={"Authorization": f"Bearer {token}"}) as other,
    ):
        await client.live()
        await other.live()
        later = questions.append(actor="ada")
        await client.count(2)
        await other.count(2)

        assert client.diffs == other.diffs == [diff, later]


async def test_actors_are_shown_only_where_they_may_be(
    questions: Feed, rule: Callable[..., Any], configure: Callable[..., None]
) -> None:
    configure(public_actors=True)
    rule(Question, permission="public")
    async with Stream("/testapp.question/42/") as client:
        await client.live()
        first = questions.append(actor="ada")
        second = questions.append()
        await client.count(2)

        assert client.diffs == [{**first, "actor": "ada"}, second]


async def test_refused_reader_gets_a_problem_before_the_stream_begins(questions: Feed) -> None:
    async with Stream("/testapp.question/42/") as client:
        document = await client.answer()

        assert (client.status, client.headers["content-type"], document["status"]) == (
            401,
            "application/problem+json",
            401,
        )


async def test_token_that_expires_ends_no_stream(questions: Feed) -> None:
    token = make_token(questions.ref.name, 3)
    async with Stream(f"/testapp.question/42/?token={token}") as client:
        await client.live()
        await until(lambda: has_expired(token))
        diff = questions.append()
        await client.count(1)
        assert client.diffs == [diff]


def has_expired(token: str) -> bool:
    try:
        read_token(token)
    except TokenError:
        return True
    return False
