"""Diffs that hold all that a save wrote, changed or not: with ``full_saves="all"``, and with ``narrow=True``.

An object that is out of date can write over what it never knew of. Who hears of everything that is written ends with
the database's values all the same. Parents hear of it whom the row has, or had, in the database: they are read there
before the write.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from django.db import models

from diffs.typing import AnyModel

from . import narrowing
from .columns import Column, local_columns
from .context import unrecorded
from .locking import locked, prepare
from .tracking import value_of
from .transaction import atomic_outside

_ATTRIBUTE = "diffs_parents"


def written(
    instance: models.Model, columns: Iterable[Column], before: Mapping[str, Any], changed: Mapping[Column, Any]
) -> dict[Column, Any]:
    """The columns that an update wrote, with what they held before, `DEFERRED` where it isn't known.

    Args:
        instance: the object that was saved.
        columns: those of its tables, or those that were named.
        before: what `tracking.known` gave.
        changed: those that hold something else than before.
    """
    narrowed = narrowing.written_by(instance)
    return {
        column: changed[column] if column in changed else value_of(before, column.attname)
        for column in columns
        if column in changed or _is_written(column, narrowed.get(column.field.model))
    }


def _is_written(column: Column, narrowed: Collection[Column] | None) -> bool:
    if narrowed is not None:
        return column in narrowed
    return column.field not in column.field.model._meta.pk_fields


def save_table_for(original: Callable[..., bool]) -> Callable[..., bool]:
    """A ``_save_table`` that first finds out what can't be told after it."""

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
        table = cls or type(self)
        alias = using or self._state.db or "default"
        attnames = _hearers_in(type(self), table, alias)
        if attnames is None:
            return original(self, raw, cls, force_insert, force_update, using, update_fields)
        narrowing.note_files(self)
        if attnames or raw:
            # What an earlier save left that failed.
            self._state.__dict__.pop(_ATTRIBUTE, None)
        if not (
            attnames
            and not force_insert
            and unrecorded() is None
            and _may_be_there(self, table, is_new=not (raw or force_update))
            and _writes(self, alias)
        ):
            return original(self, raw, cls, force_insert, force_update, using, update_fields)
        with atomic_outside(alias):
            self._state.__dict__[_ATTRIBUTE] = _read_parents(self, table, alias, attnames)
            return original(self, raw, cls, force_insert, force_update, using, update_fields)

    return _save_table


def parents_before(instance: models.Model, *, is_last: bool) -> Mapping[str, Any]:
    """By attribute names the parents that the row had before the write under way, where they were read.

    Args:
        instance: the object that was saved.
        is_last: whether none of its tables is still to be written; then they are forgotten.
    """
    state = instance._state.__dict__
    found: Mapping[str, Any] = (state.pop if is_last else state.get)(_ATTRIBUTE, {})
    return found


@functools.cache
def _hearers_in(kind: type[models.Model], table: type[models.Model], using: str) -> tuple[str, ...] | None:
    """The columns of a table that name parents who hear of all that is written; ``None`` where that isn't told."""
    telling = [each for each in narrowing.concerning(kind, table, using) if each.tells_all_written]
    if not telling:
        return None
    named = {parent.attname for registration in telling for parent in registration.parents}
    return tuple(column.attname for column in local_columns(table) if column.attname in named)


def forget_hearers() -> None:
    """Work out anew who hears of what, because registrations changed."""
    _hearers_in.cache_clear()


def _may_be_there(instance: AnyModel, table: AnyModel, *, is_new: bool) -> bool:
    """Whether Django will try an UPDATE."""
    meta = table._meta
    if not instance._is_pk_set(meta):
        return False
    if not (is_new and instance._state.adding):
        return True
    return not all(field.has_default() or field.has_db_default() for field in meta.pk_fields)


def _writes(instance: models.Model, using: str) -> bool:
    """Whether anything of the object will be written."""
    meta: Any = instance._meta.concrete_model._meta  # type: ignore[union-attr]
    return any(
        not narrowing.is_narrowed(instance, table, using) or narrowing.to_write(instance, local_columns(table), using)
        for table in (meta.model, *meta.all_parents)
    )


def _read_parents(
    instance: AnyModel, table: type[models.Model], using: str, attnames: Collection[str]
) -> Mapping[str, Any]:
    """Which parents the row has, read under a lock: the object may be out of date."""
    prepare(using, table)
    rows: Any = models.QuerySet(table, using=using).filter(pk=instance._get_pk_val(table._meta)).order_by()
    return locked(rows).values(*attnames).first() or {}
