"""The endpoint among all else that a Django site does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest
from django.test import AsyncClient, Client
from django.urls import resolve

from diffs.errors import StoreUnavailable
from diffs.http.pull import unavailable
from diffs.store import get_store
from tests.servers import RedisServer
from tests.testapp.models import Choice, Notice, Question

from .feeds import Feed


def test_login_required_middleware_leaves_the_endpoint_to_its_own_rules(
    client: Client, notices: Feed, questions: Feed, settings: Any
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]

    assert client.get(notices.path).status_code == 200
    assert client.get(questions.path).status_code == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_refused_without_a_csrf_token(notices: Feed, settings: Any, method: str) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.csrf.CsrfViewMiddleware"]
    client = Client(enforce_csrf_checks=True)

    assert client.generic(method, notices.path).status_code == 405
    assert client.get(notices.path).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_requests_are_in_no_transaction(client: Client, rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[bool] = []
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    rule(Question, permission=lambda request, model, pk: inside.append(connection.in_atomic_block) or True)

    assert client.get("/diffs/testapp.question/1/").status_code == 200
    assert inside == [False]


def test_endpoint_works_behind_an_asgi_server(notices: Feed) -> None:
    diff = notices.append()

    response = asyncio.run(AsyncClient().get(notices.path))

    assert response.json()["diffs"] == [diff]


@pytest.mark.django_db(transaction=True)
def test_asynchronous_rules_work_behind_an_asgi_server(rule: Any, questions: Feed) -> None:
    async def exists(request: HttpRequest, model: Any, pk: Any) -> bool:
        return await sync_to_async(model._base_manager.filter(pk=pk).exists)()

    rule(Question, permission=exists)
    path = f"/diffs/testapp.question/{Question.objects.create(text='?').pk}/"

    async def statuses() -> list[int]:
        client = AsyncClient()
        return [(await client.get(path)).status_code, (await client.get("/diffs/testapp.question/0/")).status_code]

    assert asyncio.run(statuses()) == [200, 401]


def test_address_without_the_last_slash_is_redirected(client: Client, notices: Feed) -> None:
    response = client.get(notices.path.rstrip("/") + "?since=now")

    assert (response.status_code, response.headers["Location"]) == (301, notices.path + "?since=now")


def test_addresses_have_names() -> None:
    paths = ["/diffs/", "/diffs/testapp.airport/", "/diffs/testapp.question/42/"]

    assert [resolve(path).view_name for path in paths] == ["diffs:feeds", "diffs:model", "diffs:object"]


def test_endpoint_answers_503_while_redis_is_away(
    client: Client, server: RedisServer, notices: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    server.kill()

    answers = [client.get(f"{notices.path}?{query}") for query in ("", "since=now", "limit=1")]

    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert answers[0].json() == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "The diffs can't be read just now: try again.",
    }
    for answer in answers:
        assert answer.headers["Retry-After"].isdigit() and int(answer.headers["Retry-After"]) >= 1
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert [(record.name, record.levelname) for record in caplog.records] == [("diffs", "ERROR")]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/diffs/testapp.question/1/", 401),
        ("/diffs/testapp.notice/x/", 404),
        ("/diffs/testapp.notice/1/?limit=0", 400),
        ("/diffs/?feed=@testapp.notice:1", 503),
        ("/diffs/testapp.notice/1/?snapshot=1", 503),
    ],
)
def test_what_is_wrong_with_a_request_is_told_also_while_redis_is_away(
    client: Client, server: RedisServer, db: None, path: str, status: int
) -> None:
    Notice(pk=1, headline="Fire").save_base(raw=True)
    server.kill()

    assert client.get(path).status_code == status


@pytest.mark.parametrize(("retry_after", "header"), [(0.0, "1"), (1.0, "1"), (1.2, "2"), (4.9, "5")])
def test_retry_after_is_in_whole_seconds(retry_after: float, header: str) -> None:
    assert unavailable(StoreUnavailable("Away.", retry_after)).headers == (("Retry-After", header),)


def test_key_that_is_no_feed_is_answered_like_an_outage(
    client: Client, notices: Feed, redis_server: RedisServer
) -> None:
    notices.now()
    redis_server.cli("SET", get_store().keys.feed(notices.ref.name), "something else")

    assert client.get(notices.path).status_code == 503


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_what_was_saved_can_be_pulled(client: Client, rule: Any) -> None:
    for model in (Question, Choice):
        rule(model, permission="public")
    question = Question.objects.create(text="?")
    path = f"/diffs/testapp.question/{question.pk}/"
    cursor = client.get(path).json()["cursor"]
    choice = Choice.objects.create(question=question, text="yes")
    choice.votes += 1
    choice.save()
    choice.delete()

    page = client.get(f"{path}?since={cursor}").json()

    assert [(diff["action"], diff["model"]) for diff in page["diffs"]] == [
        ("create", "testapp.choice"),
        ("update", "testapp.choice"),
        ("delete", "testapp.choice"),
    ]
    assert page["diffs"][1]["data"] == {"votes": 1}
    assert client.get(f"{path}?since={cursor}&collapse=1").json()["diffs"] == []
