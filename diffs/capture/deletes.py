"""Deletions, cascades included, by the signals of each registered class and its proxies."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.db import connections, models
from django.db.models.base import DEFERRED
from django.db.models.deletion import Collector
from django.db.models.signals import post_delete, pre_delete

from diffs.diff import DELETE

from .changes import Subject, entries, is_unrecorded
from .locking import prepare
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
    row = known(instance, using)
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


def patch_collection() -> Callable[[], None]:
    """Let deletions in a transaction take SQLite's write lock before Django looks for the objects.

    A model whose deletions nobody listens to is deleted in one statement; one with listeners is read first.

    Returns:
        What takes the patch back.
    """
    original = Collector.collect

    @functools.wraps(original)
    def collect(self: Collector, objs: Any, source: Any = None, *args: Any, **options: Any) -> None:
        # The admin's collector only looks what would go.
        is_deleting = type(self) is Collector and source is None
        if is_deleting and connections[self.using].in_atomic_block:
            model = objs.model if isinstance(objs, models.QuerySet) else next((type(each) for each in objs), None)
            if model is not None and recorded(model, self.using) is not None:
                prepare(self.using, model)
        original(self, objs, source, *args, **options)

    Collector.collect = collect  # type: ignore[method-assign]

    def undo() -> None:
        Collector.collect = original  # type: ignore[method-assign]

    return undo
