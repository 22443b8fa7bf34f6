"""``QuerySet.bulk_update()``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.base import DEFERRED

from diffs.conf import settings
from diffs.diff import UPDATE
from diffs.registration import Registration
from diffs.store import Entry
from diffs.typing import AnyField, AnyQuerySet

from . import bulk, links, tracking
from .columns import Column, column_of
from .context import inside
from .locking import prepare
from .transaction import atomic_outside, record


def bulk_update(
    original: Callable[..., int],
    queryset: AnyQuerySet,
    objs: bulk.Objects,
    names: Collection[str],
    batch_size: int | None,
) -> int:
    """Update objects, and record it.

    Args:
        original: Django's ``QuerySet.bulk_update``.
        queryset: whose model.
        objs: what to update.
        names: the fields to write.
        batch_size: handed on.
    """
    queryset._for_write = True
    using, model = queryset.db, queryset.model
    registrations = bulk.recording(model, using)
    tables = links.links_of(model, using)
    try:
        fields = [model._meta.get_field(name) for name in names]
    except FieldDoesNotExist:
        fields = []
    is_possible = all(field.concrete and not field.many_to_many for field in fields) and all(
        isinstance(obj, models.Model) for obj in objs
    )
    if not objs or not fields or not is_possible:
        return original(queryset, objs, names, batch_size=batch_size)  # which says what is wrong
    if not (registrations or tables):
        updated = original(queryset, objs, names, batch_size=batch_size)
        _forget(objs, fields, using)
        return updated
    with atomic_outside(using), links.watching_rows(queryset, tables, objs):
        before = _rows_before(model, using, registrations, objs, fields)
        with inside(model):
            updated = original(queryset, objs, names, batch_size=batch_size)
        _record_update(model, using, registrations, before, [column_of(field) for field in fields], updated)
        if updated != len(objs):
            _forget(objs, fields, using)
        return updated


def _forget(objs: bulk.Objects, fields: Sequence[AnyField], using: str) -> None:
    """Which of these rows were written isn't known, or not recorded."""
    attnames = {field.attname for field in fields}
    for obj in objs:
        tracking.forget(obj, attnames, using)


def _rows_before(
    model: type[models.Model],
    using: str,
    registrations: Sequence[Registration],
    objs: bulk.Objects,
    fields: Iterable[AnyField],
) -> dict[Any, bulk.Known]:
    """What the rows hold, as far as the objects know; parents that they don't know are asked for, in one query."""
    parents = {parent.attname for registration in registrations for parent in registration.parents}
    wanted = parents.union(field.attname for field in fields)
    pk_names = {name for registration in registrations for name in bulk.pk_names(registration.model)}
    found: dict[Any, bulk.Known] = {}
    for obj in objs:
        known = tracking.known(obj, using)
        row = {name: tracking.value_of(known, name) for name in wanted if name in known}
        found.setdefault(bulk.pk_of(obj), bulk.Known({**row, **bulk.held(obj, pk_names)}, obj))
    unknown = [pk for pk, known in found.items() if not parents <= known.row.keys()]
    if unknown:
        prepare(using, model)
        for pk, row in bulk.rows_of(bulk.unfiltered(model, using), unknown, parents).items():
            found[pk] = found[pk]._replace(row={**found[pk].row, **row})
    return found


def _record_update(
    model: type[models.Model],
    using: str,
    registrations: Sequence[Registration],
    before: Mapping[Any, bulk.Known],
    columns: Sequence[Column],
    updated: int,
) -> None:
    written = bulk.with_generated(model, columns)
    made: list[Entry] = []
    floors = None
    if len(before) > settings.max_bulk_diffs:
        floors = bulk.floors_of(registrations)
    elif registrations:
        writing = bulk.Writing(model, using, registrations, UPDATE, only_changed=False)
        if updated == len(before):
            rows = {pk: bulk.attributes(known.instance, written) for pk, known in before.items()}
        else:
            rows = _rows_written(model, using, before, written)
        made = writing.entries(_seen_by_hooks(model, using, registrations, before, rows), rows.__getitem__)
    handover = record(using, made, floors)
    for known in before.values():
        if known.instance is not None:
            tracking.remember(known.instance, written, using, handover)


def _seen_by_hooks(
    model: type[models.Model],
    using: str,
    registrations: Iterable[Registration],
    before: Mapping[Any, bulk.Known],
    written: Collection[Any],
) -> dict[Any, bulk.Known]:
    """The rows written; with whole objects where there are hooks, as those at hand may hold what is written only."""
    if not bulk.needs_instances(registrations):
        return {pk: before[pk] for pk in written}
    whole = {bulk.pk_of(instance): instance for instance in bulk.objects_of(bulk.unfiltered(model, using), written)}
    return {pk: before[pk]._replace(instance=whole[pk]) for pk in written if pk in whole}


def _rows_written(
    model: type[models.Model], using: str, before: Mapping[Any, bulk.Known], written: Sequence[Column]
) -> dict[Any, dict[Column, Any]]:
    """What the rows hold, where some were not there or not of the queryset, and so were not written."""
    attnames = [column.attname for column in written]
    rows = bulk.rows_of(bulk.unfiltered(model, using), before, attnames)
    return {
        pk: {column: row[column.attname] for column in written}
        for pk, row in rows.items()
        if not any(_is_untouched(column, before[pk], row) for column in written)
    }


def _is_untouched(column: Column, before: bulk.Known, row: Mapping[str, Any]) -> bool:
    """Whether a column surely wasn't written: it holds what it held, and was given something else."""
    now = row[column.attname]
    given = vars(before.instance).get(column.attname, DEFERRED)
    return bool(now == before.row.get(column.attname, DEFERRED) and now != column.normal(given))
