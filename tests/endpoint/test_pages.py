"""What a page holds."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any

import msgpack
import pytest
from django.test import Client

from diffs.codec import Encoder, new_nonce
from diffs.cursor import Cursor
from diffs.feed import Feed as PythonFeed
from diffs.http.documents import MSGPACK
from diffs.store import Entry, Floors, Read, get_store
from tests.testapp.models import Airport, Notice

from .feeds import Feed

KINDS = {
    "none": None,
    "true": True,
    "number": 2**53 - 1,
    "negative": -1.5,
    "text": 'quotes " and \\ and </script> and \x00 and \u2028 and 火 and 😀',
    "list": [1, [2, {"deep": []}]],
    "dict": {"": "", 'a"b': 1},
    "moment": dt.datetime(2013, 6, 13, 5, 15, 0, 250, tzinfo=dt.timezone.utc),
    "day": dt.date(2013, 6, 13),
    "uuid": uuid.UUID(int=7),
}


def get(client: Client, path: str, **headers: str) -> Any:
    response = client.get(path, headers=headers)
    assert response.status_code == 200, response.content
    return json.loads(response.content)


def test_following_a_feed_page_by_page_gives_each_diff_once(client: Client, notices: Feed) -> None:
    written = [notices.append(data={"body": str(number)}) for number in range(20)]
    pages = [get(client, notices.path + "?limit=7")]
    while pages[-1]["more"]:
        pages.append(get(client, f"{notices.path}?limit=7&since={pages[-1]['cursor']}"))

    assert [len(page["diffs"]) for page in pages] == [7, 7, 6]
    assert [diff for page in pages for diff in page["diffs"]] == written


def test_what_comes_while_a_client_polls_is_given_next(client: Client, notices: Feed) -> None:
    cursor = get(client, notices.path + "?since=now")["cursor"]
    first = notices.append()
    page = get(client, f"{notices.path}?since={cursor}")
    second = notices.append()
    last = get(client, f"{notices.path}?since={page['cursor']}")

    assert (page["diffs"], last["diffs"]) == ([first], [second])


def test_P4_dropped_diffs_are_never_an_empty_page(client: Client, notices: Feed) -> None:
    cursor = get(client, notices.path + "?since=now")["cursor"]
    notices.append()
    get_store().clear(notices.ref)

    refused = client.get(f"{notices.path}?since={cursor}")
    kept = notices.append()
    page = get(client, f"{notices.path}?since={refused.json()['cursor']}")

    assert (refused.status_code, refused.json()["reason"]) == (410, "reset")
    assert page["diffs"] == [kept]


def test_P4_a_page_without_cursor_begins_above_the_floor(client: Client, notices: Feed) -> None:
    notices.append()
    get_store().raise_floors(Floors([notices.ref]))
    above = notices.append()

    assert get(client, notices.path)["diffs"] == [above]


def test_page_size_is_a_setting(client: Client, notices: Feed, settings: Any) -> None:
    written = [notices.append() for _ in range(3)]
    server = settings.DIFFS_SETTINGS
    settings.DIFFS_SETTINGS = {**server, "page_size": 2}

    page = get(client, notices.path)

    assert (page["diffs"], page["more"]) == (written[:2], True)


def test_highest_limit_is_a_setting_and_bounds_the_page_size(client: Client, notices: Feed, settings: Any) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "max_page_size": 2}
    written = [notices.append() for _ in range(3)]

    assert get(client, notices.path)["diffs"] == written[:2]
    assert client.get(notices.path + "?limit=3").json()["detail"] == "'limit' takes a whole number from 1 to 2."


def test_data_are_what_python_reads(client: Client, notices: Feed) -> None:
    notices.append(data=KINDS)
    (read,) = PythonFeed(Read(feed=notices.ref))

    (diff,) = get(client, notices.path)["diffs"]

    assert diff["data"] == read.data
    assert {name: diff["data"][name] for name in ("moment", "day", "uuid")} == {
        "moment": "2013-06-13T05:15:00.000250Z",
        "day": "2013-06-13",
        "uuid": "00000000-0000-0000-0000-000000000007",
    }


def test_text_is_sent_as_utf8_and_not_escaped(client: Client, notices: Feed) -> None:
    notices.append(data={"body": "火"})

    assert '"body":"火"'.encode() in client.get(notices.path).content


@pytest.mark.parametrize("query", ["", "?limit=1", "?since=now", "?collapse=1"])
def test_msgpack_is_the_same_document(client: Client, notices: Feed, query: str) -> None:
    notices.append("create", KINDS, version=2**56 - 1)
    notices.append("delete")

    response = client.get(notices.path + query, headers={"Accept": MSGPACK})

    assert response.headers["Content-Type"] == MSGPACK
    assert msgpack.unpackb(response.content) == get(client, notices.path + query)


def test_msgpack_of_several_feeds_is_the_same_document(client: Client, notices: Feed) -> None:
    notices.append(data=KINDS)
    path = f"/diffs/?feed=@{notices.name}&feed={Cursor('00000000', 1)}@testapp.notice:2"

    response = client.get(path, headers={"Accept": MSGPACK})

    assert msgpack.unpackb(response.content) == get(client, path)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        ("application/msgpack", "application/msgpack"),
        ("application/msgpack, */*;q=0.1", "application/msgpack"),
        ("application/json;q=0.5, application/msgpack", "application/msgpack"),
        ("application/json, application/msgpack;q=0.9", "application/json"),
        ("application/msgpack;q=0", "application/json"),
        ("application/msgpack;q=x", "application/msgpack"),
        ("text/html", "application/json"),
        ("", "application/json"),
        (",;=", "application/json"),
    ],
)
def test_accept_header_decides_the_form(client: Client, notices: Feed, accept: str, media_type: str) -> None:
    response = client.get(notices.path, headers={"Accept": accept})

    assert response.headers["Content-Type"] == media_type


def test_problems_are_json_whatever_is_accepted(client: Client, notices: Feed) -> None:
    response = client.get(notices.path + "?limit=0", headers={"Accept": MSGPACK})

    assert response.headers["Content-Type"] == "application/problem+json"
    assert json.loads(response.content)["status"] == 400


def test_head_says_how_long_the_page_is(client: Client, notices: Feed) -> None:
    notices.append(data=KINDS)
    page = client.get(notices.path)

    head = client.head(notices.path)

    assert head.content == b""
    page.headers["Content-Length"] = str(len(page.content))
    sent, same = ({name.lower(): value for name, value in answer.headers.items()} for answer in (head, page))
    assert sent == same


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_deeply_nested_data_are_given(client: Client, notices: Feed) -> None:
    diff = notices.append(data={"body": nested(400)})

    assert get(client, notices.path)["diffs"] == [diff]


def test_diff_of_a_model_feed_that_names_no_object_is_left_out(client: Client, rule: Any) -> None:
    rule(Airport, permission="public")
    airports = Feed(Airport)
    get_store().append([Entry(airports.ref, Encoder("update", 1, new_nonce(), {}).own())])
    named = airports.append(child=(Airport, 5))

    assert get(client, airports.path)["diffs"] == [named]


def test_collapse_folds_a_page_to_the_net_change_per_object(client: Client, notices: Feed) -> None:
    notices.append("create", {"headline": "Fire", "body": ""})
    last = notices.append("update", {"body": "In the kitchen"})
    page = get(client, notices.path)

    folded = get(client, notices.path + "?collapse=1")

    assert folded == {
        **page,
        "diffs": [{**last, "action": "create", "data": {"headline": "Fire", "body": "In the kitchen"}}],
    }


def test_fields_that_were_too_large_are_named(client: Client, notices: Feed) -> None:
    told = notices.append("update", {"headline": "Fire"}, omitted=["body"], actor="ada")

    (as_json,) = get(client, notices.path)["diffs"]
    (as_msgpack,) = msgpack.unpackb(client.get(notices.path, headers={"Accept": MSGPACK}).content)["diffs"]

    assert as_json == as_msgpack == told
    assert told["omitted"] == ["body"]


def test_collapse_names_what_was_too_large_at_last(client: Client, notices: Feed) -> None:
    notices.append("create", {"headline": "Fire", "body": "small"})
    last = notices.append("update", {}, omitted=["body"])
    assert get(client, notices.path + "?collapse=1")["diffs"] == [
        {**last, "action": "create", "data": {"headline": "Fire"}}
    ]
    again = notices.append("update", {"body": "small again"})
    assert get(client, notices.path + "?collapse=1")["diffs"] == [
        {**again, "action": "create", "data": {"headline": "Fire", "body": "small again"}}
    ]


def test_collapse_folds_each_of_several_feeds(client: Client, notices: Feed) -> None:
    notices.append("create", {"headline": "Fire"})
    last = notices.append("update", {"headline": "Fire!"})
    other = Feed(Notice, 2).append("delete")

    feeds = get(client, f"/diffs/?collapse=1&feed=@{notices.name}&feed=@testapp.notice:2")["feeds"]

    assert [feed["diffs"] for feed in feeds] == [[{**last, "action": "create", "data": {"headline": "Fire!"}}], [other]]


def test_collapse_folds_only_the_page(client: Client, notices: Feed) -> None:
    first = notices.append("create", {"headline": "Fire"})
    notices.append("delete")

    page = get(client, notices.path + "?collapse=1&limit=1")

    assert (page["diffs"], page["more"]) == ([first], True)
    assert get(client, notices.path + "?collapse=1")["diffs"] == []
