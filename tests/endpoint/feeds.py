"""Feeds of the tests, filled without any model being saved."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import models

from diffs import pks
from diffs.codec import Encoder, Row, diff_id
from diffs.conf import settings
from diffs.cursor import Cursor
from diffs.diff import Action
from diffs.registration import require
from diffs.store import Entry, Read, Store, Stored, get_store
from diffs.store.connection import connect

_nonces = itertools.count(1)


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
        omitted: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Append a diff, with an id of its own.

        Args:
            child: model and primary key of the object that changed, where it isn't the feed's own.
            omitted: fields that have changed as well.

        Returns:
            What the endpoint is to give for it, without the actor.
        """
        nonce = next(_nonces).to_bytes(4, "big")
        encoder = Encoder(action, version, nonce, data or {}, actor, omitted)
        model, pk = child or (self.registration.model, self.pk)
        row = Row(model._meta.label_lower, pks.wire(model, pk))
        self.append_member(encoder.foreign(row) if child else encoder.own())
        return {
            "id": diff_id(version, nonce),
            "action": action,
            "model": row.model,
            "pk": row.pk,
            "timestamp": self.stored()[-1].position,
            "version": version if version < 2**53 else str(version),
            "data": dict(data or {}),
            **({"omitted": list(omitted)} if omitted else {}),
        }

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
        store = Store(connect(), settings.prefix, now=lambda: str(past))
        try:
            return str(store.read_one(Read(feed=self.ref, mode="cursor")).cursor)
        finally:
            store.close()

    @property
    def path(self) -> str:
        """Where it can be pulled; only for primary keys that need no quoting."""
        return f"/diffs/{self.registration.label}/" + ("" if self.pk is None else f"{self.pk}/")
