"""What a request asks for, where an answer doesn't show it."""

from __future__ import annotations

from typing import Any

import pytest

from diffs.cursor import Cursor
from diffs.http.documents import AS_JSON
from diffs.http.negotiation import preferred
from diffs.http.problems import Problem
from diffs.http.query import Asked, Query, parse, resumed

JSON, MSGPACK, STREAM = "application/json", "application/msgpack", "text/event-stream"
FIRST, SECOND = Cursor("0a1b2c3d", 17), Cursor("0a1b2c3d", 18)


def asked(query: str = "", *, several: bool = False, **headers: str) -> Asked:
    return Asked(
        method="GET",
        model=None if several else "testapp.notice",
        pk=None if several else "1",
        query=query,
        authorization="",
        if_none_match="",
        form=AS_JSON,
        **headers,
    )


def starts(query: Query) -> list[tuple[Cursor | None, str]]:
    """Where each feed is read from, and how."""
    return [(read.cursor, read.mode) for read in query.reads]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/event-stream", STREAM),
        ("Text/Event-Stream", STREAM),
        ("text/event-stream, */*", STREAM),
        ("text/event-stream;q=0.5, application/json", JSON),
        ("application/json;q=0.5, text/event-stream", STREAM),
        ("application/json, text/event-stream", JSON),
        ("text/event-stream, application/json", STREAM),
        ("text/event-stream;q=0", JSON),
        ("application/msgpack, text/event-stream;q=0.9", MSGPACK),
        # Whoever would take anything doesn't mean to be kept.
        ("text/*", JSON),
        ("text/html, text/*;q=0.8", JSON),
        ("text/html, */*;q=0.1", JSON),
        ("text/event-stream" + ", a/b" * 1000, STREAM),
    ],
)
def test_stream_is_for_who_names_it_first(accept: str, media_type: str) -> None:
    assert preferred(accept, can_stream=True) == media_type
    assert preferred(accept) == (JSON if media_type == STREAM else media_type)


@pytest.mark.parametrize("highest", [0, 25, 3600])
def test_longest_wait_is_a_setting(settings: Any, highest: int) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "max_wait": highest}

    assert parse(asked(f"wait={highest}")).wait == highest
    assert parse(asked(prefer="wait=999999")).wait == highest
    with pytest.raises(Problem, match=f"from 0 to {highest}"):
        parse(asked(f"wait={highest + 1}"))


def test_same_address_with_another_wish_is_another_question() -> None:
    assert [parse(asked("since=now", prefer=wish)).wait for wish in ("wait=1", "wait=2", "")] == [1, 2, 0]


def test_snapshot_waits_for_nothing() -> None:
    assert parse(asked("snapshot=1&wait=5")).wait == parse(asked("snapshot=1", prefer="wait=5")).wait == 0


@pytest.mark.parametrize("query", ["", f"since={SECOND}", "since=now"])
def test_last_event_id_says_where_a_stream_goes_on(query: str) -> None:
    request = asked(f"{query}&limit=7", last_event_id=str(FIRST))

    resuming = resumed(request, parse(request))

    assert starts(resuming) == [(FIRST, "asc")]
    assert resuming.reads[0].limit == 7


@pytest.mark.parametrize(
    ("last_event_id", "cursors"),
    [
        (f"{FIRST},{SECOND}", [FIRST, SECOND]),
        (f",{SECOND}", [None, SECOND]),
        (f"{FIRST},", [FIRST, None]),
        (",", [None, None]),
    ],
)
def test_last_event_id_of_several_feeds_has_all_their_cursors(last_event_id: str, cursors: list[Cursor | None]) -> None:
    query = f"feed=now@testapp.notice:1&feed={SECOND}@testapp.notice:2"
    request = asked(query, several=True, last_event_id=last_event_id)

    assert starts(resumed(request, parse(request))) == [(cursor, "asc") for cursor in cursors]


@pytest.mark.parametrize(
    ("query", "start"), [("", (None, "asc")), (f"since={SECOND}", (SECOND, "asc")), ("since=now", (None, "cursor"))]
)
def test_stream_without_last_event_id_begins_where_a_poll_does(query: str, start: Any) -> None:
    request = asked(query)

    assert starts(resumed(request, parse(request))) == [start]
