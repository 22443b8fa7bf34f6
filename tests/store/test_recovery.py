"""P6: what was missed is remembered within bounds, and tried again until it is repaired."""

from __future__ import annotations

import threading

import pytest
import redis

from diffs.errors import StoreUnavailable
from diffs.store import FeedRef, Floors, batch, outage

from .feeds import feed
from .processes import recovery_threads, wait_for

AWAY = "Redis is away (TimeoutError): changes are saved but get no diffs; old cursors will be refused."
BACK = "Redis is back."


def test_p6_change_that_is_missed_while_floors_are_raised_is_not_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    repaired: list[Floors] = []

    def repair(floors: Floors) -> None:
        repaired.append(floors)
        if len(repaired) == 1:
            watched.begin(StoreUnavailable("again"), Floors(models=["polls.choice"]))

    watched = outage.Outage(repair)
    watched.begin(redis.TimeoutError(), Floors(models=["polls.question"]))
    wait_for(lambda: not recovery_threads())
    watched.check()
    assert [floors.models for floors in repaired] == [{"polls.question"}, {"polls.choice"}]
    assert caplog.messages == [AWAY, BACK]


def test_p6_error_that_nobody_foresaw_does_not_end_the_recovery(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outage, "FIRST_PAUSE", 0.01)
    errors = [RuntimeError("unforeseen"), StoreUnavailable("foreseen")]
    repaired = []

    def repair(floors: Floors) -> None:
        if errors:
            raise errors.pop(0)
        repaired.append(floors.models)

    watched = outage.Outage(repair)
    watched.begin(redis.TimeoutError(), Floors(models=["polls.question"]))
    wait_for(lambda: not recovery_threads())
    assert repaired == [{"polls.question"}]
    assert caplog.messages == [
        AWAY,
        "Floors could not be raised; this is tried again.",
        BACK,
    ]


def test_p6_pauses_grow_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    class Closed(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0)
            return len(pauses) > 6

    def repair(floors: Floors) -> None:
        raise StoreUnavailable("still away")

    watched = outage.Outage(repair)
    watched._closed = Closed()
    watched.begin(redis.TimeoutError())
    wait_for(lambda: not recovery_threads())
    assert pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


def test_p6_where_no_thread_can_be_had_floors_wait_for_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    repaired = []
    watched = outage.Outage(lambda floors: repaired.append(floors.models))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        watched.begin(redis.TimeoutError(), Floors(models=["polls.question"]))
    watched.check()
    watched.close()
    assert repaired == [{"polls.question"}]
    assert caplog.messages == [BACK]


def many_feeds(count: int, model: str = "polls.question") -> list[FeedRef]:
    return [feed(f"{model}:{pk}") for pk in range(count)]


def test_p6_what_is_remembered_in_an_outage_is_bounded() -> None:
    floors = Floors(many_feeds(batch.MAX_FEEDS))
    assert (len(floors.feeds), floors.models, floors.everything) == (batch.MAX_FEEDS, set(), False)
    floors.add(Floors([feed("polls.choice:1")]))
    assert (floors.feeds, floors.models, floors.everything) == ({}, {"polls.question", "polls.choice"}, False)
    floors.add(Floors(models=[f"shop.model{number}" for number in range(batch.MAX_MODELS - 2)]))
    assert (len(floors.models), floors.everything) == (batch.MAX_MODELS, False)
    floors.add(Floors([feed("polls.choice:2")], ["shop.another"]))
    assert (floors.feeds, floors.models, floors.everything) == ({}, set(), True)
    floors.add(Floors(many_feeds(5), ["polls.choice"]))
    assert (floors.feeds, floors.models, floors.everything) == ({}, set(), True)


@pytest.mark.parametrize(
    ("floors", "is_something", "text"),
    [
        (Floors(), False, "<Floors: 0 feeds, 0 models>"),
        (Floors([feed()], ["a.b", "c.d"]), True, "<Floors: 1 feeds, 2 models>"),
        (Floors([feed()], everything=True), True, "<Floors: everything>"),
        (Floors(many_feeds(batch.MAX_FEEDS + 1)), True, "<Floors: 0 feeds, 1 models>"),
    ],
)
def test_floors_say_what_they_hold(floors: Floors, is_something: bool, text: str) -> None:
    assert (bool(floors), repr(floors)) == (is_something, text)
