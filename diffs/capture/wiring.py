"""What registration puts into models and into Django, and takes out again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from django.db import models
from django.db.models.query import QuerySet
from django.db.models.sql.subqueries import UpdateQuery

from diffs.registration import Registration
from diffs.typing import AnyModel, AnyQuerySet

from . import bulk_updating, creating, deletes, links, narrowing, telling, updating
from .context import is_inside
from .saving import save_table_for
from .tracking import from_db_for, refresh_from_db_for
from .transaction import patch_commits

Undo = Callable[[], None]

# By our hooks what they stand for.
_originals: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

_undo_patches: list[Undo] = []
_undo_narrowing: list[Undo] = []
_hooked: dict[type[models.Model], list[Undo]] = {}
_reasons: dict[type[models.Model], set[Registration]] = {}


def install(registration: Registration) -> None:
    """Begin to capture a model's changes.

    Class attributes are set, signals connected, and Django's querysets patched with the first model.
    """
    if not _undo_patches:
        patches = (patch_commits, deletes.patch_collector, _patch_querysets, _patch_batches)
        _undo_patches.extend(patch() for patch in patches)
    if registration.options.narrow and not _undo_narrowing:
        _undo_narrowing.append(narrowing.patch_saves())
    _hook(registration.model, registration)
    for sender in _senders(registration.model):
        deletes.connect(sender)
    _forget()


def install_relations(registration: Registration) -> None:
    """Begin to capture the model's many-to-many tables; once all models are loaded."""
    for through in links.through_models(registration):
        _hook(through, registration)
    links.forget_links()


def uninstall(registration: Registration) -> None:
    """Undo `install` and `install_relations`."""
    for sender in _senders(registration.model):
        deletes.disconnect(sender)
    for model in [model for model, reasons in _reasons.items() if registration in reasons]:
        _reasons[model].discard(registration)
        if not _reasons[model]:
            del _reasons[model]
            for undo in _hooked.pop(model):
                undo()
    _forget()
    if not any(reason.options.narrow for reasons in _reasons.values() for reason in reasons):
        _undo(_undo_narrowing)
    if not _hooked:
        _undo(_undo_patches)


def _undo(patches: list[Undo]) -> None:
    while patches:
        patches.pop()()


def _forget() -> None:
    """Work out anew what depends on all registrations."""
    links.forget_links()
    narrowing.forget_narrowed()
    telling.forget_hearers()


def connect_proxy(model: type[models.Model]) -> None:
    """A proxy of a registered model has been defined: its objects' deletions have a sender of their own."""
    deletes.connect(model)


def _senders(model: type[models.Model]) -> list[type[models.Model]]:
    found = [model]
    for subclass in model.__subclasses__():
        if subclass._meta.proxy:
            found += _senders(subclass)
    return found


def _hook(model: AnyModel, registration: Registration) -> None:
    _reasons.setdefault(model, set()).add(registration)
    undone = _hooked.setdefault(model, [])
    if not undone:
        undone.append(_set(model, "_save_table", save_table_for(telling.save_table_for(_original(model._save_table)))))
        undone.append(_set(model, "from_db", from_db_for(_original(model.from_db))))
        undone.append(_set(model, "refresh_from_db", refresh_from_db_for(_original(model.refresh_from_db))))


def _original(function: Any) -> Any:
    """What stands behind a hook of ours: hooks of a class and its bases must not be stacked."""
    return _originals.get(getattr(function, "__func__", function), function)


def _set(model: type[models.Model], name: str, hook: Any) -> Undo:
    had = model.__dict__.get(name)
    _originals[getattr(hook, "__func__", hook)] = _original(getattr(model, name))
    setattr(model, name, hook)

    def undo() -> None:
        if had is None:
            delattr(model, name)
        else:
            setattr(model, name, had)

    return undo


def _patch_querysets() -> Undo:
    update, bulk_create, bulk_update = QuerySet.update, QuerySet.bulk_create, QuerySet.bulk_update

    @functools.wraps(update)
    def update_recorded(self: AnyQuerySet, **kwargs: Any) -> int:
        return update(self, **kwargs) if is_inside(self.model) else updating.update(update, self, kwargs)

    @functools.wraps(bulk_create)
    def bulk_create_recorded(
        self: AnyQuerySet,
        objs: Any,
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Any = None,
        unique_fields: Any = None,
    ) -> list[models.Model]:
        options: dict[str, Any] = {
            "batch_size": batch_size,
            "ignore_conflicts": ignore_conflicts,
            "update_conflicts": update_conflicts,
            "update_fields": update_fields and list(update_fields),
            "unique_fields": unique_fields and list(unique_fields),
        }
        return creating.bulk_create(bulk_create, self, list(objs), options)

    @functools.wraps(bulk_update)
    def bulk_update_recorded(self: AnyQuerySet, objs: Any, fields: Any, batch_size: int | None = None) -> int:
        return bulk_updating.bulk_update(bulk_update, self, tuple(objs), list(fields or ()), batch_size)

    QuerySet.update = update_recorded  # type: ignore[method-assign]
    QuerySet.bulk_create = bulk_create_recorded  # type: ignore[method-assign, assignment]
    QuerySet.bulk_update = bulk_update_recorded  # type: ignore[method-assign]

    def undo() -> None:
        QuerySet.update = update  # type: ignore[method-assign]
        QuerySet.bulk_create = bulk_create  # type: ignore[method-assign]
        QuerySet.bulk_update = bulk_update  # type: ignore[method-assign]

    return undo


def _patch_batches() -> Undo:
    """The one place where Django updates rows past the querysets: an ``on_delete`` of the project's own."""
    original = UpdateQuery.update_batch

    @functools.wraps(original)
    def update_batch(self: UpdateQuery, pk_list: list[Any], values: dict[str, Any], using: str) -> None:
        model = self.get_meta().model
        if updating.is_recorded(model, using):
            QuerySet(model, using=using).filter(pk__in=pk_list).update(**values)
        else:
            original(self, pk_list, values, using)

    UpdateQuery.update_batch = update_batch  # type: ignore[method-assign]

    def undo() -> None:
        UpdateQuery.update_batch = original  # type: ignore[method-assign]

    return undo
