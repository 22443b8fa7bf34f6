"""An outbox in which much waits."""

from __future__ import annotations

import itertools

from django.db import connection

from benchmarks.project.models import contender
from diffs.capture import outbox
from diffs.capture.relay import relay as relay_rows
from diffs.codec import Encoder, new_nonce
from diffs.registration import require
from diffs.store import Entry, mark

from .timing import stopwatch

SAVES = 20

_numbers = itertools.count(1)


def fill(*, rows: int) -> None:
    """Let so many rows wait, each with a diff of one object, and load an object to save.

    Args:
        rows: how many.
    """
    feed = require(contender.Item).feed(1)
    member = Encoder("update", 0, new_nonce(), {"votes": 1, "status": "open"}).own()
    payload = outbox.encode([Entry(feed, member, mark(feed.name))], None)
    numbers = {
        "postgresql": "SELECT generate_series(1, %s)",
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s) SELECT i FROM n",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {outbox.TABLE} (payload) SELECT %s FROM ({numbers}) AS numbers",
            [payload, rows],
        )
        cursor.execute("ANALYZE")
    contender.Item.objects.bulk_create([contender.Item()])


def relay(*, batch: int) -> dict[str, float]:
    """Relay the oldest rows, and put as many in their place; microseconds for each.

    Args:
        batch: how many.
    """
    with stopwatch() as watch:
        relayed = relay_rows("default", limit=batch)
    fill(rows=batch)
    return watch.per(relayed.rows)


def save(*, batch: int) -> dict[str, float]:
    """Save an object some times while others' rows wait; microseconds for each."""
    item = contender.Item.objects.order_by("pk")[0]
    with stopwatch() as watch:
        for _ in range(SAVES):
            item.votes = next(_numbers)
            item.save(update_fields=["votes"])
    return watch.per(SAVES)


def backlog(*, batch: int) -> dict[str, float]:
    """Look how much waits; microseconds."""
    with stopwatch() as watch:
        outbox.backlog("default")
    return watch.per(1)
