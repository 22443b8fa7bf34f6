"""After changes that nothing could see."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, models

from diffs.errors import ConfigurationError
from diffs.registration import Registration, require
from diffs.store import Floors
from diffs.typing import AnyModel

from . import bulk
from .changes import Subject, concerned, parent_feeds
from .sending import send
from .transaction import record


def touch(subject: models.Model | type[models.Model], using: str = DEFAULT_DB_ALIAS) -> None:
    """Refuse the old cursors of an object or of a model, and of those who get their diffs as children.

    Call it after raw SQL, in the same transaction.

    Args:
        subject: an object of a registered model, or the model.
        using: the database alias whose commit it waits for.

    Raises:
        NotRegistered: the model has no diffs.
    """
    if isinstance(subject, type):
        floors = concerned(require(subject))
    else:
        floors = _of_object(require(subject.__class__), subject, using)
    record(using, (), floors)


def _of_object(registration: Registration, instance: AnyModel, using: str) -> Floors:
    if registration.parent_hook is not None:
        return concerned(registration)
    pk = bulk.pk_of(instance, registration.model)
    names = [parent.attname for parent in registration.parents]
    row = bulk.rows_of(bulk.unfiltered(registration.model, using), [pk], names).get(pk, {}) if names else {}
    parents = {
        # The row tells the parent that it has now, the object perhaps the one that it had.
        parent.name: (row.get(parent.attname), vars(instance).get(parent.attname))
        for parent in registration.parents
    }
    feeds = [registration.feed(pk), *parent_feeds(Subject(registration, using, pk, parents))]
    if registration.options.model_feed:
        feeds.append(registration.model_feed)
    return Floors(feeds)


def touch_everything(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Refuse all old cursors: the database was migrated or emptied."""
    floors = Floors(everything=True)
    try:
        record(using, (), floors)
    except ConfigurationError:
        # The outbox's own table isn't there yet, or not any more.
        send(using, (), floors)
