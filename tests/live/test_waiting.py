"""A long poll is answered when there is something to say, and otherwise at the end of its wait."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from django.db import models

from diffs.codec import Encoder
from diffs.errors import StoreUnavailable
from diffs.http.live.gathering import Gathering
from diffs.http.live.hub import hubs
from diffs.store import Entry, Floors, get_store
from tests.endpoint.feeds import Feed
from tests.servers import RedisServer
from tests.testapp.models import Choice, Question

from .clients import Client, listeners, until

NOTICE = "/testapp.notice/1/"


async def waiting(path: str, headers: dict[str, str] | None = None) -> Client:
    """A client that waits."""
    client = Client(path, headers)
    client.start()
    await until(lambda: client.waiters)
    assert (client.status, listeners() > 0) == (0, True)
    return client


async def answered(path: str, headers: dict[str, str] | None = None) -> Client:
    """A client that has its answer."""
    client = Client(path, headers)
    client.start()
    await client.answer()
    return client


def page(cursor: Any, *diffs: Any, more: bool = False) -> dict[str, Any]:
    return {"cursor": str(cursor), "more": more, "diffs": list(diffs)}


@pytest.mark.parametrize("since", ["{now}", "now"])
async def test_answer_comes_with_the_first_diff(notices: Feed, since: str) -> None:
    notices.append()
    client = await waiting(f"{NOTICE}?since={since.format(now=notices.now())}&wait=60")
    diff = notices.append()

    assert await client.answer() == page(notices.now(), diff)
    assert (client.status, client.headers["preference-applied"], listeners()) == (200, "wait=60", 0)


async def test_whoever_has_read_nothing_yet_waits_only_where_there_is_nothing(notices: Feed) -> None:
    client = await waiting(NOTICE + "?wait=60")
    first = notices.append()
    assert await client.answer() == page(notices.now(), first)

    assert json.loads((await answered(NOTICE + "?wait=60")).body) == page(notices.now(), first)


async def test_wish_is_granted_as_a_parameter_is(notices: Feed) -> None:
    client = await waiting(f"{NOTICE}?since=now", {"prefer": "respond-async, wait=1000"})
    diff = notices.append()

    assert (await client.answer())["diffs"] == [diff]
    assert client.headers["preference-applied"] == "wait=60"


async def test_answer_at_the_end_of_the_wait_is_an_empty_page(notices: Feed) -> None:
    since = notices.now()
    client = await waiting(f"{NOTICE}?since={since}&wait=1")

    assert await client.answer() == page(since)
    assert (client.status, client.headers["preference-applied"]) == (200, "wait=1")
    etag = client.headers["etag"]
    again = await answered(f"{NOTICE}?since={since}&wait=1", {"if-none-match": etag})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)


async def test_known_page_waits_and_is_answered_with_what_comes(notices: Feed) -> None:
    since = notices.now()
    client = await waiting(f"{NOTICE}?since={since}&wait=60", {"if-none-match": "*"})
    notices.append()
    await client.answer()

    assert client.status == 304


async def test_diffs_that_come_together_are_one_page_up_to_its_limit(notices: Feed) -> None:
    since = notices.now()
    sent = [notices.append() for _ in range(3)]
    client = await answered(f"{NOTICE}?since={since}&wait=60&limit=2")

    first = json.loads(client.body)
    assert (first["diffs"], first["more"]) == (sent[:2], True)
    client = await answered(f"{NOTICE}?since={first['cursor']}&wait=60&limit=2")
    assert json.loads(client.body) == page(notices.now(), sent[2])


async def test_page_of_what_comes_has_no_more_than_its_limit(notices: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    since = notices.now()
    clients = [await waiting(f"{NOTICE}?since={since}&wait=60&limit={limit}") for limit in (1, 2, 3)]
    get_store().append(entries(notices, 3))
    pages = [await client.answer() for client in clients]
    sent = pages[2]["diffs"]

    assert len(sent) == 3
    assert [(one["diffs"], one["more"]) for one in pages] == [(sent[:1], True), (sent[:2], True), (sent, False)]
    for one in pages:
        rest = await answered(f"{NOTICE}?since={one['cursor']}")
        assert one["diffs"] + json.loads(rest.body)["diffs"] == sent


def entries(feed: Feed, count: int) -> list[Any]:
    """Diffs that are appended in one call."""
    return [
        Entry(feed.ref, Encoder("update", 7, (90_000 + number).to_bytes(4, "big"), {"n": number}, None).own())
        for number in range(count)
    ]


async def test_several_feeds_are_waited_for_at_once(notices: Feed, others: list[Feed]) -> None:
    second = others[0]
    cursors = notices.now(), second.now()
    path = f"/?feed={cursors[0]}@{notices.name}&feed={cursors[1]}@{second.name}&feed=now@{others[1].name}&wait=60"
    client = await waiting(path)
    diff = second.append()

    assert await client.answer() == {
        "feeds": [
            {"feed": notices.name, **page(cursors[0])},
            {"feed": second.name, **page(second.now(), diff)},
            {"feed": others[1].name, **page(others[1].now())},
        ]
    }
    assert client.headers["preference-applied"] == "wait=60"


async def test_p1_what_came_before_a_reading_failed_is_in_the_answer(
    notices: Feed, others: list[Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = notices.now()
    second = others[0]
    client = await waiting(f"/?feed={start}@{notices.name}&feed={second.now()}@{second.name}&wait=60")
    failed = asyncio.Event()
    read = Gathering.read

    async def fail_once(self: Gathering, *arguments: Any) -> Any:
        if failed.is_set():
            return await read(self, *arguments)
        failed.set()
        raise StoreUnavailable("Redis is away.")

    monkeypatch.setattr(Gathering, "read", fail_once)
    first = notices.append()
    get_store().client.delete(get_store().keys.meta(second.ref.name.shard))
    second.append()
    # Both are noticed at once, as the loop stands still: the lost shard makes the waiter read, who has the diff.
    deadline = time.monotonic() + 10
    while len(hubs.get()._mailbox._words) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    await asyncio.wait_for(failed.wait(), 10)
    again = notices.append()
    of_notices, of_second = (await client.answer())["feeds"]

    assert of_notices["diffs"] == [first, again]
    assert of_second["error"]["reason"] == "reset"


async def test_p4_refused_cursor_among_several_is_answered_at_once(notices: Feed, others: list[Feed]) -> None:
    client = await answered(f"/?feed=00000000_1@{notices.name}&feed=now@{others[0].name}&wait=60")
    feeds = json.loads(client.body)["feeds"]

    assert (client.status, feeds[0]["error"]["reason"], "error" in feeds[1]) == (200, "reset", False)


RAISES = {
    "the feed's floor": lambda feed, server: get_store().raise_floors(Floors([feed.ref])),
    "the model's floor": lambda feed, server: get_store().raise_floors(Floors(models=["testapp.notice"])),
    "a flush": lambda feed, server: server.cli("FLUSHALL"),
}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("how", RAISES)
async def test_p4_cursor_that_is_refused_during_the_wait_is_answered_410(
    notices: Feed, redis_server: RedisServer, how: str
) -> None:
    notices.append()
    client = await waiting(f"{NOTICE}?since={notices.now()}&wait=60")
    RAISES[how](notices, redis_server)
    document = await client.answer()

    assert (client.status, document["reason"], document["cursor"]) == (410, "reset", str(notices.now()))
    assert client.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("accept", ["application/json", "application/msgpack"])
async def test_each_waits_in_the_form_that_it_asks_for(notices: Feed, accept: str) -> None:
    since = notices.now()
    first = await waiting(f"{NOTICE}?since={since}&wait=60", {"accept": accept})
    other = await waiting(f"{NOTICE}?since={since}&wait=60")
    diff = notices.append()
    await other.answer()
    await first.until(lambda: first.is_complete)
    load = json.loads if accept.endswith("json") else msgpack.loads

    assert first.headers["content-type"] == accept
    assert load(first.body) == json.loads(other.body) == page(notices.now(), diff)


async def test_what_came_is_folded_where_that_is_asked_for(notices: Feed) -> None:
    client = await waiting(f"{NOTICE}?since=now&wait=60&collapse=1")
    notices.append("create", {"headline": "a", "body": "b"})

    (diff,) = (await client.answer())["diffs"]
    assert (diff["action"], diff["data"]) == ("create", {"headline": "a", "body": "b"})


async def test_nobody_waits_for_a_snapshot_or_by_head(notices: Feed, transactional_db: None) -> None:
    for client in (Client(NOTICE + "?wait=60&snapshot=1"), Client(NOTICE + "?since=now&wait=60", method="HEAD")):
        client.start()
        assert client.task is not None
        await asyncio.wait_for(client.task, 20)
        assert "preference-applied" not in client.headers
        assert (client.status, client.waiters) in ((404, 0), (200, 0))


def of_even_pk(request: Any, model: type[models.Model], pk: Any) -> bool:
    return bool(pk % 2 == 0)


async def test_p8_diffs_that_are_withheld_end_no_wait_and_are_passed_over(
    questions: Feed, rule: Callable[..., Any]
) -> None:
    rule(Question, permission="public")
    rule(Choice, permission=of_even_pk)
    questions.append(child=(Choice, 1), data={"text": "secret"})
    client = await waiting("/testapp.question/42/?wait=60")
    for pk in (1, 3, 5):
        questions.append(child=(Choice, pk), data={"text": "secret"})
        await asyncio.sleep(0.01)
    assert client.status == 0
    diff = questions.append(child=(Choice, 2))

    assert await client.answer() == page(questions.now(), diff)
    assert b"secret" not in client.body


async def test_p8_wait_that_ends_with_withheld_diffs_alone_moves_the_cursor(
    questions: Feed, rule: Callable[..., Any]
) -> None:
    rule(Question, permission="public")
    rule(Choice, permission=of_even_pk)
    client = await waiting("/testapp.question/42/?since=now&wait=1")
    questions.append(child=(Choice, 1))

    assert await client.answer() == page(questions.now())


async def test_withheld_page_with_more_behind_it_is_answered(questions: Feed, rule: Callable[..., Any]) -> None:
    rule(Question, permission="public")
    rule(Choice, permission=of_even_pk)
    for _ in range(3):
        questions.append(child=(Choice, 1))
    client = await answered("/testapp.question/42/?wait=60&limit=2")
    document = json.loads(client.body)

    assert (document["diffs"], document["more"]) == ([], True)


async def test_client_that_hangs_up_is_forgotten(notices: Feed) -> None:
    client = await waiting(f"{NOTICE}?since=now&wait=60")
    await client.leave()

    assert (client.status, listeners()) == (0, 0)
    diff = notices.append()
    assert diff


async def test_poll_that_its_server_cancels_leaves_nothing_behind(notices: Feed) -> None:
    client = await waiting(f"{NOTICE}?since=now&wait=60")
    assert client.task is not None
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.task
    await until(lambda: not client.waiters)

    assert listeners() == 0


async def test_news_for_many_who_wait_cost_one_reading(
    notices: Feed, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffs.http.live.hub.READ_AGAIN", 10_000)
    notices.append()
    since = notices.now()
    clients = [Client(f"{NOTICE}?since={since}&wait=60") for _ in range(200)]
    for client in clients:
        client.start()
    await until(lambda: all(client.waiters for client in clients))
    redis_server.cli("CONFIG", "RESETSTAT")
    get_store().append(entries(notices, 1))
    bodies = [await client.answer() for client in clients]

    assert redis_server.client.info("commandstats")["cmdstat_evalsha"]["calls"] <= 3
    assert all(body == bodies[0] for body in bodies)
    assert len(bodies[0]["diffs"]) == 1


async def test_those_whose_wait_ends_together_are_read_for_together(notices: Feed, redis_server: RedisServer) -> None:
    since = notices.now()
    clients = [Client(f"{NOTICE}?since={since}&wait=1") for _ in range(200)]
    for client in clients:
        client.start()
    await until(lambda: all(client.waiters for client in clients))
    redis_server.cli("CONFIG", "RESETSTAT")
    for client in clients:
        assert await client.answer() == page(since)

    assert redis_server.client.info("commandstats")["cmdstat_evalsha"]["calls"] < 50


async def test_rule_that_fails_while_somebody_waits_is_a_500_and_leaves_nothing_behind(
    questions: Feed, rule: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    def fails(request: Any, model: type[models.Model], pk: Any) -> bool:
        raise ConnectionRefusedError("The service that knows is away.")

    rule(Question, permission="public")
    rule(Choice, permission=fails)
    client = await waiting("/testapp.question/42/?since=now&wait=60")
    questions.append(child=(Choice, 1))
    await client.until(lambda: client.is_complete)

    assert (client.status, listeners(), client.waiters) == (500, 0, 0)
    assert "The service that knows is away." in caplog.text


async def test_p1_diff_that_comes_while_the_first_page_is_read_ends_the_wait(
    notices: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Gathering.read
    sent: list[Any] = []

    async def read_and_append(self: Gathering, requests: Any, *arguments: Any) -> Any:
        pages = await read(self, requests, *arguments)
        if requests[0].mode == "asc" and not sent:
            # It is on the server, and not on the page that was read.
            sent.append(notices.append())
        return pages

    since = notices.now()
    monkeypatch.setattr(Gathering, "read", read_and_append)
    client = await answered(f"{NOTICE}?since={since}&wait=60")

    assert json.loads(client.body) == page(notices.now(), *sent)
