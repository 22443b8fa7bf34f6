"""What a request costs: queries, trips to Redis, renderings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from diffs.http import render, views
from diffs.http.live import gathering
from diffs.http.tokens import feed_token
from diffs.store import Page, Read, Store, Stored, get_store
from tests.servers import RedisServer
from tests.testapp.models import Choice, Question

from .feeds import Feed


class Trips:
    """Counts, on the server, how often it was asked something since the last time."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._seen = self._reads()

    def taken(self) -> int:
        before, self._seen = self._seen, self._reads()
        # Asking for the count is a trip as well.
        return self._seen - before - 1

    def _reads(self) -> int:
        reads: int = self._server.client.info("stats")["total_reads_processed"]
        return reads


@pytest.fixture
def trips(redis_server: RedisServer) -> Trips:
    return Trips(redis_server)


@pytest.fixture
def logged_in(db: None, client: Client) -> Client:
    """A client with a session, whose user may see nothing."""
    client.force_login(User.objects.create_user("ada"))
    return client


@pytest.fixture(autouse=True)
def _warm(client: Client, redis_server: RedisServer, notices: Feed, questions: Feed) -> None:
    """The server knows the scripts, and the shards have their epochs."""
    for feed in (notices, questions):
        feed.append()


@pytest.mark.parametrize("query", ["", "?since=now", "?collapse=1", "?limit=1"])
def test_public_request_makes_no_query_and_one_trip(
    logged_in: Client, notices: Feed, trips: Trips, django_assert_num_queries: DjangoAssertNumQueries, query: str
) -> None:
    trips.taken()
    with django_assert_num_queries(0):
        response = logged_in.get(notices.path + query)

    assert (response.status_code, trips.taken()) == (200, 1)


@pytest.mark.parametrize("status", [304, 410])
def test_public_poll_without_news_makes_no_query_and_one_trip(
    logged_in: Client, notices: Feed, trips: Trips, django_assert_num_queries: DjangoAssertNumQueries, status: int
) -> None:
    cursor = str(notices.now()) if status == 304 else "00000000_1"
    trips.taken()
    with django_assert_num_queries(0):
        response = logged_in.get(f"{notices.path}?since={cursor}", headers={"If-None-Match": "*"})

    assert (response.status_code, trips.taken()) == (status, 1)


@pytest.mark.parametrize("child", [False, True])
def test_token_request_makes_no_query_and_one_trip(
    logged_in: Client, questions: Feed, trips: Trips, django_assert_num_queries: DjangoAssertNumQueries, child: bool
) -> None:
    diff = questions.append(child=(Choice, 1) if child else None, actor="ada")
    token = feed_token(Question, 42)
    trips.taken()
    with django_assert_num_queries(0):
        response = logged_in.get(f"{questions.path}?token={token}")

    assert (response.json()["diffs"][-1], trips.taken()) == (diff, 1)


def test_several_feeds_make_one_trip(
    logged_in: Client,
    notices: Feed,
    questions: Feed,
    trips: Trips,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    names = [f"testapp.notice:{number}" for number in range(20)]
    path = "/diffs/?" + "&".join(f"feed=@{name}" for name in [*names, questions.name])
    headers = {"Authorization": f"Bearer {feed_token(Question, 42)}"}
    logged_in.get(path, headers=headers)
    trips.taken()
    with django_assert_num_queries(0):
        response = logged_in.get(path, headers=headers)

    assert [feed["feed"] for feed in response.json()["feeds"]] == [*names, questions.name]
    assert trips.taken() == 1


@pytest.mark.parametrize("path", ["/diffs/testapp.notice/x/", "/diffs/testapp.notice/1/?limit=0", "/diffs/"])
def test_request_that_can_not_be_answered_costs_nothing(
    logged_in: Client, trips: Trips, django_assert_num_queries: DjangoAssertNumQueries, path: str
) -> None:
    trips.taken()
    with django_assert_num_queries(0):
        response = logged_in.get(path)

    assert (response.status_code in (400, 404), trips.taken()) == (True, 0)


def test_reader_who_is_refused_costs_no_trip(logged_in: Client, questions: Feed, trips: Trips) -> None:
    trips.taken()

    assert (logged_in.get(questions.path).status_code, trips.taken()) == (403, 0)


def test_rules_cost_the_user_and_its_permissions_once(
    viewer: Client, user: User, questions: Feed, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    user.user_permissions.add(Permission.objects.get(codename="view_choice"))
    for number in range(5):
        questions.append(child=(Choice, number))

    # Session, user, the user's permissions, those of its groups.
    with django_assert_num_queries(4):
        assert len(viewer.get(questions.path).json()["diffs"]) == 6


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Every member that was decoded for rendering, one after the other."""
    members: list[bytes] = []
    decode = render.codec.decode

    def watching(member: bytes) -> Any:
        members.append(member)
        return decode(member)

    monkeypatch.setattr(render.codec, "decode", watching)
    yield members


class Watching:
    """The store, and what it gives."""

    def __init__(self, store: Store, diffs: list[Stored]) -> None:
        self._store = store
        self._diffs = diffs

    def read(self, requests: Sequence[Read]) -> list[Any]:
        pages = self._store.read(requests)
        self._diffs += [stored for page in pages if isinstance(page, Page) for stored in page.stored]
        return pages


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[Stored]:
    """Every diff that the server gave to the endpoint, one after the other."""
    diffs: list[Stored] = []
    for module in (views, gathering):
        monkeypatch.setattr(module, "get_store", lambda: Watching(get_store(), diffs))
    return diffs


def test_diff_is_rendered_once_per_process(client: Client, notices: Feed, decoded: list[bytes]) -> None:
    first = notices.append()
    cursor = notices.now()
    pages = [client.get(notices.path + query) for query in ("", "", "?limit=2", "?limit=1000")]
    notices.append()
    later = client.get(f"{notices.path}?since={cursor}")

    assert len(pages[0].json()["diffs"]) == 2
    assert pages[0].json()["diffs"][1] == first
    assert decoded == [stored.member for stored in notices.stored()]
    assert len(later.json()["diffs"]) == 1


def test_many_clients_on_one_feed_make_the_process_fetch_and_render_each_diff_once(
    client: Client, notices: Feed, decoded: list[bytes], fetched: list[Stored]
) -> None:
    start = notices.now()
    cursors = [str(start)] * 50
    for request in range(1000):
        if request % 100 == 0:
            notices.append(version=request)
        number = request % 50
        # One in five never gets on.
        since = start if number % 5 == 0 else cursors[number]
        cursors[number] = client.get(f"{notices.path}?since={since}").json()["cursor"]

    members = [stored.member for stored in notices.stored()[1:]]
    assert (len(members), decoded, [stored.member for stored in fetched]) == (10, members, members)


def test_diff_is_rendered_once_for_each_form(client: Client, notices: Feed, decoded: list[bytes]) -> None:
    for _ in range(3):
        for media_type in ("application/json", "application/msgpack"):
            client.get(notices.path, headers={"Accept": media_type})

    assert decoded == [stored.member for stored in notices.stored()] * 2


def test_diff_with_and_without_actor_is_rendered_once(
    viewer: Client, questions: Feed, decoded: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    questions.append(actor="ada")
    token = feed_token(Question, 42)
    for query in ("", f"?token={token}") * 2:
        viewer.get(questions.path + query)

    assert decoded == [stored.member for stored in questions.stored()]
