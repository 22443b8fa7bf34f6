"""Writes of one object: around ``_save_table``, after the write and before ``post_save``, fixtures included."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from django.db import DatabaseError, models
from django.db.models.base import DEFERRED

from diffs.diff import CREATE, UPDATE
from diffs.errors import ConfigurationError
from diffs.registration import Registration
from diffs.store import Entry

from . import links, telling, tracking, values, versions
from .changes import Subject, concerned, entries, is_unrecorded, own_entries
from .columns import Column, columns_of, computed_from, local_columns, shown
from .tracking import known, recorded, value_of
from .transaction import atomic_outside, in_transaction, record


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

        def save() -> bool:
            if links.links_of(written, alias):
                with links.watching_instance(self, written, alias):
                    updated = original(self, raw, cls, force_insert, force_update, using, update_fields)
            else:
                updated = original(self, raw, cls, force_insert, force_update, using, update_fields)
            try:
                _saved(_Write(self, written, raw, updated, alias, update_fields))
            except Exception:
                # What a transaction that has failed wrote is rolled back.
                with contextlib.suppress(DatabaseError, ConfigurationError):
                    _refuse(written, alias)
                raise
            return updated

        if versions.are_by_database() and recorded(written, alias) is not None:
            # The row stays locked until the change has its version.
            with atomic_outside(alias):
                return save()
        return save()

    return _save_table


class _Write:
    """One write of one table."""

    __slots__ = (
        "before", "changed", "columns", "every", "instance", "is_last", "model", "parents_before", "raw", "told",
        "update_fields", "updated", "using",
    )  # fmt: skip

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

        self.every = columns_of(model)
        self.columns: Sequence[Column] = self.every.all
        """The columns that this write, with those of the parents' tables before it, may have changed."""
        if raw or (updated and update_fields is not None):
            self.columns = self._only(update_fields)
        self.before: Mapping[str, Any] = known(instance, using) if updated else {}
        """What the row held, as far as that is known."""
        self.changed: Mapping[Column, Any] = tracking.changed(instance, self.columns, self.before) if updated else {}
        """The columns that hold something else than before, with what that was, `DEFERRED` where it isn't known."""
        self.told = self.changed
        """Those that a diff tells of."""
        self.parents_before: Mapping[str, Any] = {}
        """By attribute names the parents that the row had, where the object wasn't relied on for them."""

    def _only(self, update_fields: Collection[str] | None) -> Sequence[Column]:
        columns = local_columns(self.model) if self.raw else self.columns
        if not self.updated or update_fields is None:
            return columns
        names = set(update_fields)
        named = [column for column in columns if column.name in names or column.attname in names]
        return [*named, *computed_from(named, columns)]


def _saved(write: _Write) -> None:
    registration = recorded(write.model, write.using)
    made: list[Entry] = []
    if registration is not None and not is_unrecorded(registration, write.using):
        if registration.tells_all_written and write.updated:
            write.parents_before = telling.parents_before(write.instance, is_last=write.is_last)
            write.told = telling.written(write.instance, write.columns, write.before, write.changed)
        made = _entries(registration, write)
    if not made and (not write.is_last or (write.updated and not write.changed)):
        return
    handover = record(write.using, made) if made or in_transaction(write.using) else None
    if write.is_last:
        # What hasn't changed is remembered already.
        written = write.changed if write.updated else write.columns
        tracking.remember(write.instance, written, write.using, handover, write.before)


def _refuse(model: type[models.Model], using: str) -> None:
    """Something of the project's failed behind the write, which may be committed all the same."""
    registration = recorded(model, using)
    if registration is not None:
        record(using, (), concerned(registration))


def _entries(registration: Registration, write: _Write) -> list[Entry]:
    pk = write.instance._get_pk_val(registration.model._meta)
    action = UPDATE if write.updated else CREATE
    if registration.is_simple:
        plain = _plain_values(write)
        if plain is not None:
            return own_entries(registration, write.using, pk, action, plain)
    dirty = _dirty(registration, write)
    if write.updated and not dirty:
        return []
    held = write.instance.__dict__
    fresh = {column: held.get(column.attname, DEFERRED) for column in dirty}
    if write.raw:
        # A fixture writes one table alone: for those of the parents the instance has nothing but defaults.
        fresh.update((column, DEFERRED) for column in dirty if column not in write.columns)
    parents = _present_parents(registration, write) if registration.parents else {}
    _read_back(write, registration, pk, fresh, parents)
    feeds = {
        parent.name: (parents[parent.name], _parent_before(write, parent.attname)) for parent in registration.parents
    }
    subject = Subject(registration, write.using, pk, feeds, write.instance)
    return entries(subject, action, fresh, dirty)


def _plain_values(write: _Write) -> Mapping[Column, Any] | None:
    """What was written, as far as it differs; ``None`` where the row may hold something else than the instance."""
    if write.raw or write.every.has_generated:
        return None
    held = write.instance.__dict__
    found = {}
    for column in write.told if write.updated else write.columns:
        value = found[column] = held.get(column.attname, DEFERRED)
        if type(value) not in column.kinds and not column.is_plain(value):
            return None
    return found


def _present_parents(registration: Registration, write: _Write) -> dict[str, Any]:
    """The foreign keys that stand in the row now: what was written, else what was there."""
    columns = write.told if registration.tells_all_written and write.updated else write.columns
    written = {column.attname for column in columns}
    return {
        parent.name: write.instance.__dict__.get(parent.attname, DEFERRED)
        if parent.attname in written
        else _parent_before(write, parent.attname)
        for parent in registration.parents
    }


def _parent_before(write: _Write, attname: str) -> Any:
    return write.parents_before.get(attname, value_of(write.before, attname))


def _dirty(registration: Registration, write: _Write) -> Mapping[Column, Any]:
    """The columns for the diff, with what they held."""
    may_show = shown(registration)
    if not write.updated:
        return {column: DEFERRED for column in may_show if not column.field.many_to_many}
    dirty = write.told
    if registration.has_own_detection:
        own = write.instance.get_dirty_fields(check_relationship=True)  # type: ignore[attr-defined]
        found = {column: own[name] for column in write.columns for name in (column.name, column.attname) if name in own}
        if registration.tells_all_written:
            # It only says what that was before.
            found = {column: found.get(column, old) for column, old in dirty.items()}
        dirty = found
    if write.every.has_generated:
        # A field that may be shown can be computed from one that may not.
        computed = computed_from(dirty, write.columns)
        dirty = {**{column: value_of(write.before, column.attname) for column in computed}, **dirty}
    return {column: old for column, old in dirty.items() if column in may_show}


def _read_back(
    write: _Write,
    registration: Registration,
    pk: Any,
    fresh: dict[Column, Any],
    parents: dict[str, Any],
) -> None:
    """Ask the database for what only it knows, without touching the instance."""
    unknown: dict[str, Column] = {
        column.attname: column
        for column, value in fresh.items()
        if not column.is_plain(value) and _must_be_read(write, column, value)
    }
    if not unknown and not parents:
        return
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
    for column in [column for column, value in fresh.items() if value is DEFERRED or values.is_expression(value)]:
        del fresh[column]


def _must_be_read(write: _Write, column: Column, value: Any) -> bool:
    return value is DEFERRED or column.must_be_read(value, write.using) or (column.is_generated and write.updated)
