"""Primary keys of every kind, in paths and in queries."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import quote as url_quote

import pytest
from django.contrib.admin.utils import quote as admin_quote
from django.contrib.admin.utils import unquote as admin_unquote
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from diffs.http.client import feed_address
from diffs.quoting import quote, unquote
from tests.testapp.models import Country, Seat, Token

from .feeds import Feed

TEXTS = [
    "DE",
    "a/b",
    "/",
    "//a//",
    "{0}:feed:{1}",
    "a@b",
    "@",
    "a b",
    " ",
    "é",
    "火\u2028",
    "😀",
    "%",
    "%2F",
    "100%25",
    "_",
    "_2F",
    "__",
    "_2E",
    ".",
    "..",
    "...",
    "./a",
    "a:b",
    "?since=1",
    "#",
    "&feed=x",
    "+",
    "a,b",
    "~",
    "\\",
    "a\nb",
    "a\rb",
    "\t",
    "*",
    "<script>alert('\"')</script>",
    "x" * 200,
]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_can_be_a_primary_key_in_a_path(client: Client, rule: Any, text: str) -> None:
    rule(Country, permission="public")
    diff = Feed(Country, text).append()

    response = client.get(feed_address(Country, text).url)

    assert (response.status_code, response.json()["diffs"]) == (200, [{**diff, "pk": text}])


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_can_be_a_primary_key_in_a_query(client: Client, rule: Any, text: str) -> None:
    rule(Country, permission="public")
    diff = Feed(Country, text).append()

    response = client.get(f"/diffs/?feed=now@testapp.country:-&feed=@testapp.country:{url_quote(text, safe='')}")

    assert [(feed["feed"], feed["diffs"]) for feed in response.json()["feeds"]] == [
        ("testapp.country:-", []),
        (f"testapp.country:{text}", [diff]),
    ]


def test_empty_text_can_be_a_primary_key_in_a_query(client: Client, rule: Any) -> None:
    rule(Country, permission="public")
    diff = Feed(Country, "").append()

    (feed,) = client.get("/diffs/?feed=@testapp.country:").json()["feeds"]

    assert feed["diffs"] == [diff]


def test_path_that_is_no_utf8_names_nothing_that_is_there(client: Client, rule: Any) -> None:
    rule(Country, permission="public")

    response = client.get("/diffs/testapp.country/%ED%A0%80%FF/")

    assert (response.status_code, response.json()["diffs"]) == (200, [])


def test_composite_primary_key_is_a_list_in_diffs_and_has_commas_in_its_address(client: Client, rule: Any) -> None:
    rule(Seat, permission="public")
    diff = Feed(Seat, (12, ",")).append()
    address = feed_address(Seat, (12, ","))

    page = client.get(address.url).json()

    assert address.url == "/diffs/testapp.seat/12_2C~_2C/"
    assert (page["diffs"], diff["pk"]) == ([diff], [12, ","])


@pytest.mark.parametrize("write", [str, lambda key: key.hex, lambda key: str(key).upper(), lambda key: f"{{{key}}}"])
def test_every_text_of_a_uuid_names_the_same_feed(client: Client, rule: Any, write: Any) -> None:
    rule(Token, permission="public")
    key = uuid.UUID("0ecd7b5a-42aa-4f0f-9d9c-5d6f2a9c3b11")
    diff = Feed(Token, key).append()

    page = client.get(f"/diffs/testapp.token/{url_quote(write(key))}/").json()

    assert page["diffs"] == [{**diff, "pk": str(key)}]


@given(st.text(max_size=20).filter(lambda text: text not in (".", "..")))
def test_quoting_is_that_of_the_admin(text: str) -> None:
    assert quote(text) == admin_quote(text)
    assert unquote(quote(text)) == text == admin_unquote(quote(text))


@given(st.text(st.sampled_from("_2FE5.a"), max_size=12).filter(lambda text: "_2E" not in text))
def test_unquoting_is_that_of_the_admin(text: str) -> None:
    assert unquote(text) == admin_unquote(text)


@pytest.mark.parametrize("text", [".", ".."])
def test_dots_that_a_browser_would_resolve_are_quoted(text: str) -> None:
    assert quote(text) == text.replace(".", "_2E")
    assert unquote(quote(text)) == text
