"""After changes that nothing could see."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, models

from diffs.registration import require
from diffs.store import Floors

from .changes import concerned
from .transaction import record


def touch(subject: models.Model | type[models.Model], using: str = DEFAULT_DB_ALIAS) -> None:
    """Refuse the old cursors of an object, or of a model with those who get its diffs as children.

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
        registration = require(type(subject))
        floors = Floors([registration.feed(subject._get_pk_val(registration.model._meta))])
        if registration.options.model_feed:
            floors.add(Floors([registration.model_feed]))
    record(using, (), floors)


def touch_everything(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Refuse all old cursors: the database was migrated or emptied."""
    record(using, (), Floors(everything=True))
