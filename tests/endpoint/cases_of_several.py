"""Requests for several feeds, and the answers to them."""

from __future__ import annotations

from typing import Any

from .stage import (
    ALL,
    BAD_TOKEN,
    CHALLENGE,
    ERROR,
    EXPIRED,
    NO_CURSOR,
    PAGE,
    PRIVATE_PAGE,
    Case,
    malformed,
    page,
    problem,
)

FEED = "A feed is written <cursor>@<model>:<pk>; the cursor may be 'now' or empty."


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
                f"@%3Cscript%3E%C3%A9{'x' * 500}",
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
