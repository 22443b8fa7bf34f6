"""What is asked next, and when: without a server, a clock or chance."""

from __future__ import annotations

import datetime as dt
import email.utils
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from diffs.client import BadRequest, Diff, Idle, Reset, Unavailable
from diffs.client.addresses import locate
from diffs.client.answers import Answer, Failure
from diffs.client.endpoint import Ask, Endpoint, Pause, Result
from diffs.client.following import Manner, follow, pull
from diffs.client.outage import FIRST_PAUSE, LONGEST_PAUSE, backoff
from diffs.client.tokens import Tokens

FEED = "polls.question:1"
MANNER = Manner(limit=None, wait=30, interval=5.0, patience=None, idle=True)
AWAY = Failure("away")
CURSOR = "0a1b2c3d_1"


def answer(document: Any, status: int = 200, seconds: float = 0.0, **headers: str) -> Answer:
    kind = "application/json" if status == 200 else "application/problem+json"
    fields = {"Content-Type": kind, **{name.replace("_", "-"): text for name, text in headers.items()}}
    return Answer(status, fields, json.dumps(document).encode(), seconds)


def page(*timestamps: int, more: bool = False, waited: int = 0, seconds: float = 0.0, cursor: str = CURSOR) -> Answer:
    diffs = [
        {"id": f"{at:022}", "action": "update", "model": "a.b", "pk": 1, "timestamp": at, "version": 1, "data": {}}
        for at in timestamps
    ]
    headers = {"Preference_Applied": f"wait={waited}"} if waited else {}
    return answer({"cursor": cursor, "more": more, "diffs": diffs}, seconds=seconds, **headers)


def busy(**headers: str) -> Answer:
    return answer({"detail": "The diffs can't be read just now."}, 503, **headers)


def too_long(longest: int) -> Answer:
    detail = f"'wait' takes a whole number of seconds from 0 to {longest}."
    return answer({"detail": detail, "parameter": "wait"}, 400)


def make_endpoint(clock: Iterator[float] | None = None) -> Endpoint:
    clock = clock or iter(itertools.repeat(0.0))
    return Endpoint(locate("http://testserver/diffs/"), Tokens(None), 10.0, lambda: next(clock), lambda: 0.5)


def walk(*results: Result, since: str = CURSOR, **manner: Any) -> list[Any]:
    """What is done when these results come: seconds of waits that are asked for, pauses, and events."""
    steps = follow(make_endpoint(), {FEED: since}, MANNER._replace(**manner))
    coming = iter(results)
    done: list[Any] = []
    result: Result = None
    while True:
        step = steps.send(result)
        result = None
        if isinstance(step, Ask):
            done.append(int(dict(step.parameters).get("wait", "0")))
            result = next(coming, None)
            if result is None:
                return done
        elif isinstance(step, Pause):
            done.append(round(step.seconds, 3))
        else:
            assert isinstance(step, Diff | Reset | Idle)
            done.append(type(step))


@pytest.mark.parametrize(
    ("results", "done"),
    [
        # An answer that was held back, or has news, is followed by the next question.
        ([page(waited=30, seconds=30.0), page(7, waited=30)], [30, Idle, 30, Diff, 30]),
        # One that was not waited for is polled, with news and without.
        ([page(), page(7), page(8, more=True)], [30, Idle, 5.0, 30, Diff, 5.0, 30, Diff, 30]),
        # Who says that it waits, and doesn't, isn't asked without a pause.
        ([page(waited=30, seconds=0.1)] * 2, [30, Idle, 1.0, 30, Idle, 1.0, 30]),
        # Nor is one who says that there is more, and gives nothing.
        ([page(more=True)] * 2, [30, Idle, 5.0, 30, Idle, 5.0, 30]),
        # After a failure it is asked only whether it is there again; then it may wait as before.
        ([AWAY, page(), page(waited=30, seconds=30.0)], [30, 0.375, 0, Idle, 30, Idle, 30]),
        # Where each wait fails, and all else doesn't, it is polled.
        ([AWAY, page(), AWAY, page()], [30, 0.375, 0, Idle, 30, 0.375, 0, Idle, 5.0, 30]),
        # A wait that is too long becomes the longest, also where that is none.
        ([too_long(20), page(waited=20, seconds=20.0)], [30, 20, Idle, 20]),
        ([too_long(0), page()], [30, 0, Idle, 5.0, 0]),
        ([too_long(99), page()], [30, 29, Idle, 5.0, 29]),
    ],
)
def test_what_is_asked_next(results: list[Result], done: list[Any]) -> None:
    assert walk(*results) == done


