"""Requests and the answers to them, as data: every way into the endpoint has to pass this table."""

from __future__ import annotations

from .cases_of_several import SEVERAL
from .cases_of_waiting import WAITING
from .stage import (
    ALL,
    ALLOW,
    BAD_TOKEN,
    CHALLENGE,
    ERROR,
    NO_CURSOR,
    PRIVATE_PAGE,
    Case,
    expired,
    malformed,
    missing,
    page,
    problem,
)

LIMIT = "'limit' takes a whole number from 1 to 1000."
NOTICE = "/diffs/testapp.notice/1/"

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
        for parameter in ("limit", "token", "collapse", "snapshot")
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

CASES = [*PAGES, *REFUSALS, *TOKENS, *BAD_INPUT, *MISSING, *SEVERAL, *WAITING]
