"""Writing instances one by one."""

from __future__ import annotations

import operator
import time
from typing import Any

from django.db import transaction

from benchmarks.project.models import contender

from . import floor, tables
from .timing import stopwatch

GROUPS = 10
STATUSES = ("open", "closed")
DRAIN_SECONDS = 30.0
POLL_SECONDS = 0.0005

_instances: list[Any] = []
_save = getattr(contender, "save", operator.methodcaller("save"))


def prepare(*, model: str, rows: int, fill: bool = True) -> None:
    """Load the rows that will be updated.

    Args:
        model: of which model.
        rows: how many.
        fill: insert them first.
    """
    if fill:
        if model == "Member":
            tables.fill(model="Group", rows=GROUPS)
        tables.fill(model=model, rows=rows)
    _instances[:] = tables.model_of(model).objects.order_by("pk")[:rows]


def update(*, evalsha: bool = False) -> dict[str, float]:
    """Change two fields of each instance and save it; microseconds for each.

    Args:
        evalsha: append by hand after each save.
    """
    tables.settle()
    with stopwatch() as watch:
        _update_all(evalsha)
    return watch.per(len(_instances))


def create(*, model: str, rows: int, evalsha: bool = False) -> dict[str, float]:
    """Insert instances one by one; microseconds for each.

    Args:
        model: of which model.
        rows: how many.
        evalsha: append by hand after each.
    """
    owner = tables.model_of(model)
    instances = [owner(**tables.values_of(model, number)) for number in range(rows)]
    tables.settle()
    with stopwatch() as watch:
        for instance in instances:
            _save(instance)
            if evalsha:
                floor.append(instance.pk)
    return watch.per(rows)


def update_in_one_transaction() -> dict[str, float]:
    """The same as `update` within one ``atomic()``, the commit included."""
    tables.settle()
    with stopwatch() as watch, transaction.atomic():
        _update_all(False)
    return watch.per(len(_instances))


def update_and_drain() -> dict[str, float]:
    """The same as `update`, and how long it takes until all diffs are in Redis, counted from the beginning, too."""
    tables.settle()
    expected = contender.recorded() + len(_instances)
    with stopwatch() as watch:
        started = time.perf_counter_ns()
        _update_all(False)
    wait_for(expected)
    drained = time.perf_counter_ns() - started
    return {**watch.per(len(_instances)), "drained": drained / len(_instances) / 1000}


def recorded() -> dict[str, int]:
    """How many changes the contender has on record."""
    return {"count": contender.recorded()}


def wait_for(count: int) -> None:
    """Wait until so many changes are on record.

    Raises:
        TimeoutError: they aren't for a long time.
    """
    deadline = time.monotonic() + DRAIN_SECONDS
    while contender.recorded() < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{contender.recorded()} of {count} changes are on record.")
        time.sleep(POLL_SECONDS)


def _update_all(evalsha: bool) -> None:
    for instance in _instances:
        instance.votes += 1
        instance.status = STATUSES[instance.votes % 2]
        _save(instance)
        if evalsha:
            floor.append(instance.pk)
