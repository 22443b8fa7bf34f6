"""Bulk operations: ``update``, ``bulk_create`` and ``bulk_update`` of every queryset.

They are patched once, because nothing else sees all managers: ``_base_manager``, related managers, those of models in
other packages. What isn't registered costs two look-ups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models

from diffs.conf import settings
from diffs.registration import Registration
from diffs.store import Floors

from . import links, tracking, values
from .changes import concerned, is_unrecorded
from .context import inside
from .locking import locked, prepare
from .transaction import atomic_outside, record

Values = Mapping[models.Field, Any]


def written_registrations(model: type[models.Model], using: str) -> list[Registration]:
    """The registrations of a model and of those whose tables it shares: itself first, then its parents."""
    tables = (model, *model._meta.all_parents)
    found = (tracking.recorded(table, using) for table in tables)
    return list(dict.fromkeys(registration for registration in found if registration is not None))


def _recording(model: type[models.Model], using: str) -> list[Registration]:
    return [each for each in written_registrations(model, using) if not is_unrecorded(each, using)]


def _floors(registrations: Iterable[Registration]) -> Floors:
    floors = Floors()
    for registration in registrations:
        floors.add(concerned(registration))
    return floors


# --- update ----------------------------------------------------------------------------------------------------------


def _update(original: Callable[..., int], queryset: models.QuerySet, kwargs: dict[str, Any]) -> int:
    query = queryset.query
    if query.is_sliced or query.combinator or query.distinct_fields or not kwargs:
        return original(queryset, **kwargs)  # which says what is wrong
    queryset._for_write = True
    using = queryset.db
    model = queryset.model
    owners = links.links_of(model, using)
    try:
        fresh = {model._meta.get_field(name): value for name, value in kwargs.items() if name != "pk"}
    except FieldDoesNotExist:
        return original(queryset, **kwargs)
    if owners:
        return _update_links(original, queryset, kwargs, owners, fresh)
    registrations = _recording(model, using)
    if not registrations:
        return original(queryset, **kwargs)
    if "pk" in kwargs or any(getattr(field, "primary_key", False) for field in fresh):
        # Objects change their names: no diff can say so.
        with inside():
            rows = original(queryset, **kwargs)
        record(using, (), _floors(registrations))
        return rows
    with atomic_outside(using):
        prepare(using, model)
        return _RowsUpdate(original, queryset, kwargs, fresh, registrations).run()


def _update_links(
    original: Callable[..., int],
    queryset: models.QuerySet,
    kwargs: dict[str, Any],
    owners: Sequence[links.Link],
    fresh: Values,
) -> int:
    """Rows of a many-to-many table: their owners, and those that they get, change."""
    using = queryset.db
    with atomic_outside(using):
        prepare(using, queryset.model)
        concerned_owners = {}
        for link in owners:
            found = set(queryset.order_by().values_list(link.source.attname, flat=True))
            if link.source in fresh:
                found.add(values.normal(link.source, fresh[link.source]))
            concerned_owners[link] = found
        with links.watching(using, concerned_owners, queryset.model), inside():
            return original(queryset, **kwargs)


class _RowsUpdate:
    """One ``update()``: the rows are read and locked, exactly those are written, each gets a diff."""

    def __init__(
        self,
        original: Callable[..., int],
        queryset: models.QuerySet,
        kwargs: dict[str, Any],
        fresh: Values,
        registrations: Sequence[Registration],
    ) -> None:
        self._original = original
        self._queryset = queryset
        self._kwargs = kwargs
        self._fresh = fresh
        self._registrations = registrations
        self._using = queryset.db

    def run(self) -> int:
        rows = self._read_rows()
        if rows is None or len(rows) > settings.max_bulk_diffs:
            with inside():
                updated = self._original(self._queryset, **self._kwargs)
            if updated:
                record(self._using, (), _floors(self._registrations))
            return updated
        if not rows:
            # Nothing to write; Django is still asked, for its errors.
            with inside():
                return self._original(self._queryset.none(), **self._kwargs)
        with inside():
            updated = self._original(self._queryset._chain().filter(pk__in=list(rows)), **self._kwargs)
        made = _update_entries(self._registrations, self._using, rows, self._fresh, exact=updated == len(rows))
        if made:
            record(self._using, made)
        self._queryset._result_cache = None
        return updated

    def _read_rows(self) -> dict[Any, _Known] | None:
        """The rows that will be written, by primary key; one more than diffs are made for is enough."""
        queryset = self._queryset._chain().order_by()
        query = queryset.query
        is_plain = len(query.alias_map) <= 1 and not query.distinct and query.group_by is None and not query.extra
        if not is_plain:
            # Locks go with plain rows only; Django's own UPDATE has such conditions in a subquery, too.
            queryset = models.QuerySet(self._queryset.model, using=self._using).filter(pk__in=queryset.values("pk"))
        query = queryset.query
        query.clear_select_clause() if is_plain else None
        return _read(locked(queryset), self._registrations, self._fresh, settings.max_bulk_diffs + 1)


class _Known:
    """A row as it was read: attribute names to values, and the object where hooks want it."""

    __slots__ = ("instance", "row")

    def __init__(self, row: Mapping[str, Any], instance: models.Model | None) -> None:
        self.row = row
        self.instance = instance


def _read(
    queryset: models.QuerySet, registrations: Sequence[Registration], fields: Iterable[models.Field], limit: int
) -> dict[Any, _Known]:
    meta = queryset.model._meta
    names = {meta_field.attname: None for meta_field in meta.pk_fields}
    names.update((field.attname, None) for field in fields if field.concrete)
    for registration in registrations:
        names.update((field.attname, None) for field in registration.model._meta.pk_fields)
        names.update((parent.attname, None) for parent in registration.parents)
    if any(registration.needs_instance for registration in registrations):
        instances = models.QuerySet(queryset.model, queryset.query, using=queryset.db)[:limit]
        return {
            instance.pk: _Known({name: instance.__dict__[name] for name in names}, instance)
            for instance in instances.iterator(chunk_size=2000)
        }
    rows = queryset.values_list(*names)[:limit]
    columns = list(names)
    key = [columns.index(field.attname) for field in meta.pk_fields]
    return {
        row[key[0]] if len(key) == 1 else tuple(row[index] for index in key): _Known(
            dict(zip(columns, row, strict=True)), None
        )
        for row in rows
    }
