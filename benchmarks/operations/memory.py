"""Changes of many rows, for what they take in Redis."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import Any

from django.core import serializers
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from redis import Redis

from benchmarks.project import shapes
from diffs.store import close_store

from . import tables

# Keys are as long as those of a table in use.
FIRST_PK = 1_000_000
STATUSES = ("ordered", "paid", "packed", "shipped", "delivered")
BATCH = 5000


def prepare(*, rows: int, created: bool) -> None:
    """Put rows into the empty table.

    Args:
        rows: how many.
        created: with a diff of each; else past whatever looks at models.
    """
    items = tables.model_of("Item")
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {items._meta.db_table}")
    if created:
        made = (items(pk=FIRST_PK + number, **shapes.item_values(number)) for number in range(rows))
        items.objects.bulk_create(made, batch_size=BATCH)
    else:
        tables.fill(model="Item", rows=rows)
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {items._meta.db_table} SET id = id + {FIRST_PK}")


def update(*, times: int) -> None:
    """Change two fields of every row, so many times."""
    for number in range(times):
        tables.model_of("Item").objects.update(**_change(number))


def leave() -> None:
    """Give the connections up, whose buffers would be counted."""
    close_store()


def store_as_the_original(*, redis: dict[str, Any], rows: int, times: int, created: bool) -> None:
    """Write the same changes by hand in the form in which the original django-diffs 0.1.16 stores them.

    Args:
        redis: the server, as redis-py is told.
        rows: how many.
        times: how often each changes.
        created: with one more for the creation.
    """
    items = tables.model_of("Item")
    instances = [items(pk=FIRST_PK + number, **shapes.item_values(number)) for number in range(rows)]
    fields = [field.name for field in items._meta.concrete_fields]
    changes: list[dict[str, Any]] = [{}] * created + [_change(number) for number in range(times)]
    with Redis(**redis) as client:
        for change in changes:
            pipeline = client.pipeline(transaction=False)
            for instance in instances:
                for name, value in change.items():
                    setattr(instance, name, value)
                data = serializers.serialize("json", [instance], fields=list(change or fields))
                member = json.dumps({"data": data, "created": not change}, cls=DjangoJSONEncoder)
                pipeline.zadd(f"diffs:Item-{instance.pk}", {member: time.time() * 1000})
            pipeline.execute()


def _change(number: int) -> dict[str, Any]:
    """New values of two fields."""
    return {"status": STATUSES[number % len(STATUSES)], "starts": shapes.START + dt.timedelta(hours=number + 1)}
