"""Requests and the answers to them, as data: every way into the endpoint has to pass this table.

Text in a path, a header or a document may name what `stage` made: ``{end}`` is the cursor behind the last diff.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from diffs.cursor import Cursor
from diffs.http.tokens import make_token
from diffs.store import Floors, get_store
from tests.testapp.models import Airport, Notice

from .feeds import Feed

JSON = "application/json"
PROBLEM = "application/problem+json"
PAGE = {"Content-Type": JSON, "Cache-Control": "public, max-age=1", "Vary": "Accept"}
PRIVATE_PAGE = {
    "Content-Type": JSON,
    "Cache-Control": "private, no-cache",
    "Vary": "Accept, Authorization, Cookie",
}
ERROR = {"Content-Type": PROBLEM, "Cache-Control": "no-store"}
ALLOW = {"Allow": "GET, HEAD, OPTIONS"}
CHALLENGE = {"WWW-Authenticate": "Bearer"}
BAD_TOKEN = {"WWW-Authenticate": 'Bearer error="invalid_token"'}

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    410: "Gone",
    503: "Service Unavailable",
}

Stage = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A request, and what is to come of it."""

    name: str
    path: str
    status: int
    document: Any
    """``None``: no body."""
    headers: Mapping[str, str] = dataclasses.field(default_factory=lambda: PAGE)
    """Headers that the answer must have, with these values."""
    method: str = "GET"
    sent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Headers that are sent."""

    def on(self, stage: Stage) -> Case:
        """The case with everything filled in that `stage` made."""
        return dataclasses.replace(
            self,
            path=self.path.format(**stage),
            sent={name: text.format(**stage) for name, text in self.sent.items()},
            document=fill(self.document, stage),
        )


def fill(value: Any, stage: Stage) -> Any:
    """A document with the names of `stage` replaced: ``"{first}"`` by a whole diff, ``"{end}"`` by text."""
    if isinstance(value, dict):
        return {key: fill(item, stage) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, stage) for item in value]
    if isinstance(value, str) and value[:1] + value[-1:] == "{}":
        return stage[value[1:-1]]
    return value


def make_stage() -> Stage:
    """A public notice with three diffs, one without any, an airport's model feed, and cursors of every kind."""
    aged = Feed(Notice, 3)
    too_old = aged.aged_cursor(seconds=7200)
    notice = Feed(Notice, 1)
    first = notice.append("create", {"headline": "Fire", "body": ""}, version=2**53 - 1)
    second = notice.append("update", {"body": "In the kitchen — 火"}, version=2**53)
    third = notice.append("delete")
    end = notice.now()
    dropped = Feed(Notice, 4)
    dropped.append()
    old = dropped.now()
    get_store().raise_floors(Floors([dropped.ref]))
    airports = Feed(Airport)
    return {
        "first": first,
        "second": second,
        "third": third,
        "at_first": str(Cursor(end.epoch, first["timestamp"])),
        "at_second": str(Cursor(end.epoch, second["timestamp"])),
        "end": str(end),
        "from_the_future": str(Cursor(end.epoch, end.timestamp + 10**12)),
        "of_another_epoch": str(Cursor("0a1b2c3d", end.timestamp)),
        "too_old": too_old,
        "after_too_old": str(aged.now()),
        "dropped": str(old),
        "after_dropped": str(dropped.now()),
        "empty": str(Feed(Notice, 2).now()),
        "airport": airports.append("update", {"city": "Berlin"}, child=(Airport, 5)),
        "airports": str(airports.now()),
        "airports_token": make_token(airports.ref.name),
        "notice_token": make_token(notice.ref.name),
    }


def page(cursor: str, *diffs: str, more: bool = False) -> dict[str, Any]:
    return {"cursor": cursor, "more": more, "diffs": list(diffs)}


