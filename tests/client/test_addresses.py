"""Addresses, and what a client needs to run at all."""

from __future__ import annotations

import subprocess
import sys
import urllib.parse

import pytest
from django.urls import resolve
from hypothesis import given
from hypothesis import strategies as st

from diffs.client.addresses import Place, locate
from diffs.keys import parse_feed
from diffs.quoting import unquote


@pytest.mark.parametrize(
    ("address", "mount", "feed"),
    [
        ("https://example.com/diffs/", "https://example.com/diffs/", None),
        ("https://example.com/diffs", "https://example.com/diffs/", None),
        ("http://[::1]:8000", "http://[::1]:8000/", None),
        ("https://example.com/diffs/polls.question/", "https://example.com/diffs/", "polls.question"),
        ("https://example.com/diffs/polls.question/42/", "https://example.com/diffs/", "polls.question:42"),
        ("https://example.com/polls.question/42", "https://example.com/", "polls.question:42"),
        ("https://example.com/a/b/polls.question/a_2Fb%20c/", "https://example.com/a/b/", "polls.question:a/b c"),
        ("https://example.com/polls.question/a.b/", "https://example.com/", "polls.question:a.b"),
        ("https://example.com/v1.0/polls.question/1/", "https://example.com/v1.0/", "polls.question:1"),
        ("https://example.com/api.v1/polls.question/1/", "https://example.com/api.v1/", "polls.question:1"),
    ],
)
def test_address_is_the_mount_s_or_a_feed_s(address: str, mount: str, feed: str | None) -> None:
    assert locate(address) == Place(mount, feed)


@given(st.text(min_size=1))
def test_address_of_a_feed_leads_to_it(pk: str) -> None:
    try:
        pk.encode()
    except UnicodeEncodeError:
        return
    feed = f"polls.question:{pk}"
    address = Place("http://testserver/diffs/", None).of_feed(feed)
    assert locate(address) == Place("http://testserver/diffs/", feed)
    found = resolve(urllib.parse.unquote(urllib.parse.urlsplit(address).path))
    assert (found.kwargs["model"], unquote(found.kwargs["pk"])) == parse_feed(feed)


def test_client_needs_neither_django_nor_redis() -> None:
    code = (
        "import sys, diffs.client, diffs.client.__main__\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'django', 'redis', 'dirtyfields', 'six'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], env={}, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_missing_extra_is_named() -> None:
    code = (
        "import sys\n"
        "sys.modules['httpx'] = None\n"
        "try:\n"
        "    import diffs.client\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "django-diffs[client]" in done.stdout
