"""What the database and the feeds hold at the end, for `account`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from diffs.codec import decode
from diffs.keys import parse_feed
from diffs.store import get_store
from diffs.store.cluster import Cluster
from diffs.store.lines import Lines

from .accounting import Noted, Told
from .app.models import Journal
from .operations import PARENTS

SETUP = "setup"
"""The actor of what was there before."""


def noted() -> list[Noted]:
    """What was committed."""
    return [Noted(*row) for row in Journal.objects.order_by("pk").values_list("pk", "token", "feed", "row")]


def told(rows: int) -> dict[str, list[Told]]:
    """What the feeds hold, also below their floors."""
    return {feed: list(_diffs_of(feed)) for feed in _feeds(rows)}


def floored(rows: int) -> list[str]:
    """The feeds whose floor was raised."""
    keys = get_store().keys
    return [feed for feed in _feeds(rows) if _ask("EXISTS", keys.floor(parse_feed(feed)))]


def _feeds(rows: int) -> list[str]:
    return ["order.row", *(f"order.row:{pk}" for pk in range(1, rows + 1)), *map("order.parent:{}".format, PARENTS)]


def _diffs_of(feed: str) -> Iterator[Told]:
    name = parse_feed(feed)
    for member in _ask("ZRANGE", get_store().keys.feed(name), 0, -1):
        change = decode(member)
        if change.actor != SETUP:
            pk = change.row.pk if change.row else int(name.pk or 0)
            is_parent = name.model == "order.parent" and change.row is None
            yield Told(change.id, -pk if is_parent else pk, str(change.actor), change.data.get("text"))


def _ask(*command: str | int) -> Any:
    """Send a command to the server of its key."""
    client = get_store().client
    (reply,) = (client if isinstance(client, Cluster) else Lines(client)).trip([command])
    if isinstance(reply, Exception):
        raise reply
    return reply