def problem(status: int, detail: str, **members: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": TITLES[status], "status": status, "detail": detail, **members}


def malformed(name: str, query: str, parameter: str, detail: str, path: str = "/diffs/testapp.notice/1/") -> Case:
    return Case(name, f"{path}?{query}", 400, problem(400, detail, parameter=parameter), ERROR)


def missing(name: str, path: str) -> Case:
    return Case(name, path, 404, problem(404, "There is no such feed."), ERROR)


def expired(name: str, path: str, reason: str, cursor: str) -> Case:
    return Case(name, path, 410, problem(410, EXPIRED, reason=reason, cursor=cursor), ERROR)


EXPIRED = "This cursor is no longer honoured: fetch the object again, and go on from the cursor given here."
NO_CURSOR = "This is no cursor: hand one back exactly as it was given out, or 'now', or none."
LIMIT = "'limit' takes a whole number from 1 to 1000."
FEED = "A feed is written <cursor>@<model>:<pk>; the cursor may be 'now' or empty."
NOTICE = "/diffs/testapp.notice/1/"
ALL = page("{end}", "{first}", "{second}", "{third}")

PAGES = [
    Case("no cursor gives what is retained, oldest first", NOTICE, 200, ALL),
    Case("an empty cursor is none", NOTICE + "?since=", 200, ALL),
    Case("a cursor gives what came after it", NOTICE + "?since={at_first}", 200, page("{end}", "{second}", "{third}")),
    Case("nothing new is an empty page with the same cursor", NOTICE + "?since={end}", 200, page("{end}")),
    Case("now is an empty page and a cursor", NOTICE + "?since=now", 200, page("{end}")),
    Case(
        "a limit cuts the page and says that there is more",
        NOTICE + "?since={at_first}&limit=1",
        200,
        page("{at_second}", "{second}", more=True),
    ),
    Case("a limit that is just reached says that there is no more", NOTICE + "?limit=3", 200, ALL),
    Case("the highest limit", NOTICE + "?limit=1000", 200, ALL),
    Case("an object that nothing happened to", "/diffs/testapp.notice/2/", 200, page("{empty}")),
    Case("another text of the same primary key", "/diffs/testapp.notice/001/", 200, ALL),
    Case("unknown parameters are ignored", NOTICE + "?_=1&_=2&x[]=&since={end}", 200, page("{end}")),
    Case(
        "a model feed",
        "/diffs/testapp.airport/?token={airports_token}",
        200,
        page("{airports}", "{airport}"),
        PRIVATE_PAGE,
    ),
    Case("flags may be off", NOTICE + "?collapse=0&snapshot=0&since={end}", 200, page("{end}")),
    Case("an Accept that names nothing on offer gives JSON", NOTICE, 200, ALL, sent={"Accept": "text/html"}),
    Case("HEAD is GET without body", NOTICE + "?since={end}", 200, None, method="HEAD"),
    Case("OPTIONS says what is allowed", NOTICE, 204, None, ALLOW, "OPTIONS"),
    Case("OPTIONS asks nobody", "/diffs/testapp.question/1/", 204, None, ALLOW, "OPTIONS"),
]

REFUSALS = [
    expired(
        "P4 a cursor older than the window", "/diffs/testapp.notice/3/?since={too_old}", "window", "{after_too_old}"
    ),
    expired("P4 a cursor from before a loss", "/diffs/testapp.notice/4/?since={dropped}", "reset", "{after_dropped}"),
    expired("P4 a cursor of data that is gone", NOTICE + "?since={of_another_epoch}", "reset", "{end}"),
    expired("P4 a cursor that was never handed out", NOTICE + "?since={from_the_future}", "unknown", "{end}"),
    Case(
        "an anonymous reader of what isn't public",
        "/diffs/testapp.question/1/",
        401,
        problem(401, "Log in, or send a feed token, to see this feed."),
        {**ERROR, **CHALLENGE},
    ),
    *(
        Case(
            f"{method} is not allowed", NOTICE, 405, problem(405, "Diffs can only be read."), {**ERROR, **ALLOW}, method
        )
        for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW")
    ),
    Case(
        "HEAD of a problem has its headers and no body",
        "/diffs/testapp.question/1/",
        401,
        None,
        {**ERROR, **CHALLENGE},
        "HEAD",
    ),
]

TOKEN = "This is no feed token."
TOKENS = [
    Case("a token in the query", NOTICE + "?since={end}&token={notice_token}", 200, page("{end}"), PRIVATE_PAGE),
    Case(
        "a token in the header",
        NOTICE + "?since={end}",
        200,
        page("{end}"),
        PRIVATE_PAGE,
        sent={"Authorization": "bearer  {notice_token}"},
    ),
    *(
        Case(f"a token that {name}", f"{NOTICE}?token={text}", 401, problem(401, detail), {**ERROR, **BAD_TOKEN})
        for name, text, detail in (
            ("is none", "secret", TOKEN),
            ("is empty", "", TOKEN),
            ("has only its prefix", "diffs.", TOKEN),
            ("is not ASCII", "diffs.%C3%A9.%C3%A9", TOKEN),
            ("is endless", "diffs." + "a" * 40_000 + ".b", TOKEN),
            ("nobody signed", "diffs.abc.def", "This feed token was not signed here."),
            ("is for another feed", "{airports_token}", "This feed token is for another feed."),
        )
    ),
    Case(
        "another kind of bearer token is the site's own",
        "/diffs/testapp.question/1/",
        401,
        problem(401, "Log in, or send a feed token, to see this feed."),
        {**ERROR, **CHALLENGE},
        sent={"Authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2ln"},
    ),
    Case(
        "another scheme is the site's own",
        NOTICE + "?since={end}",
        200,
        page("{end}"),
        sent={"Authorization": "Basic diffs.YTpi"},
    ),
    malformed(
        "a token in the query and in the header",
        "token={notice_token}&token=x",
        "token",
        "'token' is given more than once.",
    ),
    Case(
        "a token in the query and one in the header",
        NOTICE + "?token={notice_token}",
        400,
        problem(400, "There are more tokens than feeds.", parameter="token"),
        ERROR,
        sent={"Authorization": "Bearer {notice_token}"},
    ),
]

BAD_INPUT = [
    *(
        malformed(f"a cursor that is {name}", f"since={text}", "since", NO_CURSOR)
        for name, text in (
            ("text", "yesterday"),
            ("a number", "1750000000"),
            ("negative", "-1"),
            ("NOW", "NOW"),
            ("cut short", "0a1b2c3d_"),
            ("without an epoch", "_5f"),
            ("in capitals", "0A1B2C3D_5F"),
            ("of digits that aren't ASCII", "0a1b2c3d_%D9%A1"),
            ("followed by a space", "0a1b2c3d_5f+"),
            ("followed by a line feed", "0a1b2c3d_5f%0A"),
            ("followed by NUL", "0a1b2c3d_5f%00"),
            ("written with leading zeros", "0a1b2c3d_0005f"),
            ("too large", "0a1b2c3d_" + "f" * 14),
            ("endless", "a" * 50_000),
            ("a feed's", "0a1b2c3d_5f%40testapp.notice:1"),
        )
    ),
    *(
        malformed(f"a limit that is {name}", f"limit={text}", "limit", LIMIT)
        for name, text in (
            ("zero", "0"),
            ("negative", "-1"),
            ("signed", "%2B1"),
            ("above the highest", "1001"),
            ("huge", "9" * 20_000),
            ("broken", "1.5"),
            ("a power", "1e2"),
            ("hexadecimal", "0x10"),
            ("text", "all"),
            ("with a space", "1%20"),
            ("with an underscore", "1_0"),
            ("of digits that aren't ASCII", "%D9%A1"),
            ("a line feed behind a number", "1%0A"),
        )
    ),
    *(
        malformed(
            f"{parameter} twice", f"{parameter}=1&{parameter}=1", parameter, f"'{parameter}' is given more than once."
        )
        for parameter in ("since", "limit", "token", "collapse", "snapshot")
        if parameter != "since"
    ),
    malformed("since twice", "since={end}&since={end}", "since", "'since' is given more than once."),
    malformed("collapse takes no words", "collapse=yes", "collapse", "'collapse' takes 1 or 0."),
    malformed("snapshot takes no words", "snapshot=true", "snapshot", "'snapshot' takes 1 or 0."),
    malformed("a feed in the query of a feed", "feed=@a.b:1", "feed", "Name feeds either in the path or in the query."),
    malformed(
        "a model feed has no snapshot",
        "snapshot=1",
        "snapshot",
        "Only an object has a snapshot: ask for it under the object's own address.",
        "/diffs/testapp.airport/",
    ),
    Case("an absurd query", f"{NOTICE}?x={'a' * 70_000}", 400, problem(400, "The query is too long."), ERROR),
    Case(
        "too many parameters", NOTICE + "?" + "&" * 1001, 400, problem(400, "The query has too many parameters."), ERROR
    ),
    Case("a query that isn't UTF-8", NOTICE + "?x=%FF", 400, problem(400, "The query isn't UTF-8."), ERROR),
    Case("a query with half a character", NOTICE + "?x=%ED%A0%80", 400, problem(400, "The query isn't UTF-8."), ERROR),
    Case(
        "a query that isn't encoded",
        NOTICE + "?x=é",
        400,
        problem(400, "The query holds characters that have to be percent-encoded."),
        ERROR,
    ),
]

MISSING = [
    missing("an unknown model", "/diffs/nowhere.nothing/1/"),
    missing("a model that isn't registered", "/diffs/auth.user/1/"),
    missing("the feed of a model that isn't registered", "/diffs/auth.user/"),
    missing("a model without a model feed", "/diffs/testapp.notice/"),
    missing("a model in capitals", "/diffs/testapp.Notice/1/"),
    missing("no model", "/diffs/1/"),
    missing("a colon is no part of a model", "/diffs/testapp.notice:1/"),
    missing("a primary key that is text", "/diffs/testapp.notice/one/"),
    missing("a primary key with a fraction", "/diffs/testapp.notice/1.5/"),
    missing("a primary key with a slash", "/diffs/testapp.notice/1/2/"),
    missing("a primary key that no column holds", "/diffs/testapp.notice/9223372036854775808/"),
    missing("a huge primary key", f"/diffs/testapp.notice/{'9' * 5000}/"),
    missing("an endless primary key", f"/diffs/testapp.country/{'x' * 10_000}/"),
    missing("text that is longer than the column", f"/diffs/testapp.country/{'x' * 201}/"),
    missing("a primary key with NUL", "/diffs/testapp.country/a%00b/"),
    missing("no UUID", "/diffs/testapp.token/0/"),
    missing("too few parts", "/diffs/testapp.seat/1/"),
    missing("too many parts", "/diffs/testapp.seat/1,A,B/"),
    missing("parts of the wrong kind", "/diffs/testapp.seat/A,1/"),
]


def several(*feeds: dict[str, Any]) -> dict[str, Any]:
    return {"feeds": list(feeds)}


SEVERAL = [
    Case(
        "several feeds have one answer, in the order of the question",
        "/diffs/?feed=now@testapp.notice:2&feed={at_second}@testapp.notice:1",
        200,
        several(
            {"feed": "testapp.notice:2", **page("{empty}")},
            {"feed": "testapp.notice:1", **page("{end}", "{third}")},
        ),
    ),
    Case(
        "one feed may be several",
        "/diffs/?feed=@testapp.notice:1",
        200,
        several({"feed": "testapp.notice:1", **ALL}),
    ),
    Case(
        "a limit is for each feed",
        "/diffs/?limit=1&feed={at_first}@testapp.notice:1&feed=@testapp.notice:2",
        200,
        several(
            {"feed": "testapp.notice:1", **page("{at_second}", "{second}", more=True)},
            {"feed": "testapp.notice:2", **page("{empty}")},
        ),
    ),
    Case(
        "P4 a refused cursor is that feed's own error",
        "/diffs/?feed={dropped}@testapp.notice:4&feed={end}@testapp.notice:1",
        200,
        several(
            {"feed": "testapp.notice:4", "error": problem(410, EXPIRED, reason="reset", cursor="{after_dropped}")},
            {"feed": "testapp.notice:1", **page("{end}")},
        ),
        {**PAGE, "Cache-Control": "no-store"},
    ),
    Case(
        "a token opens its feed beside public ones",
        "/diffs/?feed={end}@testapp.notice:1&feed=@testapp.airport&token={airports_token}",
        200,
        several(
            {"feed": "testapp.notice:1", **page("{end}")},
            {"feed": "testapp.airport", **page("{airports}", "{airport}")},
        ),
        PRIVATE_PAGE,
    ),
    Case(
        "each feed has a token of its own",
        "/diffs/?feed={end}@testapp.notice:1&feed={airports}@testapp.airport&token={airports_token}&token={notice_token}",
        200,
        several({"feed": "testapp.notice:1", **page("{end}")}, {"feed": "testapp.airport", **page("{airports}")}),
        PRIVATE_PAGE,
    ),
    Case(
        "the header holds tokens with commas between",
        "/diffs/?feed={end}@testapp.notice:1&feed={airports}@testapp.airport",
        200,
        several({"feed": "testapp.notice:1", **page("{end}")}, {"feed": "testapp.airport", **page("{airports}")}),
        PRIVATE_PAGE,
        sent={"Authorization": "Bearer {airports_token}, {notice_token}"},
    ),
    Case(
        "a token for a feed that isn't asked for",
        "/diffs/?feed=@testapp.notice:1&token={airports_token}",
        401,
        problem(401, "This feed token is for another feed."),
        {**ERROR, **BAD_TOKEN},
    ),
    Case(
        "one feed that may not be seen fails all",
        "/diffs/?feed=@testapp.notice:1&feed=@testapp.question:007",
        401,
        problem(401, "Log in, or send a feed token, to see this feed.", feed="testapp.question:7"),
        {**ERROR, **CHALLENGE},
    ),
    Case(
        "a token opens no other feed of the question",
        "/diffs/?feed=@testapp.airport&feed=@testapp.question:7&token={airports_token}",
        401,
        problem(401, "Log in, or send a feed token, to see this feed.", feed="testapp.question:7"),
        {**ERROR, **CHALLENGE},
    ),
    *(
        Case(name, f"/diffs/?feed=@testapp.notice:1&feed={text}", status, problem(status, detail, **members), ERROR)
        for name, text, status, detail, members in (
            (
                "a feed without a cursor's place",
                "testapp.notice:2",
                400,
                FEED,
                {"parameter": "feed", "feed": "testapp.notice:2"},
            ),
            ("an empty feed", "", 400, FEED, {"parameter": "feed", "feed": ""}),
            (
                "a malformed cursor",
                "x@testapp.notice:2",
                400,
                NO_CURSOR,
                {"parameter": "feed", "feed": "testapp.notice:2"},
            ),
            ("a feed of an unknown model", "@a.b:1", 404, "There is no such feed.", {"feed": "a.b:1"}),
            ("a feed without a name", "@", 404, "There is no such feed.", {"feed": ""}),
            (
                "a feed with two places",
                "@@testapp.notice:1",
                404,
                "There is no such feed.",
                {"feed": "@testapp.notice:1"},
            ),
            (
                "a feed of no primary key",
                "@testapp.notice:",
                404,
                "There is no such feed.",
                {"feed": "testapp.notice:"},
            ),
            (
                "a model feed that isn't kept",
                "@testapp.notice",
                404,
                "There is no such feed.",
                {"feed": "testapp.notice"},
            ),
            (
                "a feed that is named twice",
                "now@testapp.notice:01",
                400,
                "This feed is named twice.",
                {"parameter": "feed", "feed": "testapp.notice:01"},
            ),
            (
                "a long name, which is cut, with markup, which is only text",
                "@%3Cscript%3E" + "é".encode().hex(" ").upper().replace(" ", "%").join(["%", ""]) + "x" * 500,
                404,
                "There is no such feed.",
                {"feed": "<script>é" + "x" * 191},
            ),
        )
    ),
    Case(
        "no feeds",
        "/diffs/",
        400,
        problem(400, "Name feeds: feed=<cursor>@<model>:<pk>, as often as there are feeds.", parameter="feed"),
        ERROR,
    ),
    Case(
        "too many feeds",
        "/diffs/?" + "&".join(f"feed=@testapp.notice:{number}" for number in range(51)),
        400,
        problem(400, "One request takes 50 feeds at most.", parameter="feed"),
        ERROR,
    ),
    Case(
        "more tokens than feeds",
        "/diffs/?feed=@testapp.notice:1&token={notice_token}&token={notice_token}",
        400,
        problem(400, "There are more tokens than feeds.", parameter="token"),
        ERROR,
    ),
    malformed(
        "a cursor beside the feeds",
        "feed=@testapp.notice:1&since={end}",
        "since",
        "Each feed has its own cursor: feed=<cursor>@<model>:<pk>.",
        "/diffs/",
    ),
    malformed(
        "several feeds have no snapshot",
        "feed=@testapp.notice:1&snapshot=1",
        "snapshot",
        "Only an object has a snapshot: ask for it under the object's own address.",
        "/diffs/",
    ),
]

CASES = [*PAGES, *REFUSALS, *TOKENS, *BAD_INPUT, *MISSING, *SEVERAL]
