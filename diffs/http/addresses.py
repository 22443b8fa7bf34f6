"""What addresses name: models and primary keys, as text that a path can carry."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import models

from diffs import pks
from diffs.codec import Row
from diffs.errors import NoModelFeed
from diffs.keys import FeedName
from diffs.registration import Registration, find_label, require
from diffs.store import FeedRef

from .problems import Problem


class Target(NamedTuple):
    """A feed that can be pulled."""

    registration: Registration
    pk: Any
    """The object's primary key as a Python value; ``None`` for a model feed."""
    feed: FeedRef
    own: Row | None
    """The object as it stands in diffs; ``None`` for a model feed."""


def find_target(label: str, pk_text: str | None) -> Target:
    """The feed of a name.

    Args:
        label: the model, ``"polls.question"``.
        pk_text: the primary key's text; ``None`` for the model feed.

    Raises:
        Problem: 404. What isn't there and what isn't registered look the same.
    """
    registration = find_label(label)
    try:
        if registration is None:
            raise ValueError("No such model.")
        if pk_text is None:
            return Target(registration, None, registration.model_feed, None)
        if "\0" in pk_text:
            raise ValueError("Not every database takes such a primary key.")
        pk = pks.parse(registration.model, pk_text)
        own = Row(registration.label, pks.wire(registration.model, pk))
        return Target(registration, pk, registration.feed(pk), own)
    except (NoModelFeed, ValueError):
        raise Problem(404, "There is no such feed.") from None


def name_feed(subject: models.Model | type[models.Model], pk: Any = None) -> tuple[Registration, FeedName]:
    """The feed that server code means.

    Args:
        subject: an object, or with `pk` its model; a model alone for the model feed.
        pk: the object's primary key, so that it needn't be loaded.

    Raises:
        NotRegistered: the model has no diffs.
        NoModelFeed: the model keeps no feed of all its objects.
        ValueError: the object has no primary key, or `pk` can't be one.
    """
    if isinstance(subject, models.Model):
        # Not type(): the object may be a lazy one, as request.user is.
        registration = require(subject.__class__)
        return registration, registration.feed(subject.pk).name
    registration = require(subject)
    return registration, (registration.model_feed if pk is None else registration.feed(pk)).name
