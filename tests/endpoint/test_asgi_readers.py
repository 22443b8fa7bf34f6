"""Who reads by the ASGI application: sessions, users, and rules that are asked in threads."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection
from django.http import HttpRequest
from pytest_django import DjangoAssertNumQueries

from diffs.http import rules
from diffs.http.asgi import PullApplication, mount
from diffs.http.permissions import MAX_ANSWERS, Reader
from diffs.http.rules import THREADS, Rules
from diffs.http.tokens import feed_token
from diffs.registration import require
from tests.testapp.models import Airport, Choice, Notice, Question

from .feeds import Feed
from .ways import Answer, AsgiClient, exchange, make_scope

PATH = "/diffs/testapp.question/42/"


@pytest.fixture
def reader(user: User) -> AsgiClient:
    """A client with a session, whose user may view questions."""
    user.user_permissions.add(Permission.objects.get(codename="view_question"))
    client = AsgiClient()
    client.force_login(user)
    return client


@pytest.fixture
def no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(function: Any) -> Any:
        raise AssertionError("This takes no thread.")

    for module in ("rules", "asgi"):
        monkeypatch.setattr(f"diffs.http.{module}.in_thread", refuse)


def together(*paths: str, **scope: Any) -> list[Answer]:
    """What is answered to requests that are made at once, in an event loop of their own."""

    async def all_of_them() -> list[Answer]:
        application = mount(_nowhere)
        return await asyncio.gather(*(exchange(application, make_scope(path, **scope)) for path in paths))

    return asyncio.run(all_of_them())


async def _nowhere(*_: Any) -> None:
    raise AssertionError("This is the endpoint's.")


# What takes no thread


@pytest.mark.parametrize("query", ["", "?since=now", "?collapse=1", "?wait=1"])
def test_public_poll_takes_no_thread(no_thread: None, notices: Feed, query: str) -> None:
    notices.append()

    (answer,) = together(notices.path + query)

    assert (answer.status, answer.header("vary")) == (200, "Accept")


def test_token_takes_no_thread_and_no_session(no_thread: None, questions: Feed, settings: Any) -> None:
    settings.SESSION_ENGINE = "there.is.none"
    diff = questions.append(child=(Choice, 1), actor="ada")
    headers = [
        ("host", "testserver"),
        ("authorization", f"Bearer {feed_token(Question, 42)}"),
        ("cookie", "sessionid=abc"),
    ]

    (answer,) = together(questions.path, headers=headers)

    assert (answer.status, answer.header("cache-control")) == (200, "private, no-cache")
    assert diff["id"].encode() in answer.body and b"ada" not in answer.body


def test_request_that_can_not_be_answered_takes_no_thread(no_thread: None) -> None:
    answers = together("/diffs/testapp.notice/x/", "/diffs/testapp.notice/1/?limit=0", "/diffs/", PATH + "?token=no")

    assert [answer.status for answer in answers] == [404, 400, 400, 401]


# Sessions and users


def test_session_is_looked_up_once_however_often_rules_ask(
    reader: AsgiClient, user: User, questions: Feed, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    user.user_permissions.add(Permission.objects.get(codename="view_choice"))
    for number in range(3):
        questions.append(child=(Choice, number), actor="ada")
    questions.append(actor="ada")

    # Session, user, the user's permissions, those of its groups.
    with django_assert_num_queries(4):
        page = reader.get(PATH).json()

    assert [diff["actor"] for diff in page["diffs"]] == ["ada"] * 4


@pytest.mark.parametrize("permission", [None, "authenticated", "testapp.view_question"])
def test_poll_by_a_session_takes_one_thread(
    reader: AsgiClient, questions: Feed, rule: Any, monkeypatch: pytest.MonkeyPatch, permission: str | None
) -> None:
    taken: list[Any] = []
    in_thread = rules.in_thread

    async def count(function: Any) -> Any:
        taken.append(function)
        return await in_thread(function)

    monkeypatch.setattr(rules, "in_thread", count)
    rule(Question, permission=permission)
    questions.append(actor="ada")

    (diff,) = reader.get(PATH).json()["diffs"]

    assert (diff["actor"], len(taken)) == ("ada", 1)


@pytest.mark.parametrize("engine", ["signed_cookies", "cache", "cached_db", "file"])
def test_session_may_be_anywhere(user: User, questions: Feed, settings: Any, rule: Any, engine: str) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    rule(Question, permission="authenticated")
    client = AsgiClient()
    client.force_login(user)

    assert client.get(PATH).status_code == 200


def test_session_that_is_over_is_nobodys(reader: AsgiClient, questions: Feed) -> None:
    Session.objects.all().delete()

    assert reader.get(PATH).status_code == 401


def test_changed_password_ends_the_session_for_the_endpoint_too(reader: AsgiClient, user: User) -> None:
    user.set_password("another")
    user.save()

    assert reader.get(PATH).status_code == 401


def test_session_keeps_its_key_while_the_secret_is_rotated(reader: AsgiClient, settings: Any) -> None:
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
    (before,) = Session.objects.values_list("session_key", "session_data")

    assert [reader.get(PATH).status_code for _ in range(2)] == [200, 200]
    assert list(Session.objects.values_list("session_key", "session_data")) == [before]


@pytest.mark.parametrize("missing", ["django.contrib.auth", "django.contrib.sessions"])
def test_P8_site_without_sessions_or_users_has_only_anonymous_readers(
    reader: AsgiClient, questions: Feed, monkeypatch: pytest.MonkeyPatch, rule: Any, missing: str
) -> None:
    is_installed = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda name: name != missing and is_installed(name))

    assert reader.get(PATH).status_code == 401
    rule(Question, permission="authenticated")
    assert reader.get(PATH).status_code == 401
    rule(Question, permission="public")
    assert reader.get(PATH).status_code == 200


def test_rule_is_shown_the_request(reader: AsgiClient, user: User, rule: Any) -> None:
    seen: list[Any] = []

    def look(request: HttpRequest, model: Any, pk: Any) -> bool:
        seen.append(
            (
                request.method,
                request.path,
                request.GET["x"],
                request.headers["X-Team"],
                request.get_host(),
                request.META["REMOTE_ADDR"],
                request.user == user,
                request.session.session_key,
                request.body,
            )
        )
        return True

    rule(Question, permission=look)

    assert reader.get(f"{PATH}?x=%C3%A4&since=now", headers={"X-Team": "red"}).status_code == 200
    key = reader.cookies[django_settings.SESSION_COOKIE_NAME].value
    assert seen == [("GET", PATH, "ä", "red", "testserver", "127.0.0.1", True, key, b"")]


def test_asynchronous_rule_may_ask_for_the_user(reader: AsgiClient, user: User, rule: Any) -> None:
    seen: list[Any] = []

    async def look(request: HttpRequest, model: Any, pk: Any) -> bool:
        seen.append(await request.auser() == user)
        return await sync_to_async((await request.auser()).has_perm)("testapp.view_question")

    rule(Question, permission=look)

    assert (reader.get(PATH).status_code, seen) == (200, [True])


def test_rule_writes_a_session_only_where_it_saves_it(reader: AsgiClient, rule: Any) -> None:
    def write(request: HttpRequest, model: Any, pk: Any) -> bool:
        request.session["seen"] = True
        return True

    rule(Question, permission=write)

    assert "set-cookie" not in reader.get(PATH).headers
    assert "seen" not in SessionStore(reader.cookies[django_settings.SESSION_COOKIE_NAME].value)


# Users that aren't the session's


def by_header(request: HttpRequest) -> Any:
    name = request.headers.get("X-User")
    return User.objects.filter(username=name).first() if name else None


async def by_header_later(request: HttpRequest) -> Any:
    return await sync_to_async(by_header)(request)


@pytest.mark.parametrize("authenticate", [by_header, by_header_later])
def test_site_may_say_who_reads(reader: AsgiClient, questions: Feed, authenticate: Any) -> None:
    reader.application = mount(_nowhere, authenticate=authenticate)

    statuses = [reader.get(PATH, headers={"X-User": name}).status_code for name in ("ada", "bob", "")]

    assert statuses == [200, 401, 401]


def test_site_may_say_who_reads_without_djangos_users(
    db: None, questions: Feed, rule: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Somebody:
        is_authenticated = True

    monkeypatch.setattr(apps, "is_installed", lambda name: False)
    rule(Question, permission="authenticated")
    client = AsgiClient(PullApplication(authenticate=lambda request: Somebody() if "u" in request.GET else None))

    assert [client.get(f"/testapp.question/42/{query}").status_code for query in ("?u", "")] == [200, 401]


def test_nobody_is_djangos_anonymous_user(db: None, questions: Feed, rule: Any) -> None:
    rule(Question, permission=lambda request, model, pk: request.user == AnonymousUser())

    assert AsgiClient(mount(_nowhere, authenticate=lambda request: None)).get(PATH).status_code == 200


def test_error_of_who_says_who_reads_is_not_taken_for_nobody(db: None, questions: Feed) -> None:
    def fail(request: HttpRequest) -> Any:
        return request.nothing_of_that_name  # type: ignore[attr-defined]

    client = AsgiClient(mount(_nowhere, authenticate=fail), raise_request_exception=False)

    assert client.get(PATH).status_code == 500


# Threads


@pytest.mark.django_db(transaction=True)
def test_rules_use_databases_in_threads_of_their_own(questions: Feed, rule: Any) -> None:
    user = User.objects.create_user("ada")
    names: list[str] = []

    def ask(request: HttpRequest, model: Any, pk: Any) -> bool:
        names.append(threading.current_thread().name)
        return User.objects.filter(pk=user.pk).exists() and connection.connection is not None

    rule(Question, permission=ask)

    assert [answer.status for answer in together(PATH, PATH)] == [200, 200]
    assert [name.startswith("diffs-rules") for name in names] == [True, True]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [None, ValueError])
def test_connections_that_are_too_old_are_closed_before_and_after(
    rule: Any, monkeypatch: pytest.MonkeyPatch, error: type[Exception] | None
) -> None:
    seen: list[str] = []

    class Connection:
        in_atomic_block = False

        def close_if_unusable_or_obsolete(self) -> None:
            seen.append("looked at")

    def ask(request: HttpRequest, model: Any, pk: Any) -> bool:
        seen.append("asked")
        if error is not None:
            raise error
        return True

    monkeypatch.setattr(rules.connections, "all", lambda initialized_only: [Connection()])
    rule(Question, permission=ask)

    (answer,) = together(PATH)

    assert answer.status == (200 if error is None else 500)
    assert seen[:3] == ["looked at", "asked", "looked at"]


def test_transaction_of_a_test_is_left_alone(db: None, rule: Any) -> None:
    User.objects.create_user("ada")
    rule(Question, permission=lambda request, model, pk: User.objects.exists())

    assert AsgiClient().get(PATH).status_code == 200
    assert User.objects.exists()


def test_slow_rule_holds_up_no_other(rule: Any) -> None:
    met = threading.Barrier(3, timeout=30)
    rule(Question, permission=lambda request, model, pk: met.wait() is not None)

    answers = together(*(f"/diffs/testapp.question/{number}/" for number in range(3)))

    assert [answer.status for answer in answers] == [200] * 3


def test_only_a_few_rules_are_asked_at_once(rule: Any) -> None:
    lock = threading.Lock()
    most = current = 0
    met = threading.Barrier(THREADS, timeout=30)

    def count(request: HttpRequest, model: Any, pk: Any) -> bool:
        nonlocal most, current
        with lock:
            current += 1
            most = max(most, current)
        met.wait()
        with lock:
            current -= 1
        return True

    rule(Question, permission=count)

    answers = together(*(f"/diffs/testapp.question/{number}/" for number in range(THREADS * 3)))

    assert {answer.status for answer in answers} == {200}
    assert most == THREADS


def test_public_poll_is_answered_while_all_threads_are_asked(notices: Feed, rule: Any) -> None:
    answered = threading.Event()
    rule(Question, permission=lambda request, model, pk: answered.wait(30))

    async def all_of_them() -> list[int]:
        application = mount(_nowhere)
        asking = [
            asyncio.create_task(exchange(application, make_scope(f"/diffs/testapp.question/{number}/")))
            for number in range(THREADS * 2)
        ]
        public = await exchange(application, make_scope(notices.path))
        answered.set()
        return [public.status, *(answer.status for answer in await asyncio.gather(*asking))]

    assert asyncio.run(all_of_them()) == [200] * (1 + THREADS * 2)


@pytest.mark.django_db(transaction=True)
def test_asynchronous_rule_of_an_event_loop_uses_databases(rule: Any) -> None:
    question = Question.objects.create(text="?")

    async def exists(request: HttpRequest, model: Any, pk: Any) -> bool:
        return await sync_to_async(model._base_manager.filter(pk=pk).exists)()

    rule(Question, permission=exists)

    answers = together(f"/diffs/testapp.question/{question.pk}/", f"/diffs/testapp.question/{question.pk + 1}/")

    assert [answer.status for answer in answers] == [200, 401]


@pytest.mark.django_db(transaction=True)
def test_snapshot_is_read_in_a_thread(rule: Any) -> None:
    notice = Notice.objects.create(headline="Fire")

    (answer,) = together(f"/diffs/testapp.notice/{notice.pk}/?snapshot=1&wait=60")

    assert (answer.status, b'"headline":"Fire"' in answer.body) == (200, True)
    assert answer.header("preference-applied") is None


# Rules that are asked again and again, as a stream does


def asked_of(*objects: tuple[Any, Any], times: int = 1) -> list[list[bool]]:
    """What the rules say of objects, each time anew."""

    async def ask() -> list[list[bool]]:
        asking = Rules(HttpRequest)
        questions = [functools.partial(asking.reader.may_pull, require(model), pk) for model, pk in objects]
        answers = [await asking.ask(question) for question in questions * times]
        return [answers[start : start + len(objects)] for start in range(0, len(answers), len(objects))]

    return asyncio.run(ask())


def test_rule_is_asked_once_for_a_connection(rule: Any) -> None:
    asked: list[Any] = []
    rule(Airport, permission=lambda request, model, pk: asked.append((request, pk)) or pk == 1)

    answers = asked_of((Airport, 1), (Airport, 2), times=3)

    assert answers == [[True, False]] * 3
    assert [pk for _, pk in asked] == [1, 2]
    assert len({id(request) for request, _ in asked}) == 1


def test_question_that_needs_nobody_is_answered_at_once(no_thread: None) -> None:
    assert asked_of((Notice, 1), times=2) == [[True], [True]]


def test_answers_are_remembered_within_bounds(rule: Any) -> None:
    asked: list[Any] = []
    rule(Airport, permission=lambda request, model, pk: asked.append(pk) or True)
    may_pull = functools.partial(Reader(HttpRequest).may_pull, require(Airport))

    for pk in (*range(MAX_ANSWERS + 1), MAX_ANSWERS, 0):
        assert may_pull(pk)

    assert asked == [*range(MAX_ANSWERS + 1), 0]
