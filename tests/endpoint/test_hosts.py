"""Hosts and origins, which the ASGI application sees to by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User

from diffs.http.asgi import application
from diffs.http.tokens import make_token
from tests.testapp.models import Question

from .feeds import Feed
from .ways import Answer, AsgiClient, exchange, make_scope

APP = "https://app.example.com"
PATH = "/testapp.notice/1/"
WRONG_HOST = b'"detail": "This host is not served here."'


def ask(method: str = "GET", path: str = PATH, scope: Mapping[str, Any] | None = None, **headers: str) -> Answer:
    """What is answered; ``access_control_request_method="GET"`` is a header."""
    sent = {"host": "testserver", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return asyncio.run(exchange(application, make_scope(path, method=method, headers=sent.items(), **(scope or {}))))


@pytest.fixture
def configure(settings: Any) -> Any:
    def change(**changed: Any) -> None:
        settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, **changed}

    return change


# Hosts


@pytest.mark.parametrize(
    ("allowed", "host", "is_served"),
    [
        (["example.com"], "example.com", True),
        (["example.com"], "EXAMPLE.com.:8000", True),
        (["example.com"], "www.example.com", False),
        ([".example.com"], "www.example.com:80", True),
        ([".example.com"], "badexample.com", False),
        (["*"], "anything.at.all", True),
        (["*"], "no host", False),
        (["*"], "", False),
        (["*"], "example.com/diffs", False),
        (["[::1]"], "[::1]:8000", True),
        (["example.com"], "evil.com,example.com", False),
    ],
)
@pytest.mark.parametrize("whose", ["Django's", "its own"])
def test_hosts_that_are_allowed_are_served(
    configure: Any, settings: Any, allowed: list[str], host: str, is_served: bool, whose: str
) -> None:
    if whose == "Django's":
        settings.ALLOWED_HOSTS = allowed
    else:
        settings.ALLOWED_HOSTS = ["elsewhere.example"]
        configure(allowed_hosts=allowed)

    answer = ask(host=host)

    assert (answer.status, WRONG_HOST in answer.body) == ((200, False) if is_served else (400, True))


@pytest.mark.parametrize(
    ("host", "is_served"),
    [("localhost", True), ("site.localhost:8000", True), ("127.0.0.1", True), ("[::1]", True), ("example.com", False)],
)
def test_this_machine_is_served_in_debug_mode(settings: Any, host: str, is_served: bool) -> None:
    settings.DEBUG, settings.ALLOWED_HOSTS = True, []

    assert (ask(host=host).status == 200) == is_served


def test_no_host_is_served_where_none_is_allowed(settings: Any) -> None:
    settings.ALLOWED_HOSTS = []

    assert ask(host="localhost").status == 400


def test_wrong_host_is_a_problem_that_nobody_stores() -> None:
    answer = ask(host="example.com")

    assert (answer.header("content-type"), answer.header("cache-control")) == ("application/problem+json", "no-store")
    assert answer.header("x-content-type-options") == "nosniff"


@pytest.mark.parametrize(("is_trusted", "status"), [(True, 200), (False, 400)])
def test_proxy_names_the_host_where_it_is_trusted(settings: Any, is_trusted: bool, status: int) -> None:
    settings.USE_X_FORWARDED_HOST = is_trusted

    assert ask(host="inside.local", x_forwarded_host="testserver").status == status


@pytest.mark.parametrize(
    ("server", "status"),
    [(("testserver", 80), 200), (("elsewhere", 80), 400), (("/run/socket", None), 400), (None, 400)],
)
def test_request_without_a_host_is_for_the_server_that_took_it(server: Any, status: int) -> None:
    scope = make_scope(PATH, headers=[], server=server)

    assert asyncio.run(exchange(application, scope)).status == status


# Origins

NO_SHARING = {"access-control-allow-origin": None, "access-control-allow-credentials": None}


def sharing(answer: Answer) -> dict[str, str | None]:
    """Whom an answer is shared with."""
    return {name: answer.header(name) for name in NO_SHARING}


@pytest.mark.parametrize("origin", [APP, "http://testserver", "null"])
def test_no_origin_is_let_in_unless_the_settings_say_so(origin: str) -> None:
    answer = ask(origin=origin)

    assert (answer.status, sharing(answer), answer.header("vary")) == (200, NO_SHARING, "Accept")


@pytest.mark.parametrize(
    ("path", "status"),
    [(PATH, 200), (PATH + "?limit=0", 400), ("/testapp.question/1/", 401), ("/testapp.notice/x/", 404)],
)
def test_origin_that_is_let_in_reads_every_answer(configure: Any, path: str, status: int) -> None:
    configure(cors_origins=["http://localhost:5173", APP])

    answer = ask(path=path, origin=APP)

    assert (answer.status, sharing(answer)) == (
        status,
        {"access-control-allow-origin": APP, "access-control-allow-credentials": "true"},
    )
    assert answer.header("access-control-expose-headers") == "ETag, Preference-Applied, Retry-After"
    assert "Origin" in (answer.header("vary") or "").split(", ")


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.com",
        "https://APP.example.com",
        "null",
        "*",
        "",
        None,
    ],
)
def test_other_origins_are_not_let_in_and_caches_know_it(configure: Any, origin: str | None) -> None:
    configure(cors_origins=[APP])

    answer = ask() if origin is None else ask(origin=origin)

    assert (sharing(answer), answer.header("vary")) == (NO_SHARING, "Accept, Origin")


@pytest.mark.parametrize("headers", [{}, {"origin": APP}, {"origin": "null"}])
def test_all_origins_are_let_in_without_their_users_sessions(configure: Any, headers: dict[str, str]) -> None:
    configure(cors_origins=["*"])

    answer = ask(**headers)

    assert sharing(answer) == {"access-control-allow-origin": "*", "access-control-allow-credentials": None}
    assert answer.header("vary") == "Accept"


def test_stream_is_shared_as_a_page_is(configure: Any, notices: Feed) -> None:
    configure(cors_origins=[APP])

    async def begin() -> Mapping[str, Any]:
        headers = [("host", "testserver"), ("origin", APP), ("accept", "text/event-stream")]
        client = ApplicationCommunicator(application, make_scope(PATH, headers=headers))
        await client.send_input({"type": "http.request"})
        start: Mapping[str, Any] = await client.receive_output(10)
        await client.send_input({"type": "http.disconnect"})
        await client.wait(10)
        return start

    headers = dict(asyncio.run(begin())["headers"])

    assert headers[b"access-control-allow-origin"] == APP.encode()
    assert headers[b"access-control-allow-credentials"] == b"true"


@pytest.mark.parametrize(
    ("origins", "origin"),
    [([APP], APP), (["*"], APP), (["*"], "null"), ([APP, "http://localhost"], "http://localhost")],
)
def test_browser_is_told_beforehand_what_a_page_may_send(configure: Any, origins: list[str], origin: str) -> None:
    configure(cors_origins=origins)

    answer = ask("OPTIONS", origin=origin, access_control_request_method="GET")

    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("access-control-allow-methods") == "GET, HEAD, OPTIONS"
    assert (
        answer.header("access-control-allow-headers")
        == "Accept, Authorization, Cache-Control, If-None-Match, Last-Event-ID, Prefer"
    )
    assert answer.header("access-control-max-age") == "7200"
    assert answer.header("access-control-allow-origin") == ("*" if "*" in origins else origin)


@pytest.mark.parametrize("origins", [[], ["https://example.com"]])
def test_browser_is_told_beforehand_that_a_page_may_not(configure: Any, origins: list[str]) -> None:
    configure(cors_origins=origins)

    answer = ask("OPTIONS", origin=APP, access_control_request_method="GET")

    assert (answer.status, answer.header("allow"), sharing(answer)) == (204, "GET, HEAD, OPTIONS", NO_SHARING)
    assert answer.header("access-control-allow-methods") is None


def test_question_that_is_no_browsers_is_answered_as_ever(configure: Any) -> None:
    configure(cors_origins=[APP])

    answer = ask("OPTIONS", origin=APP)

    assert (answer.status, answer.header("allow")) == (204, "GET, HEAD, OPTIONS")
    assert answer.header("access-control-allow-methods") is None


def test_wrong_host_is_refused_before_a_browser_is_told_anything(configure: Any) -> None:
    configure(cors_origins=["*"])

    assert ask("OPTIONS", host="example.com", origin=APP, access_control_request_method="GET").status == 400


@pytest.mark.parametrize(
    ("origins", "is_shared"), [([], False), (["*"], False), (["https://example.com"], False), ([APP], True)]
)
def test_P8_what_a_session_opens_is_read_from_another_site_only_where_the_settings_name_it(
    configure: Any, user: User, questions: Feed, rule: Any, origins: list[str], is_shared: bool
) -> None:
    configure(cors_origins=origins)
    rule(Question, permission="authenticated")
    client = AsgiClient()
    client.force_login(user)

    headers = client.get(questions.path, headers={"Origin": APP}).headers

    # A browser shows what it got with a cookie only where both headers say so.
    shared = headers.get("access-control-allow-origin"), headers.get("access-control-allow-credentials")
    assert (shared == (APP, "true")) == is_shared


def test_token_opens_a_feed_to_the_pages_of_all_origins(configure: Any, questions: Feed) -> None:
    configure(cors_origins=["*"])
    token = make_token(questions.ref.name)

    answer = ask(path="/testapp.question/42/", origin=APP, authorization=f"Bearer {token}")

    assert (answer.status, answer.header("access-control-allow-origin")) == (200, "*")
