"""Servers that die, and come back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from diffs.client import Client, Diff, Event, Idle, Reset, Unavailable
from tests.endpoint.feeds import Feed
from tests.servers import RedisServer

from .conftest import Take
from .sites import Site, free_port

both = pytest.mark.parametrize(("take", "mortal_site"), [("sync", "wsgi"), ("async", "asgi")], indirect=True)


class Meanwhile:
    """Does things in a thread while a client follows; `join` raises what went wrong."""

    def __init__(self, *actions: Callable[[], object]) -> None:
        self._actions = actions
        self._errors: list[Exception] = []
        self._thread = threading.Thread(target=self._run)

    def __call__(self, event: Event) -> None:
        """Begin with the first event."""
        if self._thread.ident is None:
            self._thread.start()

    def join(self) -> None:
        self._thread.join()
        assert self._errors == []

    def _run(self) -> None:
        try:
            for action in self._actions:
                action()
        except Exception as error:
            self._errors.append(error)


@both
def test_site_that_crashes_and_comes_back(take: Take, mortal_site: Site, notices: Feed, others: Feed) -> None:
    notices.append()
    meanwhile = Meanwhile(
        mortal_site.kill, notices.append, mortal_site.start, others.append, mortal_site.kill, mortal_site.start
    )
    events = take(mortal_site.url, notices.name, others.name, count=3, then=meanwhile)
    meanwhile.join()
    assert [event.feed for event in events] == [notices.name, notices.name, others.name]


@both
def test_redis_that_is_emptied_resets_all_feeds(
    take: Take, mortal_site: Site, mortal_redis: RedisServer, notices: Feed, others: Feed
) -> None:
    def empty(event: Event) -> None:
        if event == Idle():
            mortal_redis.cli("FLUSHALL")

    notices.append()
    others.append()
    events = take(mortal_site.url, notices.name, others.name, wait=1, idle=True, count=5, then=empty)
    assert [type(event) for event in events] == [Diff, Diff, Idle, Reset, Reset]
    assert [event.feed for event in events[3:]] == [notices.name, others.name]


@both
def test_redis_that_is_killed_and_comes_back_resets_all_feeds(
    take: Take, mortal_site: Site, mortal_redis: RedisServer, notices: Feed, others: Feed
) -> None:
    def stop_redis(event: Event) -> None:
        if isinstance(event, Diff):
            mortal_redis.kill()
            threading.Timer(0.2, mortal_redis.restart).start()

    notices.append()
    events = take(mortal_site.url, notices.name, others.name, count=3, then=stop_redis)
    assert [type(event) for event in events] == [Diff, Reset, Reset]


@both
def test_redis_that_hangs_loses_nothing(
    take: Take, mortal_site: Site, mortal_redis: RedisServer, notices: Feed
) -> None:
    def hang(event: Event) -> None:
        if event.action == "create":
            notices.append("update")
            mortal_redis.pause()
            threading.Timer(1.2, mortal_redis.resume).start()

    notices.append("create")
    events = take(mortal_site.url, notices.name, count=2, then=hang)
    assert [event.action for event in events] == ["create", "update"]


def test_patience_ends(take: Take, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "diffs.client")
    with pytest.raises(Unavailable, match="refused|failed") as caught:
        take(f"http://127.0.0.1:{free_port()}/diffs/", "polls.question:1", count=1, patience=1.0)
    assert (caught.value.status, caught.value.retry_after) == (None, None)
    levels = [record.levelno for record in caplog.records]
    # It is told once that something is wrong; how long it lasts is for whoever wants to know.
    assert levels[0] == logging.WARNING
    assert set(levels[1:]) <= {logging.INFO}


def test_one_question_is_asked_once() -> None:
    with Client(f"http://127.0.0.1:{free_port()}/diffs/") as client:
        with pytest.raises(Unavailable):
            client.pull("polls.question:1")
        with pytest.raises(Unavailable):
            client.snapshot("polls.question:1")


def test_site_that_comes_late_is_waited_for(mortal_site: Site, notices: Feed) -> None:
    mortal_site.kill()
    notices.append()
    late = threading.Timer(0.2, mortal_site.start)
    late.start()
    with Client(mortal_site.url) as client:
        assert len(client.pull(notices.name, patience=60).events) == 1
    late.join()


def test_idle_reader_gets_renewed_cursors(mortal_site: Site, notices: Feed) -> None:
    with Client(mortal_site.url) as client:
        following = client.follow(notices.name, since=notices.aged_cursor(seconds=3000), wait=0, idle=True)
        before = following.cursors
        assert next(following) == Idle()
        assert following.cursors != before
