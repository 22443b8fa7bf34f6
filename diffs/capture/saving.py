"""Writes of one object: around ``_save_table``, after the write and before ``post_save``, fixtures included."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

from django.db import models
from django.db.models.base import DEFERRED

from diffs.diff import CREATE, UPDATE
from diffs.registration import Registration
from diffs.store import Entry
from diffs.typing import AnyField

from . import links, tracking, values
from .changes import Subject, concerned, entries, is_unrecorded
from .tracking import known, recorded, value_of
from .transaction import in_transaction, record


def save_table_for(original: Callable[..., bool]) -> Callable[..., bool]:
    """A ``_save_table`` that records what it wrote."""

    @functools.wraps(original)
    def _save_table(
        self: models.Model,
        raw: bool = False,
        cls: type[models.Model] | None = None,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Collection[str] | None = None,
    ) -> bool:
        written = cls or type(self)
        alias = using or self._state.db or "default"
        with links.watching_instance(self, written, alias):
            updated = original(self, raw, cls, force_insert, force_update, using, update_fields)
        write = _Write(self, written, raw, updated, alias, update_fields)
        try:
            _saved(write)
        except Exception:
            _refuse(write)
            raise
        return updated

    return _save_table


class _Write:
    """One write of one table."""

    def __init__(
        self,
        instance: models.Model,
        model: type[models.Model],
        raw: bool,
        updated: bool,
        using: str,
        update_fields: Collection[str] | None,
    ) -> None:
        self.instance = instance
        self.model = model
        self.raw = raw
        self.updated = updated
        self.using = using
        self.update_fields = update_fields
        self.is_last = model._meta.concrete_model is type(instance)._meta.concrete_model

    @functools.cached_property
    def columns(self) -> Sequence[AnyField]:
        """The columns that this write, with those of the parents' tables before it, may have changed."""
        meta = self.model._meta
        fields = meta.local_concrete_fields if self.raw else meta.concrete_fields
        if not self.updated or self.update_fields is None:
            return list(fields)
        named = [field for field in fields if {field.name, field.attname} & set(self.update_fields)]
        return [*named, *values.computed_from(named, fields)]


def _saved(write: _Write) -> None:
    registration = recorded(write.model, write.using)
    made: list[Entry] = []
    if registration is not None and not is_unrecorded(registration, write.using):
        made = _entries(registration, write)
    if not made and (not write.is_last or _is_as_known(write)):
        return
    handover = None
    if made or in_transaction(write.using):
        handover = record(write.using, made)
    if write.is_last:
        tracking.remember(write.instance, write.columns, write.using, handover)


def _refuse(write: _Write) -> None:
    """A hook failed behind the write, which may be committed all the same."""
    registration = recorded(write.model, write.using)
    if registration is not None:
        record(write.using, (), concerned(registration))


def _is_as_known(write: _Write) -> bool:
    return write.updated and not tracking.changed(write.instance, write.columns, known(write.instance, write.using))


def _entries(registration: Registration, write: _Write) -> list[Entry]:
    instance = write.instance
    before = known(instance, write.using) if write.updated else {}
    dirty = _dirty(registration, write, before)
    if write.updated and not dirty:
        return []
    parents = _present_parents(registration, write, before)
    pk = instance._get_pk_val(registration.model._meta)
    # A fixture writes one table alone: for those of the parents the instance has nothing but defaults.
    held = {field: vars(instance).get(field.attname, DEFERRED) for field in write.columns}
    fresh = {field: held.get(field, DEFERRED) for field in dirty}
    _read_back(write, registration, pk, fresh, parents)
    feeds = {parent.name: (parents[parent.name], value_of(before, parent.attname)) for parent in registration.parents}
    subject = Subject(registration, write.using, pk, feeds, instance)
    return entries(subject, UPDATE if write.updated else CREATE, fresh, dirty if write.updated else fresh)


def _present_parents(registration: Registration, write: _Write, before: dict[str, Any]) -> dict[str, Any]:
    """The foreign keys that stand in the row now: what was written, else what was there."""
    written = {field.attname for field in write.columns}
    return {
        parent.name: write.instance.__dict__.get(parent.attname, DEFERRED)
        if parent.attname in written
        else value_of(before, parent.attname)
        for parent in registration.parents
    }


def _dirty(registration: Registration, write: _Write, before: dict[str, Any]) -> dict[AnyField, Any]:
    instance = write.instance
    if not write.updated:
        return dict.fromkeys(registration.fields, DEFERRED)
    if registration.has_own_detection:
        own = instance.get_dirty_fields(check_relationship=True)  # type: ignore[attr-defined]
        dirty = {field: own[name] for field in write.columns for name in (field.name, field.attname) if name in own}
    else:
        dirty = tracking.changed(instance, write.columns, before)
    # A field that may be shown can be computed from one that may not.
    for field in values.computed_from(dirty, write.columns):
        dirty.setdefault(field, value_of(before, field.attname))
    return {field: old for field, old in dirty.items() if field in registration.fields}


def _read_back(
    write: _Write,
    registration: Registration,
    pk: Any,
    fresh: dict[AnyField, Any],
    parents: dict[str, Any],
) -> None:
    """Ask the database for what only it knows, without touching the instance."""
    unknown: dict[str, AnyField] = {
        field.attname: field
        for field, value in fresh.items()
        if value is DEFERRED or values.must_be_read(field, value, write.using) or (field.generated and write.updated)
    }
    names = {
        parent.attname: parent.name
        for parent in registration.parents
        if parents[parent.name] is DEFERRED or values.is_expression(parents[parent.name])
    }
    wanted = [*{**unknown, **names}]
    if not wanted:
        return
    found = models.QuerySet(registration.model, using=write.using).filter(pk=pk).order_by().values_list(*wanted).first()
    for attname, value in zip(wanted, found or (), strict=False):
        if attname in unknown:
            fresh[unknown[attname]] = value
        if attname in names:
            parents[names[attname]] = value
    for field in [field for field, value in fresh.items() if value is DEFERRED or values.is_expression(value)]:
        del fresh[field]
