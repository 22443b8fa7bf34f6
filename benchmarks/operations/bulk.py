"""Writing many rows by one operation."""

from __future__ import annotations

import itertools
from typing import Any

from django.db import connection

from . import tables
from .timing import stopwatch

MODEL = "Item"

_instances: list[Any] = []
_rounds = itertools.count(1)


def prepare(*, rows: int) -> None:
    """Insert rows and load them: those that will be updated."""
    tables.fill(model=MODEL, rows=rows)
    _instances[:] = tables.model_of(MODEL).objects.all()


def bulk_create(*, rows: int) -> dict[str, float]:
    """Insert rows at once; microseconds for each. They are removed again afterwards."""
    owner = tables.model_of(MODEL)
    instances = [owner(**tables.values_of(MODEL, number)) for number in range(rows)]
    tables.settle()
    with stopwatch() as watch:
        owner.objects.bulk_create(instances)
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {owner._meta.db_table} WHERE id > %s", [_instances[-1].pk if _instances else 0])
    return watch.per(rows)


def bulk_update() -> dict[str, float]:
    """Change two fields of each instance and write them at once; microseconds for each."""
    number = next(_rounds)
    for instance in _instances:
        instance.votes += 1
        instance.status = f"status {number}"
    tables.settle()
    with stopwatch() as watch:
        tables.model_of(MODEL).objects.bulk_update(_instances, ["votes", "status"])
    return watch.per(len(_instances))


def queryset_update() -> dict[str, float]:
    """Set two fields of all rows to the same values; microseconds for each."""
    number = next(_rounds)
    tables.settle()
    with stopwatch() as watch:
        updated = tables.model_of(MODEL).objects.update(votes=number, status=f"status {number}")
    return watch.per(updated)
