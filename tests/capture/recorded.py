"""What was recorded, read from Redis as a whole: all feeds with all diffs, and the floors that were raised."""

from __future__ import annotations

from typing import Any

from django.db import models

from diffs import pks
from diffs.conf import settings
from diffs.feed import Feed
from diffs.keys import FeedName, Keyspace, parse_feed
from diffs.registration import require, window_of
from diffs.store import FeedRef, Floors, Read, get_store

Said = tuple[str, str, Any, dict[str, Any]]


def name(subject: models.Model) -> str:
    """The name of an object's feed."""
    return str(require(type(subject)).feed(subject.pk).name)


def said(action: str, subject: models.Model, /, **data: Any) -> Said:
    """What a diff of an object says: action, model, primary key and data."""
    meta = require(type(subject)).model._meta
    return action, meta.label_lower, pks.wire(meta.model, subject._get_pk_val(meta)), data


def feed(feed_name: str) -> Feed:
    """The feed of this name."""
    parsed = parse_feed(feed_name)
    return Feed(Read(feed=FeedRef(parsed, window_of(parsed.model))))


def saying(feed_name: str) -> list[Said]:
    """What the diffs of a feed say."""
    return [(diff.action, diff.model, diff.pk, dict(diff.data)) for diff in feed(feed_name)]


class Recording:
    """What is recorded from its beginning on."""

    def __init__(self) -> None:
        # Every shard gets its epoch, so that a floor which is raised later was raised by what is tested.
        get_store().raise_floors(Floors(everything=True))
        self._keys = Keyspace(settings.prefix)
        self._client = get_store().client
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        for feed_name in self._names():
            self._client.delete(self._keys.feed(feed_name))
        self._floors_before = self._floors()

    def feeds(self) -> dict[str, list[Said]]:
        """By the names of all feeds that hold any what their diffs say."""
        return {str(feed_name): saying(str(feed_name)) for feed_name in self._names()}

    def ids(self) -> dict[str, list[str]]:
        """By the names of all feeds their diffs' ids."""
        return {str(feed_name): [diff.id for diff in feed(str(feed_name))] for feed_name in self._names()}

    def floors(self) -> set[str]:
        """What was refused: feeds by their names, models as ``app.model:*``, everything as ``*``."""
        return {floor for floor, height in self._floors().items() if height != self._floors_before.get(floor)}

    def members(self) -> bytes:
        """All that is stored, as it stands there."""
        found = [self._client.zrange(self._keys.feed(feed_name), 0, -1) for feed_name in self._names()]
        return b"\n".join(member for members in found for member in members)

    def _names(self) -> list[FeedName]:
        keys = sorted(key.decode() for key in self._client.keys("*"))
        return [feed_name for key in keys if (feed_name := self._keys.feed_of_key(key)) is not None]

    def _floors(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for key in self._client.keys("*"):
            _, _, rest = key.decode().partition("}:")
            kind, _, feed_name = rest.partition(":")
            if kind == "floor":
                found[feed_name] = int(self._client.get(key))
            elif kind == "meta":
                for field, height in self._client.hgetall(key).items():
                    if field == b"floor":
                        found["*"] = max(int(height), found.get("*", 0))
                    elif field.startswith(b"floor:"):
                        floor = f"{field.decode().removeprefix('floor:')}:*"
                        found[floor] = max(int(height), found.get(floor, 0))
        return found
