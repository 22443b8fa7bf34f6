"""The ASGI application: what it takes, what it leaves to others, and how it answers servers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.core.signals import got_request_exception

from diffs.errors import ConfigurationError
from diffs.http.asgi import PullApplication, application, mount
from tests.servers import RedisServer
from tests.testapp.models import Country, Notice, Question

from .feeds import Feed
from .ways import Answer, AsgiClient, exchange, make_scope


class Others:
    """An application that takes what the endpoint leaves, and remembers it."""

    def __init__(self) -> None:
        self.scopes: list[Mapping[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"others"})


def ask(chosen: Any, address: str, **scope: Any) -> Answer:
    """What an application answers in an event loop of its own."""
    return asyncio.run(exchange(chosen, make_scope(address, **scope)))


# Which paths are its own


@pytest.mark.parametrize(
    "path", ["/diffs/", "/diffs/testapp.airport/", "/diffs/nowhere.nothing/1/", "/diffs/testapp.notice/1/2/3/"]
)
def test_paths_of_the_url_configuration_are_the_endpoints(path: str) -> None:
    others = Others()

    answer = ask(mount(others), path)

    assert (answer.header("content-type"), others.scopes) == ("application/problem+json", [])


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/diffs",
        "/admin/",
        "/diffsandmore/1/",
        "/other/diffs/testapp.notice/1/",
        "/diffs/testapp.notice",
        "/diffs/testapp.notice/1",
        "/diffs//1/",
        "/diffs/testapp.notice//",
        "/diffs/testapp.notice/a%0Ab/",
        "*",
    ],
)
def test_all_other_paths_are_left_to_the_other_application(path: str) -> None:
    others = Others()

    answer = ask(mount(others), path)

    assert (answer.body, [scope["raw_path"].decode() for scope in others.scopes]) == (b"others", [path])


@pytest.mark.parametrize("kind", ["websocket", "lifespan", "anything"])
def test_what_is_not_http_is_left_to_the_other_application(kind: str) -> None:
    others = Others()
    scope = {"type": kind, "path": "/diffs/testapp.notice/1/"}

    asyncio.run(mount(others)(scope, None, None))  # type: ignore[arg-type]

    assert others.scopes == [scope]


@pytest.mark.parametrize("path", ["/api/changes/", "/api/changes", "api/changes/"])
def test_path_may_be_named(notices: Feed, path: str) -> None:
    mounted = mount(Others(), path)

    assert ask(mounted, "/api/changes/testapp.notice/1/").header("content-type") == "application/json"
    assert ask(mounted, notices.path).body == b"others"


def test_path_may_be_the_root(notices: Feed) -> None:
    others = Others()

    assert ask(mount(others, "/"), "/testapp.notice/1/").header("content-type") == "application/json"
    assert ask(mount(others, "/"), "/testapp.notice/1").body == b"others"


@pytest.mark.parametrize(
    ("urls", "path"),
    [("tests.endpoint.elsewhere", "/api/v1/changes/"), ("tests.endpoint.anywhere", "/%C3%A4nderungen/")],
)
def test_path_is_found_where_the_urls_are(notices: Feed, settings: Any, urls: str, path: str) -> None:
    settings.ROOT_URLCONF = urls

    assert ask(mount(Others()), f"{path}testapp.notice/1/").header("content-type") == "application/json"


def test_path_has_to_be_named_where_the_urls_are_not(settings: Any) -> None:
    settings.ROOT_URLCONF = "django.contrib.auth.urls"

    with pytest.raises(ConfigurationError, match=r"include diffs\.http\.urls there, or give mount\(path=\.\.\.\)"):
        ask(mount(Others()), "/")
    assert ask(mount(Others(), "/diffs/"), "/diffs/testapp.notice/1/").body != b"others"


@pytest.mark.parametrize(
    ("path", "root_path", "is_its"),
    [
        ("/site/diffs/testapp.notice/1/", "/site", True),
        ("/diffs/testapp.notice/1/", "/site", True),
        ("/site/diffs/testapp.notice/1/", "", False),
        ("/other/diffs/testapp.notice/1/", "/site", False),
    ],
)
def test_path_is_behind_the_root_path(notices: Feed, path: str, root_path: str, is_its: bool) -> None:
    answer = ask(mount(Others()), path, root_path=root_path)

    assert (answer.body != b"others") == is_its


def test_forced_script_name_is_the_root_path(notices: Feed, settings: Any) -> None:
    settings.FORCE_SCRIPT_NAME = "/forced"
    mounted = mount(Others())

    assert ask(mounted, "/forced/diffs/testapp.notice/1/", root_path="/site").body != b"others"
    assert ask(mounted, "/site/diffs/testapp.notice/1/", root_path="/site").body == b"others"


@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        ("/testapp.notice/1/", ""),
        ("/diffs/testapp.notice/1/", "/diffs"),
        # As routers gave it before the specification was made clear.
        ("/testapp.notice/1/", "/diffs"),
    ],
)
def test_endpoint_stands_in_other_applications_by_itself(notices: Feed, path: str, root_path: str) -> None:
    diff = notices.append()

    answer = ask(application, path, root_path=root_path)

    assert answer.status == 200
    assert answer.body.count(diff["id"].encode()) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_by_itself_it_says_where_nothing_is(method: str) -> None:
    answer = ask(application, "/testapp.notice/1", method=method)

    assert (answer.status, answer.header("content-type")) == (404, "application/problem+json")


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_by_itself_it_takes_http_only(kind: str) -> None:
    with pytest.raises(ValueError, match=f"takes HTTP connections, not {kind}"):
        asyncio.run(application({"type": kind}, None, None))  # type: ignore[arg-type]


def test_module_can_be_imported_before_django_knows_its_settings() -> None:
    code = "from diffs.http.asgi import mount; from django.conf import settings; assert not settings.configured"

    subprocess.run([sys.executable, "-c", code], check=True)


# How it answers


def test_answer_is_as_asgi_has_it(notices: Feed) -> None:
    notices.append()
    sent: list[Mapping[str, Any]] = []

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope = make_scope("/testapp.notice/1/")
    asyncio.run(application(scope, None, send))  # type: ignore[arg-type]

    start, body = sent
    assert (start["type"], start["status"]) == ("http.response.start", 200)
    assert [name for name, _ in start["headers"]] == [
        b"content-type",
        b"etag",
        b"cache-control",
        b"vary",
        b"content-length",
        b"x-content-type-options",
    ]
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()
    assert body["type"] == "http.response.body" and not body.get("more_body")


@pytest.mark.parametrize(
    ("address", "method", "status"),
    [
        ("/diffs/testapp.notice/1/", "GET", 200),
        ("/diffs/testapp.notice/1/", "HEAD", 200),
        ("/diffs/testapp.notice/1/", "OPTIONS", 204),
        ("/diffs/testapp.notice/1/", "POST", 405),
        ("/diffs/testapp.notice/x/", "GET", 404),
        ("/diffs/testapp.question/1/", "GET", 401),
    ],
)
def test_nobody_is_to_guess_the_type_of_an_answer(address: str, method: str, status: int) -> None:
    answer = ask(mount(Others()), address, method=method)

    assert (answer.status, answer.header("x-content-type-options")) == (status, "nosniff")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_body_of_a_request_says_nothing(notices: Feed, method: str) -> None:
    scope = make_scope(notices.path, method=method)

    answer = asyncio.run(exchange(mount(Others()), scope, b"since=" * 1000, b"now"))

    assert answer.status == (200 if method == "GET" else 405)


def test_servers_may_leave_out_what_is_empty(notices: Feed) -> None:
    scope = make_scope("/testapp.notice/1/")
    for name in ("query_string", "root_path", "headers"):
        del scope[name]

    assert asyncio.run(exchange(application, scope)).status == 200


def test_header_that_comes_twice_counts_as_one(notices: Feed) -> None:
    etag = ask(mount(Others()), notices.path).header("etag")
    headers = [("host", "testserver"), ("if-none-match", str(etag)), ("if-none-match", '"x"')]

    assert ask(mount(Others()), notices.path, headers=headers).status == 304


def test_client_that_has_gone_disturbs_nobody(notices: Feed, caplog: pytest.LogCaptureFixture) -> None:
    async def send(message: Any) -> None:
        raise OSError("The client has gone.")

    asyncio.run(application(make_scope("/testapp.notice/1/"), None, send))  # type: ignore[arg-type]

    assert caplog.records == []


def test_client_that_goes_while_it_waits_is_sent_nothing(notices: Feed) -> None:
    sent: list[Any] = []
    messages = [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(application(make_scope(f"/testapp.notice/1/?since={notices.now()}&wait=60"), receive, send))

    assert sent == []


def test_stream_has_what_every_answer_has(notices: Feed) -> None:
    async def begin() -> Mapping[str, Any]:
        headers = [("host", "testserver"), ("accept", "text/event-stream")]
        client = ApplicationCommunicator(application, make_scope("/testapp.notice/1/", headers=headers))
        await client.send_input({"type": "http.request"})
        start: Mapping[str, Any] = await client.receive_output(10)
        await client.send_input({"type": "http.disconnect"})
        await client.wait(10)
        return start

    start = asyncio.run(begin())

    assert (start["type"], start["status"]) == ("http.response.start", 200)
    headers = dict(start["headers"])
    assert headers[b"content-type"] == b"text/event-stream"
    assert headers[b"x-content-type-options"] == b"nosniff"


def test_endpoint_answers_503_while_redis_is_away(server: RedisServer, notices: Feed) -> None:
    server.kill()

    answers = [ask(mount(Others()), notices.path + query) for query in ("", "?wait=60", "?since=now")]

    assert [answer.status for answer in answers] == [503, 503, 503]
    assert all(int(answer.header("retry-after") or 0) >= 1 for answer in answers)


# What is broken


@pytest.fixture
def broken(rule: Any) -> None:
    def fail(request: Any, model: Any, pk: Any) -> bool:
        raise ValueError("nobody's business")

    rule(Question, permission=fail)


def test_error_of_a_rule_is_500_without_details_and_logged_as_django_does(
    db: None, broken: None, caplog: pytest.LogCaptureFixture
) -> None:
    client = AsgiClient(raise_request_exception=False)

    response = client.get("/diffs/testapp.question/1/")

    assert (response.status_code, response.content) == (500, b"Internal Server Error")
    assert response.headers["Content-Type"] == "text/plain"
    assert response.headers["Cache-Control"] == "no-store"
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("django.request", "ERROR")
    assert record.getMessage() == "Internal Server Error: /diffs/testapp.question/1/"
    assert record.exc_info is not None and isinstance(record.exc_info[1], ValueError)
    assert (record.status_code, record.request.path) == (500, "/diffs/testapp.question/1/")  # type: ignore[attr-defined]


def test_error_of_a_rule_is_signalled(broken: None) -> None:
    seen: list[Any] = []

    def listen(sender: Any, request: Any, **_: Any) -> None:
        seen.append((sender, request.path, sys.exc_info()[0]))

    got_request_exception.connect(listen)
    try:
        ask(mount(Others()), "/diffs/testapp.question/1/")
    finally:
        got_request_exception.disconnect(listen)

    assert seen == [(PullApplication, "/diffs/testapp.question/1/", ValueError)]


def test_error_in_the_middle_of_a_stream_leaves_it_unfinished(
    notices: Feed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[str] = []

    async def break_off(visit: Any, send: Any, *_: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("a defect")

    async def send(message: Any) -> None:
        sent.append(message["type"])

    monkeypatch.setattr("diffs.http.asgi.stream", break_off)
    headers = [("host", "testserver"), ("accept", "text/event-stream")]

    asyncio.run(application(make_scope("/testapp.notice/1/", headers=headers), None, send))  # type: ignore[arg-type]

    assert sent == ["http.response.start"]
    assert [record.name for record in caplog.records] == ["django.request"]


# Beside Django


def test_rest_of_the_site_works_beside_it(db: None, notices: Feed) -> None:
    django = get_asgi_application()

    async def both() -> tuple[Answer, Answer]:
        mounted = mount(django)
        return (
            await exchange(mounted, make_scope("/admin/")),
            await exchange(mounted, make_scope(notices.path)),
        )

    admin, page = async_to_sync(both)()

    assert (admin.status, admin.header("location")) == (302, "/admin/login/?next=/admin/")
    assert (page.status, page.header("content-type")) == (200, "application/json")


def test_many_at_once_get_their_own_answers(rule: Any) -> None:
    rule(Country, permission="public")
    feeds = [Feed(Country, f"country {number}") for number in range(30)]
    diffs = [feed.append(data={"name": feed.name}) for feed in feeds]
    notice = Feed(Notice, 1)

    async def everyone() -> list[Answer]:
        mounted = mount(Others())
        paths = [f"/diffs/testapp.country/country%20{number}/" for number in range(30)]
        return await asyncio.gather(
            *(exchange(mounted, make_scope(path)) for path in [*paths, notice.path, "/diffs/testapp.question/1/"])
        )

    *answers, empty, refused = asyncio.run(everyone())

    assert [diff["id"].encode() in answer.body for diff, answer in zip(diffs, answers, strict=True)] == [True] * 30
    assert (empty.status, refused.status) == (200, 401)
