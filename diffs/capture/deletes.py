"""Deletions, cascades included, by the signals of each registered class and its proxies."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from django.db import connections, models
from django.db.models.deletion import Collector
from django.db.models.signals import post_delete

from diffs.conf import settings
from diffs.diff import DELETE
from diffs.registration import Registration
from diffs.typing import AnyModel

from . import bulk, links, versions
from .changes import Subject, concerned, entries, is_unrecorded
from .locking import locked, prepare
from .tracking import recorded
from .transaction import atomic_outside, gather, gathering, record

_ATTRIBUTE = "diffs_parents"

_passed_over: ContextVar[frozenset[Registration]] = ContextVar("diffs_passed_over", default=frozenset())


def connect(sender: type[models.Model]) -> None:
    """Record the deletions of a class's objects; connected with a sender, so that other models stay fast."""
    post_delete.connect(_record_deletion, sender=sender, dispatch_uid="diffs")


def disconnect(sender: type[models.Model]) -> None:
    """Undo `connect`."""
    post_delete.disconnect(sender=sender, dispatch_uid="diffs")


def _record_deletion(sender: type[models.Model], instance: models.Model, using: str, **_: Any) -> None:
    registration = recorded(sender, using)
    if registration is None or registration in _passed_over.get() or is_unrecorded(registration, using):
        return
    found = instance._state.__dict__.pop(_ATTRIBUTE, ())
    parents = {parent.name: (value,) for parent, value in zip(registration.parents, found, strict=False)}
    subject = Subject(registration, using, instance._get_pk_val(registration.model._meta), parents, instance)
    gather(using, entries(subject, DELETE, {}, {}))


def patch_collector() -> Callable[[], None]:
    """Let deletions record what no signal tells.

    While the rows are there, it is read which parents they name: the objects may be out of date. And
    ``m2m_changed`` is silent where a target is deleted, as is ``post_delete`` of tables that Django made itself.

    Returns:
        What takes the patch back.
    """
    collect, delete = Collector.collect, Collector.delete

    @functools.wraps(collect)
    def collect_prepared(self: Collector, objs: Any, source: Any = None, *args: Any, **options: Any) -> None:
        # SQLite's write lock is taken before Django looks for the objects: a model whose deletions nobody listens to
        # is deleted in one statement, one with listeners is read first. The admin's collector only looks what would go.
        is_deleting = type(self) is Collector and source is None
        if is_deleting and connections[self.using].in_atomic_block:
            model = objs.model if isinstance(objs, models.QuerySet) else next((type(each) for each in objs), None)
            if model is not None and recorded(model, self.using) is not None:
                prepare(self.using, model)
        collect(self, objs, source, *args, **options)

    @functools.wraps(delete)
    def delete_recorded(self: Collector) -> tuple[int, dict[str, int]]:
        if not versions.are_by_database():
            return _delete(self)
        with atomic_outside(self.using), gathering(self.using):
            return _delete(self)

    def _delete(self: Collector) -> tuple[int, dict[str, int]]:
        too_many = _too_many(self)
        table = links.deleted_table(self) or _child(self)
        if table is None and not too_many:
            return delete(self)
        with atomic_outside(self.using):
            if table is not None:
                prepare(self.using, table)
            with _passing_over(too_many, self.using), links.watching(self.using, links.deleted_owners(self)):
                _note_parents(self)
                return delete(self)

    Collector.collect = collect_prepared  # type: ignore[method-assign]
    Collector.delete = delete_recorded  # type: ignore[method-assign]

    def undo() -> None:
        Collector.collect = collect  # type: ignore[method-assign]
        Collector.delete = delete  # type: ignore[method-assign]

    return undo


def _too_many(collector: Collector) -> frozenset[Registration]:
    """The models of which more objects go at once than get diffs."""
    limit = settings.max_bulk_diffs
    found = (recorded(model, collector.using) for model, each in collector.data.items() if len(each) > limit)
    return frozenset(registration for registration in found if registration is not None)


@contextlib.contextmanager
def _passing_over(registrations: frozenset[Registration], using: str) -> Iterator[None]:
    """Deletions of these models get no diffs; old cursors are refused instead."""
    token = _passed_over.set(registrations)
    try:
        yield
    finally:
        _passed_over.reset(token)
    for registration in registrations:
        if not is_unrecorded(registration, using):
            record(using, (), concerned(registration))


def _child(collector: Collector) -> type[models.Model] | None:
    """A model whose diffs also go to parents, of which objects will be deleted."""
    return next((model for model, registration in _children(collector)), None)


def _children(collector: Collector) -> Iterator[tuple[type[models.Model], Registration]]:
    for model in collector.data:
        registration = recorded(model, collector.using)
        if registration is not None and registration.parents and registration not in _passed_over.get():
            yield model, registration


def _note_parents(collector: Collector) -> None:
    """Find out which parents the rows name, as long as they are there: one query for each model."""
    for model, registration in _children(collector):
        instances: Iterable[AnyModel] = collector.data[model]
        named = {bulk.pk_of(instance, registration.model): instance for instance in instances}
        names = [parent.attname for parent in registration.parents]
        found = bulk.rows_of(locked(bulk.unfiltered(registration.model, collector.using)), named, names)
        for pk, row in found.items():
            if pk in named:
                named[pk]._state.__dict__[_ATTRIBUTE] = [row[parent.attname] for parent in registration.parents]
