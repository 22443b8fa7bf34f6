"""``narrow=True``: a full save of a loaded object writes the columns that changed, and no others.

Django computes all values as ever (``pre_save``, so that ``auto_now`` and files are seen to), and those that are the
row's already are taken out just before the UPDATE. So whatever else a save does stays Django's: a row that is gone is
inserted again, whole.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from django.db import models

from diffs.registration import Registration
from diffs.typing import AnyField, AnyModel, AnyQuerySet

from . import tracking
from .columns import Column, column_of, columns_of


class Saving:
    """A ``save()`` that is under way.

    Args:
        instance: what is saved.
        is_full: whether no fields were named.
    """

    __slots__ = ("instance", "is_full", "uncommitted", "written")

    def __init__(self, instance: models.Model, is_full: bool) -> None:
        self.instance = instance
        self.is_full = is_full
        self.uncommitted: frozenset[Column] = frozenset()
        """The columns of files that were assigned and go to the storage with this save."""
        self.written: dict[type[models.Model], frozenset[Column]] = {}
        """By table the columns that were left to be written; other tables were written as Django does."""


_saving: ContextVar[Saving | None] = ContextVar("diffs_saving", default=None)


def _of(instance: models.Model) -> Saving | None:
    saving = _saving.get()
    return saving if saving is not None and saving.instance is instance else None


def concerning(kind: type[models.Model], table: type[models.Model], using: str) -> list[Registration]:
    """The registrations whose diffs tell what a write of one table of an object changes.

    Args:
        kind: the object's class.
        table: the model that the table belongs to: the object's, or one that it inherits from.
        using: the database alias.
    """
    meta: Any = kind._meta.concrete_model._meta  # type: ignore[union-attr]
    heirs = [model for model in (meta.model, *meta.all_parents) if issubclass(model, table)]
    found = [tracking.recorded(model, using) for model in heirs]
    return [registration for registration in found if registration is not None]


@functools.cache
def _is_asked_for(kind: type[models.Model], table: type[models.Model], using: str) -> bool:
    return any(registration.options.narrow for registration in concerning(kind, table, using))


def forget_narrowed() -> None:
    """Work out anew which saves are narrowed, because registrations changed."""
    _is_asked_for.cache_clear()


def is_narrowed(instance: models.Model, table: type[models.Model], using: str) -> bool:
    """Whether the save of this object that is under way writes nothing to a table but what changed."""
    saving = _of(instance)
    return (
        saving is not None
        and saving.is_full
        and not instance._state.adding
        and _is_asked_for(type(instance), table, using)
    )


def note_files(instance: models.Model) -> None:
    """Remember which files are about to go to the storage: afterwards it can't be told."""
    saving = _of(instance)
    if saving is not None:
        every = columns_of(type(instance)).all
        saving.uncommitted = frozenset(column for column in every if _is_uncommitted(instance, column))


def _is_uncommitted(instance: models.Model, column: Column) -> bool:
    if not isinstance(column.field, models.FileField) or column.attname not in instance.__dict__:
        return False
    file = getattr(instance, column.attname)
    return bool(file) and not getattr(file, "_committed", True)


def to_write(instance: models.Model, columns: Sequence[Column], using: str) -> frozenset[Column]:
    """Those of some columns that a narrowed save writes: they changed, or are set by every save."""
    saving = _of(instance)
    uncommitted = frozenset() if saving is None else saving.uncommitted
    changed = tracking.changed(instance, columns, tracking.known(instance, using))
    return frozenset(column for column in columns if column in changed or column.sets_itself or column in uncommitted)


def written_by(instance: models.Model) -> Mapping[type[models.Model], frozenset[Column]]:
    """By table the columns that the save under way of this object wrote, of tables that it didn't write whole."""
    saving = _of(instance)
    return {} if saving is None else saving.written


def patch_saves() -> Callable[[], None]:
    """Let Django write what changed, where a model asks for it.

    ``save`` is patched because only there it can be told whether the caller named fields: for an object with deferred
    ones Django itself names the others.

    Returns:
        What takes the patches back.
    """
    base: Any = models.Model
    save, do_update = base.save, base._do_update

    @functools.wraps(save)
    def save_noted(self: models.Model, *args: Any, **options: Any) -> None:
        named = args[3] if len(args) > 3 else options.get("update_fields")
        token = _saving.set(Saving(self, named is None))
        try:
            save(self, *args, **options)
        finally:
            _saving.reset(token)

    @functools.wraps(do_update)
    def do_update_narrowed(
        self: AnyModel,
        base_qs: AnyQuerySet,
        using: str,
        pk_val: Any,
        values: Sequence[tuple[AnyField, Any, Any]],
        update_fields: Any,
        forced_update: Any,
        *returning: Sequence[AnyField],
    ) -> Any:
        table, saving = base_qs.model, _of(self)
        if saving is not None and values and is_narrowed(self, table, using):
            chosen = to_write(self, [column_of(field) for field, _, _ in values], using)
            saving.written[table] = chosen
            if not chosen:
                return _is_there(base_qs.filter(pk=pk_val), *returning)
            values = [each for each in values if column_of(each[0]) in chosen]
        return do_update(self, base_qs, using, pk_val, values, update_fields, forced_update, *returning)

    base.save, base._do_update = save_noted, do_update_narrowed

    def undo() -> None:
        base.save, base._do_update = save, do_update

    return undo


def _is_there(rows: AnyQuerySet, returning: Sequence[AnyField] | None = None) -> Any:
    """What ``_do_update`` returns of a row that needs no writing: on Django 5.2 whether it is there.

    Args:
        rows: the row, or none.
        returning: on Django 6 the columns that an UPDATE would have given back.
    """
    if returning is None:
        return rows.exists()
    if returning:
        return list(rows.values_list(*[field.attname for field in returning])[:1])
    return [()] if rows.exists() else []
