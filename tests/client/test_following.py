"""Feeds that are followed, on real servers."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Timer
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.db.models import Model

from diffs.client import AsyncClient, Client, Diff, Event, Idle, Page, Reset, Snapshot
from diffs.http.tokens import make_token
from diffs.store import Floors, get_store
from tests.endpoint.feeds import Feed
from tests.testapp.models import Country, Notice, Question, Seat

from .conftest import Take
from .faulty import Faulty
from .sites import Site

SOON = 0.2


def as_diff(feed: Feed, document: dict[str, Any]) -> Diff:
    """What the client is to make of a diff of the endpoint."""
    values = {**document, "position": document["timestamp"], "version": int(document["version"])}
    del values["timestamp"]
    return Diff(feed=feed.name, cursor=f"{feed.now().epoch}_{document['timestamp']:x}", **values)


def once(action: Callable[[], object]) -> Callable[[Event], object]:
    """Do something soon after the first event, while the client is waiting already."""
    timer = Timer(SOON, action)
    return lambda _: timer.ident or timer.start()


def test_what_is_there_and_what_comes_is_given(take: Take, site: Site, notices: Feed) -> None:
    written = [notices.append("create", {"headline": "Fire", "body": "火"}, version=2**53)]
    events = take(
        site.url, notices.name, count=2, then=once(lambda: written.append(notices.append("delete", actor="ada")))
    )
    assert events == [as_diff(notices, document) for document in written]


def test_diff_is_one_as_on_the_server(site: Site, notices: Feed) -> None:
    document = notices.append("create", {"headline": "Fire"})
    with Client(f"{site.url}testapp.notice/1/") as client:
        (diff,) = client.pull().events
    assert isinstance(diff, Diff)
    assert diff.timestamp == dt.datetime.fromtimestamp(document["timestamp"] / 1e6, dt.timezone.utc)
    assert diff.created
    assert (diff.model, diff.pk, diff.data) == ("testapp.notice", 1, {"headline": "Fire"})


def test_several_feeds_are_followed_in_the_order_of_their_diffs(
    take: Take, site: Site, notices: Feed, others: Feed
) -> None:
    written = [as_diff(feed, feed.append()) for feed in (notices, others, notices, others)]
    assert take(site.url, others.name, notices.name, count=4) == written


def test_nothing_is_left_out_between_short_answers(take: Take, site: Site, notices: Feed, others: Feed) -> None:
    written = [as_diff(feed, feed.append()) for feed in (notices, others, notices, notices, others, notices)]
    events = take(site.url, others.name, notices.name, count=6, limit=1)
    for feed in (notices, others):
        assert [event for event in events if event.feed == feed.name] == [
            diff for diff in written if diff.feed == feed.name
        ]


@pytest.mark.parametrize("site", ["asgi"], indirect=True)
def test_server_that_can_waits_for_news(take: Take, site: Site, notices: Feed) -> None:
    began = time.monotonic()
    with Faulty(site.port) as between:
        events = take(between.url, notices.name, since="now", wait=1, idle=True, count=3, then=once(notices.append))
        assert len(between.requests) == 3
    assert [type(event) for event in events] == [Idle, Diff, Idle]
    assert time.monotonic() - began > 1


@pytest.mark.parametrize("site", ["wsgi"], indirect=True)
def test_server_that_can_not_is_polled(take: Take, site: Site, notices: Feed) -> None:
    began = time.monotonic()
    events = take(site.url, notices.name, since="now", wait=30, interval=0.1, idle=True, count=4)
    assert events == [Idle()] * 4
    assert 2 * 0.1 * 0.9 <= time.monotonic() - began < 10


@pytest.mark.parametrize("site", ["asgi"], indirect=True)
def test_wait_that_is_too_long_for_the_server_becomes_its_longest(take: Take, site: Site, notices: Feed) -> None:
    notices.append()
    with Faulty(site.port) as between:
        assert len(take(between.url, notices.name, wait=999, count=1)) == 1
        assert [request.split()[1] for request in between.requests] == [
            f"/diffs/testapp.notice/1/?wait={seconds}" for seconds in (999, 60)
        ]


def test_new_reader_goes_on_where_another_stopped(take: Take, site: Site, notices: Feed, others: Feed) -> None:
    written = [as_diff(feed, feed.append()) for feed in (notices, others, notices, others, notices)]
    cursors: dict[str, str] = {}
    found: list[Event] = []
    while len(found) < len(written):
        (event,) = take(site.url, notices.name, others.name, since=cursors, count=1)
        found.append(event)
        cursors[event.feed] = event.cursor
    assert found == written
    assert take(site.url, notices.name, since=written[2].cursor, count=1) == [written[4]]


def test_reader_knows_where_it_stands(site: Site, notices: Feed, others: Feed) -> None:
    first, second = as_diff(notices, notices.append()), as_diff(others, others.append())
    with Client(site.url) as client:
        following = client.follow(notices.name, others.name)
        assert following.cursors == {notices.name: "", others.name: ""}
        assert next(following) == first
        assert following.cursors == {notices.name: first.cursor, others.name: ""}
        assert next(following) == second
        assert following.cursors == {notices.name: first.cursor, others.name: second.cursor}


def test_refused_cursor_is_an_event_and_the_feed_goes_on(take: Take, site: Site, notices: Feed) -> None:
    notices.append()

    def lose(event: Event) -> None:
        if isinstance(event, Reset):
            # Behind the cursor that came with it.
            notices.append("create")
        elif event.action == "update":
            get_store().raise_floors(Floors([notices.ref]))

    events = take(site.url, notices.name, count=3, then=lose)
    assert [type(event) for event in events] == [Diff, Reset, Diff]
    assert (events[1].feed, events[1].reason) == (notices.name, "reset")
    assert events[2].action == "create"


def test_one_feed_of_several_may_be_refused(take: Take, site: Site, notices: Feed, others: Feed) -> None:
    diff = as_diff(others, others.append())
    cursors = {notices.name: "00000000_0"}
    reset, *rest = take(site.url, notices.name, others.name, since=cursors, count=2)
    assert isinstance(reset, Reset)
    assert rest == [diff]


def test_waiting_may_be_cancelled_and_nothing_is_lost(site: Site, notices: Feed) -> None:
    async def scenario() -> list[Event]:
        async with AsyncClient(site.url) as client:
            following = client.follow(notices.name, since="now", wait=1, interval=0.1)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(following), SOON)
            await asyncio.to_thread(notices.append)
            return [await anext(following)]

    assert [event.action for event in asyncio.run(scenario())] == ["update"]


def test_interrupted_program_may_go_on(site: Site, notices: Feed) -> None:
    document = notices.append()
    interrupts = [KeyboardInterrupt()]

    def interrupt(request: httpx.Request) -> None:
        if interrupts:
            raise interrupts.pop()

    with httpx.Client(event_hooks={"request": [interrupt]}) as http, Client(site.url, http=http) as client:
        following = client.follow(notices.name)
        with pytest.raises(KeyboardInterrupt):
            next(following)
        assert next(following) == as_diff(notices, document)


def test_function_that_gives_tokens_may_fail_and_is_called_again(site: Site) -> None:
    questions = Feed(Question, 42)
    document = questions.append()
    failures = [OSError("No token today.")]

    def token() -> str:
        if failures:
            raise failures.pop()
        return make_token(questions.ref.name)

    with Client(site.url, token=token) as client:
        following = client.follow(questions.name)
        with pytest.raises(OSError, match=r"No token today\."):
            next(following)
        assert next(following) == as_diff(questions, document)


def test_pull_asks_once(site: Site, notices: Feed, others: Feed) -> None:
    first, second, third = [as_diff(feed, feed.append()) for feed in (notices, others, notices)]

    async def asynchronously() -> Page:
        async with AsyncClient(site.url) as client:
            return await client.pull(notices.name, others.name, limit=1)

    with Client(site.url) as client:
        page = client.pull(notices.name, others.name, limit=1)
        assert page == asyncio.run(asynchronously())
        assert (page.events, page.more) == ((first, second), True)
        assert page.cursors == {notices.name: first.cursor, others.name: second.cursor}
        assert client.pull(notices.name, since=page.cursors).events == (third,)
        assert client.pull(notices.name, since="now") == Page(
            events=(), cursors={notices.name: str(notices.now())}, more=False
        )


def test_pull_folds_a_page(site: Site, notices: Feed) -> None:
    notices.append("create", {"headline": "Fire", "body": ""})
    notices.append("update", {"body": "Out"})
    with Client(site.url) as client:
        (diff,) = client.pull(notices.name, collapse=True).events
    assert (diff.action, diff.data) == ("create", {"headline": "Fire", "body": "Out"})


@pytest.mark.django_db(transaction=True)
def test_snapshot_is_the_object_and_a_cursor(site: Site) -> None:
    notice = Notice.objects.create(headline="Fire", body="Here")
    feed = f"testapp.notice:{notice.pk}"

    async def asynchronously() -> Snapshot:
        async with AsyncClient(f"{site.url}testapp.notice/{notice.pk}/") as client:
            return await client.snapshot()

    with Client(site.url) as client:
        snapshot = client.snapshot(feed)
        assert snapshot == asyncio.run(asynchronously())
        assert (snapshot.model, snapshot.pk, snapshot.data) == (
            "testapp.notice",
            notice.pk,
            {"headline": "Fire", "body": "Here"},
        )
        notice.body = "Out"
        notice.save()
        assert [diff.data for diff in client.pull(feed, since=snapshot.cursor).events] == [{"body": "Out"}]


@pytest.mark.parametrize(("model", "pk", "text"), [(Seat, (12, ","), "12,~,"), (Country, "a/b", "a/b")])
def test_primary_keys_of_every_kind(site: Site, model: type[Model], pk: Any, text: str) -> None:
    feed = Feed(model, pk)
    feed.append()
    with Client(site.url, token=make_token(feed.ref.name)) as client:
        (diff,) = client.pull(f"{model._meta.label_lower}:{text}").events
    assert diff.pk == (list(pk) if isinstance(pk, tuple) else pk)


def test_token_opens_its_feed(take: Take, site: Site, notices: Feed) -> None:
    questions = Feed(Question, 42)
    diff = as_diff(questions, questions.append())
    token = make_token(questions.ref.name)
    assert take(site.url, questions.name, token=token, count=1) == [diff]
    tokens = {questions.name: token, notices.name: make_token(notices.ref.name)}
    assert take(site.url, questions.name, notices.name, token=tokens, count=1) == [diff]
    # Of those that it has it sends the ones that are good for what it asks.
    assert take(site.url, questions.name, token=tokens, count=1) == [diff]


def test_function_that_gives_tokens_is_asked_again_when_one_is_refused(take: Take, site: Site) -> None:
    questions = Feed(Question, 42)
    diff = as_diff(questions, questions.append())
    tokens = [make_token(questions.ref.name, 1, now=0), make_token(questions.ref.name)]
    given = iter(tokens)
    assert take(site.url, questions.name, token=lambda: next(given), count=1) == [diff]
    assert list(given) == []


def test_function_that_gives_tokens_may_be_asynchronous(site: Site) -> None:
    questions = Feed(Question, 42)
    questions.append()

    async def token() -> str:
        return make_token(questions.ref.name)

    async def scenario() -> Page:
        async with AsyncClient(site.url, token=token) as client:
            return await client.pull(questions.name)

    assert len(asyncio.run(scenario()).events) == 1


def test_threads_share_a_client(site: Site, notices: Feed, others: Feed) -> None:
    feeds = [notices, others] * 4
    for feed in feeds:
        feed.append()
    with Client(site.url) as client, ThreadPoolExecutor(len(feeds)) as threads:
        found = threads.map(lambda feed: list(itertools.islice(client.follow(feed.name), 4)), feeds)
        assert [{event.feed for event in events} for events in found] == [{feed.name} for feed in feeds]


def test_several_objects_may_be_followed_at_once_by_one_task_each(site: Site, notices: Feed, others: Feed) -> None:
    async def first(client: AsyncClient, feed: str) -> Event:
        return await anext(client.follow(feed, interval=0.05))

    async def scenario() -> list[Event]:
        async with AsyncClient(site.url) as client:
            waiting = [asyncio.ensure_future(first(client, feed.name)) for feed in (notices, others)]
            await asyncio.to_thread(lambda: (notices.append(), others.append()))
            return list(await asyncio.gather(*waiting))

    assert [event.feed for event in asyncio.run(scenario())] == [notices.name, others.name]


@pytest.mark.django_db(transaction=True)
def test_login_by_cookie_is_httpx_s_own(site: Site, client: Any) -> None:
    client.force_login(User.objects.create_superuser("ada"))
    questions = Feed(Question, 42)
    questions.append(actor="ada")
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    with httpx.Client(cookies=cookies) as http, Client(site.url, http=http) as reader:
        (diff,) = reader.pull(questions.name).events
        assert diff.actor == "ada"
        reader.close()
        assert not http.is_closed
