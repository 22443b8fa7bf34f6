"""Requests that would wait for news or follow a stream, and are answered at once."""

from __future__ import annotations

from .stage import ALL, ERROR, EXPIRED, PAGE, Case, malformed, page, problem

NOTICE = "/diffs/testapp.notice/1/"
SEVERAL = "/diffs/?feed=@testapp.notice:1&feed=@testapp.notice:2"
APPLIED = "Preference-Applied"
AT_ONCE = {**PAGE, APPLIED: None}
# No cache may give such an answer again: it would come at once, and its client would ask and ask.
WAITED = {**PAGE, "Cache-Control": "private, no-cache"}
STREAM = {"Accept": "text/event-stream"}

WAIT = "'wait' takes a whole number of seconds from 0 to 60."
LAST_EVENT_ID = "This is no id of an event of these feeds: hand one back exactly as it was given out."


def no_stream(name: str, path: str, parameter: str, detail: str, last_event_id: str = "") -> Case:
    sent = {**STREAM, "Last-Event-ID": last_event_id}
    return Case(name, path, 400, problem(400, detail, parameter=parameter), ERROR, sent=sent, ways=["asgi"])


WAITS = [
    Case("nobody waits for nothing", NOTICE + "?since={end}&wait=0", 200, page("{end}"), AT_ONCE),
    Case("an empty wait is none", NOTICE + "?since={end}&wait=", 200, page("{end}"), AT_ONCE),
    Case("the view doesn't wait", NOTICE + "?since={end}&wait=60", 200, page("{end}"), AT_ONCE, ways=["view"]),
    Case("a wait with news", NOTICE + "?wait=60", 200, ALL, {**WAITED, APPLIED: "wait=60"}, ways=["asgi"]),
    Case(
        "a wait for several feeds with news in one",
        SEVERAL + "&wait=7",
        200,
        {"feeds": [{"feed": "testapp.notice:1", **ALL}, {"feed": "testapp.notice:2", **page("{empty}")}]},
        {**WAITED, APPLIED: "wait=7"},
        ways=["asgi"],
    ),
    Case("HEAD never waits", NOTICE + "?since={end}&wait=60", 200, None, AT_ONCE, "HEAD"),
    Case(
        "a refused cursor doesn't wait",
        "/diffs/testapp.notice/4/?wait=60&since={dropped}",
        410,
        problem(410, EXPIRED, reason="reset", cursor="{after_dropped}"),
        ERROR,
    ),
    malformed("wait twice", "wait=1&wait=1", "wait", "'wait' is given more than once."),
    *(
        malformed(f"a wait that is {name}", f"since={{end}}&wait={text}", "wait", WAIT)
        for name, text in (
            ("negative", "-1"),
            ("signed", "%2B1"),
            ("longer than the longest", "61"),
            ("endless", "9" * 20_000),
            ("broken", "1.5"),
            ("a power", "1e1"),
            ("text", "long"),
            ("with a unit", "10s"),
            ("with a space", "1%20"),
            ("with an underscore", "1_0"),
            ("of digits that aren't ASCII", "%D9%A1"),
            ("a line feed behind a number", "1%0A"),
        )
    ),
    Case(
        "a malformed wait for several feeds",
        SEVERAL + "&wait=soon",
        400,
        problem(400, WAIT, parameter="wait"),
        ERROR,
    ),
]
PREFERENCES = [
    *(
        Case(
            f"a wish {name} waits for nothing",
            NOTICE + "?since={end}",
            200,
            page("{end}"),
            AT_ONCE,
            sent={"Prefer": text},
        )
        for name, text in (
            ("without seconds", "wait"),
            ("that is empty", "wait="),
            ("that is text", "wait=soon"),
            ("that is negative", "wait=-1"),
            ("that is broken", "wait=0.5"),
            ("of nothing", "wait=0"),
            ("whose quotes are open", 'wait="'),
            ("for something else", "respond-async, return=minimal"),
            ("that comes second", "wait=0, wait=60"),
            ("that is none", ",;=,,"),
        )
    ),
    Case(
        "the parameter wins over the wish",
        NOTICE + "?since={end}&wait=0",
        200,
        page("{end}"),
        AT_ONCE,
        sent={"Prefer": "wait=60"},
    ),
    Case(
        "the view has no wishes",
        NOTICE + "?since={end}",
        200,
        page("{end}"),
        AT_ONCE,
        sent={"Prefer": "wait=9"},
        ways=["view"],
    ),
    *(
        Case(
            f"a wish {name} is granted",
            NOTICE,
            200,
            ALL,
            {**WAITED, APPLIED: f"wait={wait}"},
            sent={"Prefer": text},
            ways=["asgi"],
        )
        for name, text, wait in (
            ("in seconds", "wait=10", 10),
            ("among others", "respond-async, Wait = 20 ; a=b, wait=30", 20),
            ("in quotes", 'wait="5"', 5),
            ("for too long", "wait=3600", 60),
            ("for ever", "wait=" + "9" * 20_000, 60),
        )
    ),
    Case(
        "a parameter that is granted wins, too",
        NOTICE + "?wait=3",
        200,
        ALL,
        {**WAITED, APPLIED: "wait=3"},
        sent={"Prefer": "wait=10"},
        ways=["asgi"],
    ),
]
STREAMS = [
    Case(
        "the view gives JSON to who wants a stream",
        NOTICE + "?since={end}",
        200,
        page("{end}"),
        sent=STREAM,
        ways=["view"],
    ),
    Case("HEAD of a stream is that of a page", NOTICE + "?since={end}", 200, None, PAGE, "HEAD", STREAM),
    Case(
        "a poll takes no Last-Event-ID",
        NOTICE + "?since={end}",
        200,
        page("{end}"),
        sent={"Last-Event-ID": "nonsense"},
    ),
    no_stream(
        "a stream isn't collapsed", NOTICE + "?collapse=1", "collapse", "'collapse' doesn't go with an event stream."
    ),
    no_stream(
        "a stream has no snapshot", NOTICE + "?snapshot=1", "snapshot", "'snapshot' doesn't go with an event stream."
    ),
    no_stream("a stream with a malformed wait", NOTICE + "?wait=soon", "wait", WAIT),
    no_stream(
        "a stream with a malformed limit", NOTICE + "?limit=0", "limit", "'limit' takes a whole number from 1 to 1000."
    ),
    *(
        no_stream(f"a Last-Event-ID that is {name}", NOTICE + "?since={end}", "Last-Event-ID", LAST_EVENT_ID, text)
        for name, text in (
            ("no cursor", "nonsense"),
            ("now", "now"),
            ("a number", "17"),
            ("two cursors", "{end},{end}"),
            ("a cursor and a comma", "{end},"),
            ("in brackets", "[{end}]"),
            ("not ASCII", "0a1b2c3d_5\xe9"),
            ("endless", "," * 20_000),
        )
    ),
    *(
        no_stream(f"a Last-Event-ID of several feeds that is {name}", SEVERAL, "Last-Event-ID", LAST_EVENT_ID, text)
        for name, text in (
            ("one cursor", "{end}"),
            ("three cursors", "{end},{end},{end}"),
            ("a cursor and nonsense", "{end},nonsense"),
            ("spaced", "{end}, {end}"),
        )
    ),
    Case(
        "a stream that may not be seen",
        "/diffs/testapp.question/1/",
        401,
        problem(401, "Log in, or send a feed token, to see this feed."),
        ERROR,
        sent=STREAM,
    ),
    Case(
        "a stream of nothing that is there",
        "/diffs/?feed=@testapp.notice:1&feed=@nowhere.nothing:1",
        404,
        problem(404, "There is no such feed.", feed="nowhere.nothing:1"),
        ERROR,
        sent=STREAM,
    ),
]

WAITING = [*WAITS, *PREFERENCES, *STREAMS]
