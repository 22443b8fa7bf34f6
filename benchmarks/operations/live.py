"""Listening to a server, and writing what it tells: one process does both, as nobody listens before he has written."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from django.db import transaction

from benchmarks.live.events import Broken
from benchmarks.live.listeners import Listeners, most
from benchmarks.project.settings import BENCH

from . import floor, tables

SILENCE_SECONDS = 0.2

_items: list[Any] = []
_listeners: list[Listeners] = []
_published = 0


def prepare(*, feeds: int) -> dict[str, Any]:
    """Insert objects to listen to.

    Returns:
        The paths of their feeds.
    """
    items = tables.model_of("Item")
    tables.fill(model="Item", rows=feeds)
    _items[:] = items.objects.order_by("pk")[:feeds]
    return {"paths": [f"/diffs/{items._meta.label_lower}/{item.pk}/" for item in _items]}


def limit() -> dict[str, int]:
    """How many connections this process may have."""
    return {"connections": most()}


def listen(*, port: int, paths: list[str], count: int) -> dict[str, float]:
    """Open streams, and wait until all of them have begun; seconds.

    Args:
        port: of the server.
        paths: of the feeds, over which the listeners are spread evenly.
        count: how many.
    """
    most()
    if not _listeners:
        _listeners.append(Listeners(port))
    start = time.perf_counter()
    _listeners[0].connect([f"{paths[number % len(paths)]}?since=now" for number in range(count)])
    return {"seconds": time.perf_counter() - start}


def leave() -> None:
    """Listen no more."""
    while _listeners:
        _listeners.pop().close()


def fan_out(*, writes: int = 1, rate: float = 1.0) -> dict[str, float]:
    """Write once for each feed, in one transaction; milliseconds from the commit to the listeners.

    Args:
        writes: how often.
        rate: how many in a second.
    """
    figures = _listen(save if len(_items) == 1 else _save_all, writes, rate)
    _expect(b'"votes":%d' % _items[0].votes)
    return figures


def publish(*, event_bytes: int, writes: int = 1, rate: float = 1.0) -> dict[str, float]:
    """Publish an event for those who listen to a floor; the same figures.

    Args:
        event_bytes: how long it is.
        writes, rate: as of `fan_out`.
    """
    figures = _listen(lambda: _publish(event_bytes), writes, rate)
    _expect(b'"number":%d' % _published)
    return figures


def expect_silence() -> None:
    """Make sure that nothing comes twice."""
    _listeners[0].expect_silence(SILENCE_SECONDS)


def _listen(write: Callable[[], int], writes: int, rate: float) -> dict[str, float]:
    listeners = _listeners[0]
    turn = listeners.listen(write, [number / rate for number in range(writes)])
    took = sorted(listeners.latencies(turn))
    return {**percentiles(took), "busy": turn.busy, "event_bytes": len(listeners.event) + len(b"\n\n")}


def _expect(text: bytes) -> None:
    if text not in _listeners[0].event:
        raise Broken(f"What was written last is {text!r}, and what came last {_listeners[0].event!r}.")


def percentiles(ordered: list[float]) -> dict[str, float]:
    """What is told of times in ascending order."""
    return {
        "first": ordered[0],
        "p50": _percentile(ordered, 0.50),
        "p99": _percentile(ordered, 0.99),
        "last": ordered[-1],
    }


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[math.ceil(len(ordered) * share) - 1]


def save() -> int:
    """Change two fields of the first object; when that was committed, nanoseconds."""
    item = _items[0]
    item.votes += 1
    item.status = f"status {item.votes % 7}"
    return _committed(item.save)


def _save_all() -> int:
    # Nobody has it yet: a value that stays the same is no change.
    votes = _items[0].votes = _items[0].votes + 1000
    return _committed(lambda: tables.model_of("Item").objects.update(votes=votes))


def _committed(write: Callable[[], Any]) -> int:
    """Write, and tell when that was committed, before anything is sent to Redis; nanoseconds."""
    moments: list[int] = []
    with transaction.atomic():
        transaction.on_commit(lambda: moments.append(time.perf_counter_ns()))
        write()
    return moments[0]


def _publish(event_bytes: int) -> int:
    global _published
    _published += 1
    event = b'id: %d\ndata: {"number":%d,"text":"' % (_published, _published)
    start = time.perf_counter_ns()
    floor.client().publish(f"floor:{BENCH['redis']['db']}", event.ljust(event_bytes - 4, b".") + b'"}\n\n')
    return start
