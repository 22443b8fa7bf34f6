"""Feeds of the tests, filled without any model being saved."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from django.db import models

from diffs import pks
from diffs.codec import Encoder, Row, diff_id
from diffs.conf import settings
from diffs.cursor import Cursor
from diffs.diff import Action
from diffs.registration import require
from diffs.store import Entry, Read, Store, Stored, get_store

NONCE = b"\1\2\3\4"
"""With it a diff's id is known beforehand."""

WIRE_NAMES = ("id", "action", "model", "pk", "timestamp", "version", "data")


class Feed:
    """A feed, and what was put into it.

    Args:
        model: a registered model.
        pk: the object's primary key; ``None`` for the model feed.
    """

    def __init__(self, model: type[models.Model], pk: Any = None) -> None:
        self.registration = require(model)
        self.pk = pk
        self.ref = self.registration.model_feed if pk is None else self.registration.feed(pk)
        self.name = str(self.ref.name)

    def append(
        self,
        action: Action = "update",
        data: Mapping[str, Any] | None = None,
        *,
        version: int = 7,
        actor: str | None = None,
        child: tuple[type[models.Model], Any] | None = None,
        label: str | None = None,
    ) -> dict[str, Any]:
        """Append a diff.

        Args:
            child: model and primary key of another object that it is a change of.
            label: what the diff names as that object's model.

        Returns:
            What the endpoint is to give for it, without the actor.
        """
        encoder = Encoder(action, version, NONCE, data or {}, actor)
        if child is None and self.pk is not None:
            row = Row(self.registration.label, pks.wire(self.registration.model, self.pk))
            self.append_member(encoder.own())
        else:
            model, pk = child or (self.registration.model, None)
            row = Row(label or model._meta.label_lower, pks.wire(model, pk))
            self.append_member(encoder.foreign(row))
        wire_version = version if version < 2**53 else str(version)
        values = (diff_id(version, NONCE), action, row.model, row.pk, self.stored()[-1].position, wire_version)
        return dict(zip(WIRE_NAMES, (*values, dict(data or {})), strict=True))

    def append_member(self, member: bytes) -> None:
        """Append bytes."""
        get_store().append([Entry(self.ref, member)])

    def stored(self) -> list[Stored]:
        """All that it holds."""
        return get_store().read_one(Read(feed=self.ref, limit=10_000)).stored

    def now(self) -> Cursor:
        """A cursor of now."""
        return get_store().read_one(Read(feed=self.ref, mode="cursor")).cursor

    def aged_cursor(self, *, seconds: int) -> str:
        """A cursor that was handed out a while ago."""
        past = time.time_ns() // 1000 - seconds * 1_000_000
        store = Store(get_store().client, settings.prefix, now=lambda: str(past))
        return str(store.read_one(Read(feed=self.ref, mode="cursor")).cursor)

    @property
    def path(self) -> str:
        """Where it can be pulled; only for primary keys that need no quoting."""
        return f"/diffs/{self.registration.label}/" + ("" if self.pk is None else f"{self.pk}/")
