"""Feeds with diffs of known ages, and commands run in this process."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pytest
import six
from django.core.management import CommandError, call_command

from diffs.codec import Encoder
from diffs.keys import parse_feed
from diffs.registration import window_of
from diffs.store import Entry, FeedRef, Store, get_store

MINUTE = 60.0

Fill = Callable[[Mapping[str, Sequence[float]]], None]


class Ran(NamedTuple):
    """What a command wrote, and how it ended."""

    out: str
    err: str
    error: CommandError | None

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Run = Callable[..., Ran]


@pytest.fixture
def fill(settings: object) -> Fill:
    """Put diffs into feeds: ``fill({"testapp.question:1": [3000, 5]})``, ages in seconds."""

    def append(feeds: Mapping[str, Sequence[float]]) -> None:
        now = time.time()
        # Timestamps rise within a shard, whatever the feed.
        rows = sorted(((age, name) for name, ages in feeds.items() for age in ages), reverse=True)
        for number, (age, text) in enumerate(rows):
            store = Store(get_store().client, get_store().keys.prefix, now=lambda age=age: str(int((now - age) * 1e6)))
            name = parse_feed(text)
            member = Encoder("update", number + 1, number.to_bytes(4, "big"), {"votes": number}, None).own()
            store.append([Entry(FeedRef(name, window_of(name.model)), member)])

    return append


@pytest.fixture
def run() -> Run:
    """Run a command with arguments as on a command line."""

    def call(*arguments: str, out: io.StringIO | None = None) -> Ran:
        out, err = out or io.StringIO(), io.StringIO()
        error = None
        try:
            call_command(*arguments, stdout=out, stderr=err, no_color=True)
        except CommandError as caught:
            error = caught
        return Ran(out.getvalue(), err.getvalue(), error)

    return call


@pytest.fixture
def sizes() -> Callable[[], dict[str, int]]:
    """How many diffs the feeds hold."""

    def count() -> dict[str, int]:
        store = get_store()
        found = {}
        for key in store.client.scan_iter("*:feed:*"):
            name = store.keys.feed_of_key(six.ensure_str(key))
            found[str(name)] = store.client.zcard(key)
        return found

    return count
