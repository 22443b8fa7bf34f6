"""Deletions, cascades included, by the signals of each registered class and its proxies."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.base import DEFERRED
from django.db.models.signals import post_delete, pre_delete

from diffs.diff import DELETE

from .changes import Subject, entries, is_unrecorded
from .tracking import known, recorded, value_of
from .transaction import record

_ATTRIBUTE = "diffs_parents"


def connect(sender: type[models.Model]) -> None:
    """Record the deletions of a class's objects; connected with a sender, so that other models stay fast."""
    pre_delete.connect(_note_parents, sender=sender, dispatch_uid="diffs")
    post_delete.connect(_record_deletion, sender=sender, dispatch_uid="diffs")


def disconnect(sender: type[models.Model]) -> None:
    """Undo `connect`."""
    pre_delete.disconnect(sender=sender, dispatch_uid="diffs")
    post_delete.disconnect(sender=sender, dispatch_uid="diffs")


def _note_parents(sender: type[models.Model], instance: models.Model, using: str, **_: Any) -> None:
    """Find out which parents the row names, as long as it is there: the instance may hold others, or none."""
    registration = recorded(sender, using)
    if registration is None or not registration.parents:
        return
    names = [parent.attname for parent in registration.parents]
    row = known(instance)
    found = [value_of(row, name) for name in names]
    if DEFERRED in found:
        rows = models.QuerySet(registration.model, using=using).filter(pk=instance.pk)
        found = list(rows.values_list(*names).first() or ())
    instance._state.__dict__[_ATTRIBUTE] = found


def _record_deletion(sender: type[models.Model], instance: models.Model, using: str, **_: Any) -> None:
    registration = recorded(sender, using)
    if registration is None or is_unrecorded(registration, using):
        return
    found = instance._state.__dict__.pop(_ATTRIBUTE, ())
    parents = {parent.name: (value,) for parent, value in zip(registration.parents, found, strict=False)}
    subject = Subject(registration, using, instance._get_pk_val(registration.model._meta), parents, instance)
    record(using, entries(subject, DELETE, {}, {}))
