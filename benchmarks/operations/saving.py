"""Writing instances one by one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.db import transaction

from . import floor, tables
from .timing import stopwatch

GROUPS = 10
STATUSES = ("open", "closed")
# Of many sets, how many members there are: asked while a sender may be at work, so it must cost next to nothing.
COUNT = "local n = 0 for _, key in ipairs(KEYS) do n = n + redis.call('ZCARD', key) end return n"
DRAIN_SECONDS = 30.0

_instances: list[Any] = []


def prepare(*, model: str, rows: int) -> None:
    """Insert rows and load them: those that will be updated."""
    if model == "Member":
        tables.fill(model="Group", rows=GROUPS)
    tables.fill(model=model, rows=rows)
    _instances[:] = tables.model_of(model).objects.all()


def update(*, evalsha: bool = False) -> dict[str, float]:
    """Change two fields of each instance and save it; microseconds for each.

    Args:
        evalsha: append by hand after each save.
    """
    tables.settle()
    append = floor.append if evalsha else None
    with stopwatch() as watch:
        _save_all(append)
    return watch.per(len(_instances))


def create(*, model: str, rows: int, evalsha: bool = False) -> dict[str, float]:
    """Insert instances one by one; microseconds for each.

    Args:
        model: of which model.
        rows: how many.
        evalsha: append by hand after each.
    """
    tables.settle()
    owner = tables.model_of(model)
    instances = [owner(**tables.values_of(model, number)) for number in range(rows)]
    with stopwatch() as watch:
        if evalsha:
            for instance in instances:
                instance.save()
                floor.append(instance.pk)
        else:
            for instance in instances:
                instance.save()
    return watch.per(rows)


def update_in_one_transaction() -> dict[str, float]:
    """The same as `update` within one ``atomic()``, the commit included."""
    tables.settle()
    with stopwatch() as watch, transaction.atomic():
        _save_all(None)
    return watch.per(len(_instances))


def update_and_drain() -> dict[str, float]:
    """The same as `update`, and how long it takes until all diffs are in Redis, counted from the beginning, too."""
    tables.settle()
    server = floor.client()
    keys = list(server.scan_iter(match="*:feed:*", count=1000))
    count = server.register_script(COUNT)
    before = count(keys=keys) if keys else 0
    with stopwatch() as watch:
        started = time.perf_counter_ns()
        _save_all(None)
    deadline = time.monotonic() + DRAIN_SECONDS
    while True:
        # The first time there are no feeds yet.
        keys = keys or list(server.scan_iter(match="*:feed:*", count=1000))
        missing = before + len(_instances) - (count(keys=keys) if keys else 0)
        drained = time.perf_counter_ns() - started
        if not missing:
            break
        if time.monotonic() > deadline:
            raise TimeoutError(f"{missing} of {len(_instances)} diffs have not come to Redis.")
        time.sleep(0.0005)
        keys = keys if len(keys) == len(_instances) else []
    return {**watch.per(len(_instances)), "drained": drained / len(_instances) / 1000}


def _save_all(append: Callable[[Any], None] | None) -> None:
    for instance in _instances:
        instance.votes += 1
        instance.status = STATUSES[instance.votes % 2]
        instance.save()
        if append:
            append(instance.pk)
