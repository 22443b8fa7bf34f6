"""Answers that a diffs endpoint gives, and answers that it would never give."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from diffs.client import (
    BadRequest,
    Client,
    ClientError,
    Diff,
    Forbidden,
    NotDiffs,
    NotFound,
    Reset,
    Unauthorized,
    Unavailable,
    outage,
    transport,
)
from tests.endpoint.feeds import Feed

from .conftest import Take
from .faulty import Fault, Faulty, problem, reply
from .sites import Site

MSGPACK = {"Content_Type": "application/msgpack"}
JSON = {"Content_Type": "application/json"}
HTML = {"Content_Type": "text/html"}
PAGE = {"cursor": "0a1b2c3d_660bae5461361", "more": False, "diffs": []}
DIFF = {
    "id": "0660bb056406345a08dc44",
    "action": "update",
    "model": "polls.question",
    "pk": 1,
    "timestamp": 1795206225856339,
    "version": 7,
    "data": {},
}
TOKEN = "diffs.secret.token"


def packed(document: Any) -> bytes:
    return reply("200 OK", msgpack.packb(document), **MSGPACK)


def with_diff(**changed: Any) -> bytes:
    return packed({**PAGE, "diffs": [{**DIFF, **changed}]})


TRANSIENT: dict[str, Fault] = {
    "a crash": lambda connection: connection.close(),
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "an answer that is cut": reply("200 OK", b"x" * 100, **MSGPACK)[:-50],
    "a proxy without a server": reply("502 Bad Gateway", b"<h1>Bad Gateway</h1>", **HTML),
    "a proxy that didn't wait": reply("504 Gateway Timeout", b"", **HTML),
    "an overloaded server": problem(503, "The diffs can't be read just now: try again.", Retry_After="0"),
    "too many requests": reply("429 Too Many Requests", b"{}", **JSON),
    "damaged msgpack": reply("200 OK", msgpack.packb(PAGE)[:-1], **MSGPACK),
    "endless msgpack": reply("200 OK", b"\xdd\xff\xff\xff\xff", **MSGPACK),
    "deep msgpack": reply("200 OK", b"\x91" * 5000 + b"\xc0", **MSGPACK),
    "damaged JSON": reply("200 OK", b'{"cursor": ', **JSON),
    "deep JSON": reply("200 OK", b"[" * 100_000, **JSON),
    "JSON that isn't UTF-8": reply("200 OK", b'{"cursor": "\xff"}', **JSON),
    "damaged gzip": reply("200 OK", b"x" * 100, Content_Encoding="gzip", **MSGPACK),
    "a list": packed([]),
    "nothing": packed(None),
    "a page without a cursor": packed({"more": False, "diffs": []}),
    "a cursor that is a number": packed({**PAGE, "cursor": 7}),
    "diffs that are a number": packed({**PAGE, "diffs": 7}),
    "diffs that are texts": packed({**PAGE, "diffs": ["7"]}),
    "no such action": with_diff(action="explode"),
    "a timestamp that is text": with_diff(timestamp="now"),
    "a version that is text": with_diff(version="new"),
    "a version that is none": with_diff(version=float("inf")),
    "a model that is a number": with_diff(model=7),
    "omitted fields that are text": with_diff(omitted="body"),
    "omitted fields that are numbers": with_diff(omitted=[7]),
    "a refusal without a cursor": problem(410, "Gone", ', "reason": "window"'),
    "an answer for several feeds": packed({"feeds": [PAGE]}),
}
FOREIGN: dict[str, Fault] = {
    "a page": reply("200 OK", b"<h1>Welcome</h1>", **HTML),
    "no content": reply("204 No Content"),
    "a type without a name": reply("200 OK", b"hello"),
    "not found": reply("404 Not Found", b"<h1>Not Found</h1>", **HTML),
    "another's not found": reply("404 Not Found", b'{"detail": "Not found."}', **JSON),
    "a problem that is none": reply("404 Not Found", b"oops", Content_Type="application/problem+json"),
    "a wrong host": reply("400 Bad Request", b"<h1>Bad Request (400)</h1>", **HTML),
    "a redirect": reply("302 Found", Location="https://elsewhere.example/login/?next=secret"),
}


@pytest.fixture
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "FIRST_PAUSE", 0.01)


@pytest.mark.usefixtures("_in_haste")
@pytest.mark.parametrize("site", ["wsgi"], indirect=True)
@pytest.mark.parametrize("name", [*TRANSIENT, *FOREIGN])
def test_wrong_answer_is_asked_for_again(site: Site, notices: Feed, name: str) -> None:
    document = notices.append()
    with Faulty(site.port) as between, Client(between.url) as client:
        # That there is a diffs endpoint is known, so whatever else answers will go away.
        client.pull(notices.name)
        between.faults.append({**TRANSIENT, **FOREIGN}[name])
        (diff,) = client.pull(notices.name, patience=60).events
        assert isinstance(diff, Diff)
        assert diff.id == document["id"]
        assert len(between.requests) == 3


@pytest.mark.parametrize("name", TRANSIENT)
def test_wrong_answer_has_its_reason(name: str) -> None:
    with Faulty() as server, Client(server.url) as client:
        server.faults.append(TRANSIENT[name])
        with pytest.raises(Unavailable) as caught:
            client.pull("polls.question:1")
    assert len(str(caught.value)) > 10


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_diffs_endpoint_is_an_error_at_once(take: Take, name: str) -> None:
    with Faulty() as server:
        server.faults.append(FOREIGN[name])
        with pytest.raises(NotDiffs):
            take(server.url, "polls.question:1", token=TOKEN, count=1)
        assert len(server.requests) == 1


def test_redirect_is_not_followed_and_the_error_says_where_it_leads(take: Take) -> None:
    with Faulty() as server, Faulty() as elsewhere:
        server.faults.append(reply("301 Moved Permanently", Location=f"{elsewhere.url}?token=1"))
        with pytest.raises(NotDiffs, match=rf"redirected to {elsewhere.url}, where no token is sent"):
            take(server.url, "polls.question:1", token=TOKEN, count=1)
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (problem(400, "One request takes 50 feeds at most.", ', "parameter": "feed"'), BadRequest, "50 feeds"),
        (problem(401, "Log in."), Unauthorized, "Log in."),
        (problem(403, "You may not see this feed."), Forbidden, "You may not"),
        (problem(404, "There is no such feed."), NotFound, "no such feed"),
        (problem(405, "Diffs can only be read."), ClientError, "only be read"),
        (reply("401 Unauthorized", b"", WWW_Authenticate="Basic"), Unauthorized, "in front of the diffs endpoint"),
        (reply("403 Forbidden", b"<h1>Firewall</h1>", **HTML), Forbidden, "in front of the diffs endpoint"),
    ],
)
def test_refusal_ends_it_with_what_the_server_says(take: Take, fault: Fault, kind: type[Exception], says: str) -> None:
    with Faulty() as server:
        server.faults.append(fault)
        with pytest.raises(kind, match=says) as caught:
            take(server.url, "polls.question:1", count=1)
    assert type(caught.value) is kind
    assert caught.value.feed == "polls.question:1"


def test_refusal_names_the_feed_that_the_server_names(take: Take) -> None:
    with Faulty() as server:
        server.faults.append(problem(404, "There is no such feed.", ', "feed": "polls.nothing:1"'))
        with pytest.raises(NotFound, match=r"404 for polls\.nothing:1: There is no such feed\.") as caught:
            take(server.url, "polls.question:1", "polls.nothing:1", count=1)
    error = caught.value
    assert (error.status, error.feed, error.parameter) == (404, "polls.nothing:1", None)


def test_error_of_one_feed_of_several_ends_it(take: Take) -> None:
    error = {"status": 403, "detail": "You may not see this feed."}
    with Faulty() as server:
        server.faults.append(packed({"feeds": [{**PAGE, "feed": "a.a"}, {"feed": "b.b", "error": error}]}))
        with pytest.raises(ClientError, match=r"403 for b\.b: You may not"):
            take(server.url, "a.a", "b.b", count=1)


def test_refused_cursors_are_not_asked_with_without_end(take: Take) -> None:
    gone = problem(410, "Gone", ', "reason": "reset", "cursor": "0a1b2c3d_1"')
    with Faulty() as server:
        server.faults.extend([gone] * 3)
        began = time.monotonic()
        events = take(server.url, "polls.question:1", count=3)
    assert events == [Reset(feed="polls.question:1", reason="reset", cursor="0a1b2c3d_1")] * 3
    assert time.monotonic() - began > 0.25


def test_diffs_that_were_given_are_not_given_again(take: Take) -> None:
    pages = [with_diff(), with_diff(), with_diff(timestamp=DIFF["timestamp"] + 1, id="0" * 22)]
    with Faulty() as server:
        server.faults.extend(pages)
        events = take(server.url, "polls.question:1", interval=0.01, count=2)
    assert [event.id for event in events] == [DIFF["id"], "0" * 22]


def test_cursor_of_a_later_release_makes_nothing_be_lost(take: Take) -> None:
    page = packed({"cursor": "v2.whatever", "more": False, "diffs": [DIFF]})
    with Faulty() as server:
        server.faults.append(page)
        (diff,) = take(server.url, "polls.question:1", since="v2.before", count=1)
    assert diff.cursor == "v2.before"


def test_what_a_hook_put_in_the_place_of_fields_is_handed_on(take: Take) -> None:
    with Faulty() as server:
        server.faults.append(with_diff(data=["anything"]))
        (diff,) = take(server.url, "polls.question:1", count=1)
    assert diff.data == ["anything"]


def test_server_that_hangs_is_noticed(take: Take) -> None:
    with Faulty() as server:
        server.faults.extend([server.hang, with_diff()])
        events = take(server.url, "polls.question:1", wait=0, timeout=0.2, count=1)
    assert len(events) == 1


def test_wait_is_added_to_the_time_that_an_answer_may_take(take: Take) -> None:
    def late(connection: Any) -> None:
        time.sleep(0.5)
        connection.sendall(with_diff())

    with Faulty() as server:
        server.faults.append(late)
        take(server.url, "polls.question:1", wait=1, timeout=0.2, count=1)
        assert len(server.requests) == 1


def test_answer_that_never_ends_is_noticed(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BODY_SECONDS", 0.1)

    def trickle(connection: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/msgpack\r\n\r\n")
        while not server.ended.wait(0.05):
            connection.sendall(b"x")

    with Faulty() as server:
        server.faults.extend([trickle, with_diff()])
        assert len(take(server.url, "polls.question:1", wait=0, timeout=0.2, count=1)) == 1


def test_answer_that_is_too_large_is_an_error(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BYTES", 10_000)
    with Faulty() as server:
        server.faults.append(with_diff(data={"text": "x" * 20_000}))
        with pytest.raises(ClientError, match="lower limit"):
            take(server.url, "polls.question:1", count=1)


def test_token_is_sent_in_the_header_and_shown_nowhere(take: Take, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Faulty() as server, Client(server.url, token=TOKEN) as client:
        server.faults.extend([reply("502 Bad Gateway"), problem(401, "This feed token has expired.")])
        with pytest.raises(Unauthorized) as caught:
            take(server.url, "polls.question:1", token=TOKEN, count=1)
        shown = [repr(client), repr(client.follow("a.b:1")), repr(caught.value), str(caught.value), caplog.text]
        heads = [request.splitlines() for request in server.requests]
    assert all(f"authorization: bearer {TOKEN}" in map(str.lower, head) for head in heads)
    assert not any(TOKEN in head[0] for head in heads)
    assert not any("secret" in text for text in shown)


def test_refused_token_is_not_sent_again(take: Take) -> None:
    with Faulty() as server:
        server.faults.extend([problem(401, "This feed token has expired.")] * 3)
        with pytest.raises(Unauthorized):
            take(server.url, "polls.question:1", token=TOKEN, count=1)
        assert len(server.requests) == 1
        with pytest.raises(Unauthorized):
            take(server.url, "polls.question:1", token=lambda: TOKEN, count=1)
        assert len(server.requests) == 3


def test_certificate_that_is_not_trusted_is_an_error_at_once(take: Take, tls_server: Any) -> None:
    with pytest.raises(NotDiffs, match="(?i)certificate"):
        take(f"https://127.0.0.1:{tls_server.port}/diffs/", "polls.question:1", count=1)


def test_json_will_do() -> None:
    with Faulty() as server, Client(server.url) as client:
        body = json.dumps(
            {**PAGE, "diffs": [{**DIFF, "version": str(2**53), "actor": "ada", "omitted": ["text"]}]}
        ).encode()
        server.faults.append(reply("200 OK", body, Content_Type="application/json; charset=utf-8"))
        (diff,) = client.pull("polls.question:1").events
    assert isinstance(diff, Diff)
    assert (diff.version, diff.actor, diff.omitted) == (2**53, "ada", ("text",))


Build = Callable[[], object]


@pytest.mark.parametrize(
    "build",
    [
        lambda: Client("example.com/diffs/"),
        lambda: Client("ftp://example.com/diffs/"),
        lambda: Client("https:///diffs/"),
        lambda: Client("https://example.com:port/diffs/"),
        lambda: Client("https://ada:secret@example.com/diffs/"),
        lambda: Client("https://example.com/diffs/?token=secret"),
        lambda: Client("https://example.com/diffs/#secret"),
        lambda: Client("https://example.com/", token="secret\r\nHost: elsewhere"),
        lambda: Client("https://example.com/", token="secret secret"),
        lambda: Client("https://example.com/", token="sécret"),
        lambda: Client("https://example.com/", token={"polls.question:1": ""}),
        lambda: Client("https://example.com/").follow(),
        lambda: Client("https://example.com/").pull(),
        lambda: Client("https://example.com/").snapshot(),
        lambda: Client("https://example.com/").follow("a.b", "a.c", since="0a1b2c3d_1"),
        lambda: Client("https://example.com/").follow("a.b", wait=-1),
        lambda: Client("https://example.com/").follow("a.b", wait=0.5),  # type: ignore[arg-type]
        lambda: Client("https://example.com/").follow("a.b", interval=0),
    ],
)
def test_what_can_not_be_used_is_an_error_that_keeps_secrets(build: Build) -> None:
    with pytest.raises(ValueError, match="^(?!.*s[eé]cret)"):
        build()
