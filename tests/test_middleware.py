"""Who makes a change: `diffs.actor` and the middleware."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils.functional import SimpleLazyObject

import diffs
from diffs.capture.context import current_actor
from diffs.middleware import ActorMiddleware

from .testapp.models import Contact, Question

NAMES = ("first", "second")

pytestmark = pytest.mark.django_db(transaction=True)


def change(request: HttpRequest) -> HttpResponse:
    for name in NAMES:
        Question.objects.create(text=name)
    return HttpResponse()


async def change_async(request: HttpRequest) -> HttpResponse:
    for name in NAMES:
        await Question.objects.acreate(text=name)
    return HttpResponse()


async def change_bulk(request: HttpRequest) -> HttpResponse:
    await sync_to_async(change)(request)
    return HttpResponse()


def look(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(current_actor() if "actor" in request.GET else Question.objects.count()))


def come_and_go(request: HttpRequest) -> HttpResponse:
    Question.objects.create(text="before")
    login(request, authenticate(request, username="grace", password="hopper"))
    Question.objects.create(text="logged in")
    logout(request)
    Question.objects.create(text="logged out")
    return HttpResponse()


def fail(request: HttpRequest) -> HttpResponse:
    raise LookupError


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def content() -> Iterator[str]:
        yield str(current_actor())

    return StreamingHttpResponse(content())


urlpatterns = [
    path("change/", change),
    path("change-async/", change_async),
    path("change-bulk/", change_bulk),
    path("look/", look),
    path("come-and-go/", come_and_go),
    path("fail/", fail),
    path("stream/", stream),
]


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "diffs.middleware.ActorMiddleware"]


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada")


def actors() -> dict[str, str | None]:
    """For each question who made it."""
    return {question.text: question.diffs[0].actor for question in Question.objects.all()}


def test_changes_of_a_request_name_the_user(client: Client, ada: User) -> None:
    client.force_login(ada)
    client.get("/change/")
    assert actors() == dict.fromkeys(NAMES, str(ada.pk))


def test_changes_of_a_visitor_name_nobody(client: Client) -> None:
    client.get("/change/")
    assert actors() == dict.fromkeys(NAMES)


@pytest.mark.parametrize("address", ["/change/", "/change-async/", "/change-bulk/"])
def test_changes_of_an_asynchronous_request_name_the_user(async_client: AsyncClient, ada: User, address: str) -> None:
    async_client.force_login(ada)
    assert async_to_sync(async_client.get)(address).status_code == 200
    assert actors() == dict.fromkeys(NAMES, str(ada.pk))


def test_asynchronous_view_of_a_synchronous_site_names_the_user(client: Client, ada: User) -> None:
    client.force_login(ada)
    client.get("/change-async/")
    assert actors() == dict.fromkeys(NAMES, str(ada.pk))


def test_requests_at_the_same_time_are_not_confused(ada: User) -> None:
    async def ask(user: User, number: int) -> str:
        client = AsyncClient()
        await client.aforce_login(user)
        await asyncio.sleep(0)
        return (await client.get("/look/", {"actor": number})).content.decode()

    async def ask_all() -> list[str]:
        return await asyncio.gather(*(ask(user, number) for number, user in enumerate(users)))

    users = [ada, *(User.objects.create_user(f"user {number}") for number in range(5))]
    assert async_to_sync(ask_all)() == [str(user.pk) for user in users]


def test_request_that_changes_nothing_looks_nobody_up(client: Client, ada: User) -> None:
    client.force_login(ada)
    with CaptureQueriesContext(connection) as queries:
        response = client.get("/look/")
    tables = [query["sql"] for query in queries.captured_queries]
    assert len(tables) == 1
    assert Question._meta.db_table in tables[0]
    # The session was not even asked for, so that shared caches may keep the page.
    assert not response.has_header("Vary")


def test_user_is_looked_up_once_for_many_changes(client: Client, ada: User) -> None:
    client.force_login(ada)
    with CaptureQueriesContext(connection) as queries:
        client.get("/change/")
    statements = [query["sql"] for query in queries.captured_queries]
    assert sum(User._meta.db_table in statement for statement in statements) == 1
    assert sum(Session._meta.db_table in statement for statement in statements) == 1


def test_actor_follows_login_and_logout_within_a_request(client: Client) -> None:
    grace = User.objects.create_user("grace", password="hopper")
    client.get("/come-and-go/")
    assert actors() == {"before": None, "logged in": str(grace.pk), "logged out": None}


def test_site_without_users_has_no_actors(client: Client, settings: Any) -> None:
    settings.MIDDLEWARE = ["diffs.middleware.ActorMiddleware"]
    client.get("/change/")
    assert actors() == dict.fromkeys(NAMES)


def test_middleware_may_stand_in_front_of_the_one_that_finds_the_user(client: Client, ada: User, settings: Any) -> None:
    settings.MIDDLEWARE = ["diffs.middleware.ActorMiddleware", *settings.MIDDLEWARE[:-1]]
    client.force_login(ada)
    client.get("/change/")
    assert actors() == dict.fromkeys(NAMES, str(ada.pk))


def test_error_of_a_view_goes_on_and_leaves_no_actor(client: Client, ada: User) -> None:
    client.force_login(ada)
    with pytest.raises(LookupError):
        client.get("/fail/")
    assert current_actor() is None


def test_streamed_content_has_no_actor(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.get("/stream/").getvalue() == b"None"


def test_middleware_takes_both_kinds_of_site() -> None:
    def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse("plain")

    async def answer_async(request: HttpRequest) -> HttpResponse:
        return HttpResponse("asynchronous")

    request = HttpRequest()
    assert ActorMiddleware(answer)(request).content == b"plain"  # type: ignore[union-attr]
    assert asyncio.run(ActorMiddleware(answer_async)(request)).content == b"asynchronous"  # type: ignore[arg-type, union-attr]


@pytest.mark.parametrize(
    ("who", "text"),
    [
        ("the importer", "the importer"),
        (42, "42"),
        (None, None),
        (User(pk=7), "7"),
        (User(), None),
        (SimpleLazyObject(lambda: User(pk=8)), "8"),
        (lambda: User(pk=9), "9"),
        (lambda: "somebody", "somebody"),
        (lambda: None, None),
    ],
)
def test_actor_is_an_object_text_or_what_a_function_says(who: Any, text: str | None) -> None:
    with diffs.actor(who):
        assert current_actor() == text
    assert current_actor() is None


def test_inner_block_names_another_actor() -> None:
    with diffs.actor("outer"):
        with diffs.actor(lambda: "inner"):
            assert current_actor() == "inner"
        with diffs.actor(None):
            assert current_actor() is None
        assert current_actor() == "outer"


def test_function_is_called_for_each_diff_and_not_before() -> None:
    calls: list[str] = []

    def look_up() -> str:
        calls.append("call")
        return str(len(calls))

    with diffs.actor(look_up):
        assert calls == []
        contact = Contact.objects.create(name="first")
        contact.save()
        assert len(calls) == 1
        contact.name = "second"
        contact.save()
    assert [diff.actor for diff in contact.diffs] == ["1", "2"]


def test_what_the_function_itself_changes_has_no_actor() -> None:
    def look_up() -> str:
        Question.objects.create(text="looked up")
        return "ada"

    with diffs.actor(look_up):
        Question.objects.create(text="changed")
    assert actors() == {"looked up": None, "changed": "ada"}
