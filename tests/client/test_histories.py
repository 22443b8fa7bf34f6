"""Whatever goes wrong, and in whichever order: each diff comes once, and none is missing unless a reset says so."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client as DjangoClient
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from diffs.client import Diff, Idle, Reset
from diffs.client.addresses import locate
from diffs.client.answers import Answer, Failure
from diffs.client.endpoint import Ask, Endpoint, Pause, Result
from diffs.client.following import Cursors, Manner, follow
from diffs.client.tokens import Tokens
from diffs.store import Floors, get_store
from tests.endpoint.feeds import Feed
from tests.servers import RedisServer
from tests.testapp.models import Notice

FEEDS = 2
MANNER = Manner(limit=2, wait=0, interval=1.0, patience=None, idle=True)

CHANCE = random.Random(1)

FAULTS = ("refused", "lost", "502", "429", "page of a proxy", "cut", "empty", "another's json", "redirect", "json")
ACTIONS = st.one_of(
    st.tuples(st.just("append"), st.integers(0, FEEDS - 1)),
    st.tuples(st.just("fault"), st.sampled_from(FAULTS)),
    st.tuples(st.just("take"), st.integers(1, 5)),
    st.sampled_from([("drop", 0), ("drop", 1), ("flush", None), ("restart", None)]),
)


class Log:
    """What was put into a feed, and what a reader made of it."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.ids: list[str] = []
        self.losses = 0
        self.resets = 0
        self.given = 0
        """How many of `ids` the reader has, or was told to fetch."""
        self.answered = 0
        """How many there were when the reader was answered last."""

    def take(self, event: Diff | Reset) -> None:
        if isinstance(event, Reset):
            self.resets += 1
            assert self.resets <= self.losses, "Refused without need."
            self.given = self.answered
        else:
            assert self.given < len(self.ids), f"{event.id} came twice."
            assert event.id == self.ids[self.given], "One is missing, or came twice."
            self.given += 1


class Wire:
    """The endpoint, on a bad line."""

    def __init__(self, logs: list[Log]) -> None:
        self._site = DjangoClient()
        self._logs = logs
        self.faults: list[str] = []

    def carry(self, ask: Ask) -> Answer | Failure:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "refused":
            return Failure("refused")
        if fault in ("502", "429", "page of a proxy"):
            status = {"502": 502, "429": 429}.get(fault, 200)
            return Answer(status, {"Content-Type": "text/html", "Retry-After": "3"}, b"<h1>Oh</h1>", 0.0)
        if fault == "redirect":
            return Answer(302, {"Location": "https://elsewhere.example/?token=1"}, b"", 0.0)
        if fault == "another's json":
            return Answer(200, {"Content-Type": "application/json"}, b'{"feeds": [{"cursor": 1}], "cursor": null}', 0.0)
        accept = "application/json" if fault == "json" else ask.headers["Accept"]
        for log in self._logs:
            log.answered = len(log.ids)
        response = self._site.get(f"{ask.url}?{urlencode(ask.parameters)}", headers={"Accept": accept})
        body = {"cut": response.content[:-1], "empty": b""}.get(fault, response.content)
        if fault == "lost":
            return Failure("lost")
        return Answer(response.status_code, response.headers, body, 0.0)


class Reader:
    """Follows the feeds, step by step and without a pause."""

    def __init__(self, wire: Wire, names: list[str]) -> None:
        self._wire = wire
        self._names = names
        self.time = 0.0
        self.endpoint = Endpoint(locate("http://testserver/diffs/"), Tokens(None), 10, lambda: self.time, CHANCE.random)
        self.restart(dict.fromkeys(names, ""))

    def restart(self, cursors: Cursors | None = None) -> None:
        """Begin anew from where it stands, as another process would."""
        self.cursors = dict(cursors or self.cursors)
        self._steps = follow(self.endpoint, self.cursors, MANNER)

    def events(self) -> Iterator[Diff | Reset | Idle]:
        """What comes, up to the first time that there is nothing new."""
        result: Result = None
        while True:
            step = self._steps.send(result)
            result = None
            if isinstance(step, Ask):
                result = self._wire.carry(step)
            elif isinstance(step, Pause):
                self.time += step.seconds
            else:
                assert isinstance(step, Diff | Reset | Idle)
                yield step


@pytest.mark.parametrize("count", [1, FEEDS])
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTIONS, min_size=5, max_size=60))
def test_each_diff_comes_once_and_none_is_missing_without_a_reset(
    count: int, actions: list[tuple[str, Any]], redis_server: RedisServer
) -> None:
    redis_server.cli("FLUSHALL")
    logs = [Log(Feed(Notice, number)) for number in itertools.islice(itertools.count(1), count)]
    by_name = {log.feed.name: log for log in logs}
    wire = Wire(logs)
    reader = Reader(wire, list(by_name))

    def take(most: int | None = None) -> None:
        for event in itertools.islice(reader.events(), most):
            if isinstance(event, Idle):
                if not wire.faults:
                    break
            else:
                by_name[event.feed].take(event)

    # Where nothing like the endpoint was ever seen, the first wrong answer is the last.
    take()
    for action, what in actions:
        log = logs[what % count] if isinstance(what, int) else logs[0]
        if action == "append":
            log.ids.append(log.feed.append()["id"])
        elif action == "fault":
            wire.faults.append(what)
        elif action == "take":
            take(what)
        elif action == "restart":
            reader.restart()
        elif action == "drop":
            get_store().raise_floors(Floors([log.feed.ref]))
            log.losses += 1
        else:
            redis_server.cli("FLUSHALL")
            for log in logs:
                log.losses += 1
    take()
    assert [log.given for log in logs] == [len(log.ids) for log in logs]
    note(f"{[log.resets for log in logs]} resets")