def test_diffs_behind_a_reset_may_be_of_an_earlier_time() -> None:
    """Another Redis has another clock."""
    gone = answer({"detail": "Gone.", "reason": "reset", "cursor": "zzzzzzzz_1"}, 410)
    assert walk(page(7, 8), gone, page(3, cursor="zzzzzzzz_3"), wait=0) == [
        0,
        Diff,
        Diff,
        5.0,
        0,
        Reset,
        5.0,
        0,
        Diff,
        5.0,
        0,
    ]


def test_moment_that_now_is_is_not_waited_for() -> None:
    assert walk(page(), page(waited=30, seconds=30.0), since="now") == [0, Idle, 30, Idle, 30]


def test_reader_that_does_not_wait_polls() -> None:
    assert walk(page(), AWAY, page(7), wait=0) == [0, Idle, 5.0, 0, 0.375, 0, Diff, 5.0, 0]


def test_bad_request_that_is_not_about_waiting_ends_it() -> None:
    with pytest.raises(BadRequest):
        walk(answer({"detail": "'limit' takes a whole number.", "parameter": "limit"}, 400))
    with pytest.raises(BadRequest):
        walk(too_long(60), wait=0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("-7", 0.0),
        ("7.5", 0.0),
        ("", 0.0),
        ("soon", 0.0),
        ("999999999999999999999", 3600.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00", 0.0),
    ],
)
def test_server_says_when_to_come_back(text: str, seconds: float) -> None:
    _, pause, *_ = walk(busy(Retry_After=text))
    assert pause == seconds + 0.375


def test_moment_to_come_back_is_told_by_the_clock_of_the_day() -> None:
    moment = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=100)
    _, pause, *_ = walk(busy(Retry_After=email.utils.format_datetime(moment, usegmt=True)))
    assert 90 < pause < 101


def test_pauses_grow_and_differ() -> None:
    assert [backoff(count, lambda: 0.0) for count in (1, 2, 3, 4, 100, 10_000)] == [0.25, 0.5, 1.0, 2.0, 15.0, 15.0]
    assert backoff(1, lambda: 0.5) == FIRST_PAUSE * 0.75
    assert backoff(10_000, lambda: 1.0) == LONGEST_PAUSE


def test_pauses_begin_anew_after_an_answer() -> None:
    results = [AWAY, AWAY, AWAY, page(), AWAY]
    assert [pause for pause in walk(*results, wait=0) if isinstance(pause, float)] == [0.375, 0.75, 1.5, 5.0, 0.375]


def test_patience_counts_from_the_first_failure_of_a_row() -> None:
    clock = iter([100.0, 104.0, 105.0])
    steps = pull(make_endpoint(clock), {FEED: CURSOR}, limit=None, collapse=False, patience=5.0)
    steps.send(None)
    assert steps.send(AWAY) == Pause(0.375)
    assert isinstance(steps.send(None), Ask)
    assert steps.send(AWAY) == Pause(0.75)
    assert isinstance(steps.send(None), Ask)
    with pytest.raises(Unavailable, match="away"):
        steps.send(AWAY)


def test_nobody_is_waited_for_who_comes_back_when_patience_is_over() -> None:
    steps = pull(make_endpoint(), {FEED: CURSOR}, limit=None, collapse=False, patience=5.0)
    steps.send(None)
    with pytest.raises(Unavailable, match="can't be read just now") as caught:
        steps.send(busy(Retry_After="7"))
    assert (caught.value.status, caught.value.retry_after) == (503, 7.0)


def test_answer_is_waited_for_as_long_as_it_may_take() -> None:
    steps = follow(make_endpoint(), {FEED: CURSOR}, MANNER)
    ask = steps.send(None)
    assert isinstance(ask, Ask)
    assert ask.seconds == 30 + 10.0
