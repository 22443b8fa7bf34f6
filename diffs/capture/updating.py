"""``QuerySet.update()``: the rows are read and locked, exactly those are written, each gets a diff."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models
from django.db.models.base import DEFERRED
from django.db.models.query import ModelIterable

from diffs.conf import settings
from diffs.registration import Registration
from diffs.typing import AnyField, AnyQuerySet

from . import bulk, links, values
from .columns import Column, column_of
from .context import inside
from .locking import locked, prepare
from .transaction import atomic_outside, record

Original = Callable[..., int]


def update(original: Original, queryset: AnyQuerySet, kwargs: Mapping[str, Any]) -> int:
    """Update rows, and record how.

    Args:
        original: Django's ``QuerySet.update``.
        queryset: which rows.
        kwargs: what it was called with.
    """
    queryset._for_write = True
    using, model = queryset.db, queryset.model
    fields = _fields(queryset, kwargs)
    if fields is None:
        return original(queryset, **kwargs)  # which says what is wrong
    registrations = bulk.recording(model, using)
    tables = links.links_of(model, using)
    if not registrations and not tables:
        return original(queryset, **kwargs)
    with atomic_outside(using):
        prepare(using, model)
        with _watching(queryset, tables, fields):
            if not registrations:
                return _plainly(original, queryset, kwargs)
            if any(fields.keys() & set(table._meta.pk_fields) for table in (model, *model._meta.all_parents)):
                # Objects change their names, and no diff can say so.
                return _unrecorded(original, queryset, kwargs, registrations)
            return _recorded(original, queryset, kwargs, fields, registrations)


def _fields(queryset: AnyQuerySet, kwargs: Mapping[str, Any]) -> dict[AnyField, Any] | None:
    """The columns that will be written; ``None`` where Django will refuse."""
    query = queryset.query
    if query.is_sliced or query.combinator or query.distinct_fields:
        return None
    meta = queryset.model._meta
    try:
        fields = {meta.get_field(name): value for name, value in kwargs.items()}
    except FieldDoesNotExist:
        return None
    if not all(getattr(field, "concrete", False) and not field.many_to_many for field in fields):
        return None
    return fields or None


def _watching(
    queryset: AnyQuerySet, tables: Sequence[links.Link], fields: Mapping[AnyField, Any]
) -> contextlib.AbstractContextManager[None]:
    """Where the rows are those of many-to-many fields: their owners, and those that they get, change."""
    owners = {}
    for link in tables:
        found = set(links.named_owners(link, queryset))
        if link.source in fields:
            found.add(values.normal(link.source, fields[link.source]))
        owners[link] = found
    return links.watching(queryset.db, owners) if owners else contextlib.nullcontext()


def _plainly(original: Original, queryset: AnyQuerySet, kwargs: Mapping[str, Any]) -> int:
    with inside(queryset.model):
        return original(queryset, **kwargs)


def _unrecorded(
    original: Original,
    queryset: AnyQuerySet,
    kwargs: Mapping[str, Any],
    registrations: Sequence[Registration],
) -> int:
    updated = _plainly(original, queryset, kwargs)
    if updated:
        record(queryset.db, (), bulk.floors_of(registrations))
    return updated


def _recorded(
    original: Original,
    queryset: AnyQuerySet,
    kwargs: Mapping[str, Any],
    fields: Mapping[AnyField, Any],
    registrations: Sequence[Registration],
) -> int:
    model, using = queryset.model, queryset.db
    limit = settings.max_bulk_diffs
    given = {column_of(field): value for field, value in fields.items()}
    written = bulk.with_generated(model, list(given))
    rows = _read(queryset, registrations, written, limit + 1)
    if len(rows) > limit:
        return _unrecorded(original, queryset, kwargs, registrations)
    if not rows:
        return _plainly(original, queryset.none(), kwargs)
    # SQLite has one writer: the condition still finds the same rows, and no list of them can be too long for it.
    chosen = queryset if connections[using].vendor == "sqlite" else queryset._chain().filter(pk__in=list(rows))
    updated = _plainly(original, chosen, kwargs)
    queryset._result_cache = None
    is_exact = updated == len(rows)
    fresh = {column: given.get(column, DEFERRED) if is_exact else DEFERRED for column in written}
    made = bulk.Writing(model, using, registrations).entries(rows, lambda pk: fresh)
    if made:
        record(using, made)
    return updated


def _read(
    queryset: AnyQuerySet,
    registrations: Sequence[Registration],
    written: Sequence[Column],
    limit: int,
) -> dict[Any, bulk.Known]:
    """The rows that will be written, by primary key, locked where the database can."""
    rows = locked(_lockable(queryset))[:limit]
    if bulk.needs_instances(registrations):
        return {instance.pk: bulk.Known(dict(instance.__dict__), instance, True) for instance in rows}
    attnames = [column.attname for column in written]
    for registration in registrations:
        attnames += bulk.pk_names(registration.model)
        attnames += [parent.attname for parent in registration.parents]
    return {pk: bulk.Known(row) for pk, row in bulk.rows_by_pk(rows, attnames).items()}


def _lockable(queryset: AnyQuerySet) -> AnyQuerySet:
    """The same rows as plain objects of one table.

    The conditions stay where they are, so that a row that somebody else changes meanwhile is checked again before it
    is locked. Joins and groups go into a subquery, which is what Django's own UPDATE does with them.
    """
    rows: AnyQuerySet = queryset._chain().order_by()
    query = rows.query
    if query.count_active_tables() > 1 or query.distinct or query.group_by is not None:
        return bulk.unfiltered(queryset.model, queryset.db).filter(pk__in=rows.values("pk"))
    rows._iterable_class = ModelIterable
    rows._fields = None
    query.clear_select_clause()
    query.clear_deferred_loading()
    query.default_cols = True
    return rows


def is_recorded(model: type[models.Model], using: str) -> bool:
    """Whether an update of a model's rows makes diffs."""
    return bool(bulk.recording(model, using) or links.links_of(model, using))
