"""``bulk_create()`` and ``bulk_update()``."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.base import DEFERRED

from diffs.conf import settings
from diffs.diff import CREATE, UPDATE
from diffs.registration import Registration
from diffs.store import Entry
from diffs.typing import AnyField, AnyModel, AnyQuerySet

from . import bulk, links, tracking, values
from .context import inside
from .locking import locked, prepare
from .transaction import atomic_outside, record

Objects = Sequence[models.Model]

_CONDITIONS = 500


def bulk_create(
    original: Callable[..., list[models.Model]], queryset: AnyQuerySet, objs: Objects, options: Mapping[str, Any]
) -> list[models.Model]:
    """Insert objects, and record it.

    Args:
        original: Django's ``QuerySet.bulk_create``.
        queryset: whose model.
        objs: what to insert.
        options: by name what else it was called with.
    """
    queryset._for_write = True
    using, model = queryset.db, queryset.model
    registrations = bulk.recording(model, using)
    tables = links.links_of(model, using)
    if not objs or not (registrations or tables):
        return original(queryset, objs, **options)
    upsert = bool(options.get("ignore_conflicts") or options.get("update_conflicts"))
    with atomic_outside(using) if upsert or tables else contextlib.nullcontext(), _watching(queryset, tables, objs):
        recorder = _Creation(model, using, registrations, objs, options) if registrations else None
        with inside(model):
            created = original(queryset, objs, **options)
        if recorder is not None:
            recorder.record()
    return created


def bulk_update(
    original: Callable[..., int],
    queryset: AnyQuerySet,
    objs: Objects,
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
    if not objs or not fields or not all(field.concrete and not field.many_to_many for field in fields):
        return original(queryset, objs, names, batch_size=batch_size)
    if not (registrations or tables):
        updated = original(queryset, objs, names, batch_size=batch_size)
        _forget(objs, fields, using)
        return updated
    with atomic_outside(using), _watching(queryset, tables, objs):
        before = _rows_before(model, using, registrations, objs, fields)
        with inside(model):
            updated = original(queryset, objs, names, batch_size=batch_size)
        _record_update(model, using, registrations, before, fields, updated)
        if updated != len(objs):
            _forget(objs, fields, using)
        return updated


def _forget(objs: Objects, fields: Sequence[AnyField], using: str) -> None:
    """Which of these rows were written isn't known, or not recorded."""
    attnames = {field.attname for field in fields}
    for obj in objs:
        tracking.forget(obj, attnames, using)


def _watching(
    queryset: AnyQuerySet, tables: Sequence[links.Link], objs: Objects
) -> contextlib.AbstractContextManager[None]:
    """Where the objects are rows of many-to-many fields: their owners change."""
    if not tables:
        return contextlib.nullcontext()
    prepare(queryset.db, queryset.model)
    return links.watching(queryset.db, {link: links.source_values(link, objs, queryset.db) for link in tables})


def _attributes(instance: models.Model | None, fields: Iterable[AnyField]) -> dict[AnyField, Any]:
    return {field: vars(instance).get(field.attname, DEFERRED) for field in fields}


class _Creation:
    """One ``bulk_create()`` of a registered model."""

    def __init__(
        self,
        model: type[models.Model],
        using: str,
        registrations: Sequence[Registration],
        objs: Objects,
        options: Mapping[str, Any],
    ) -> None:
        self._model = model
        self._using = using
        self._registrations = registrations
        self._objs = objs
        self._columns = model._meta.concrete_fields
        self._ignores = bool(options.get("ignore_conflicts"))
        self._updates = bool(options.get("update_conflicts"))
        self._unique: Sequence[str] = self._attnames(options.get("unique_fields")) if self._updates else ()
        self._there = self._already_there() if self._ignores else frozenset()
        self._parents = self._parents_before(self._attnames(options.get("update_fields")))

    def record(self) -> None:
        """Record what has been inserted."""
        if len(self._objs) > settings.max_bulk_diffs:
            self._refuse()
        elif self._updates:
            self._record_upsert()
        elif self._ignores:
            self._record_insert([obj for obj in self._objs if self._has_pk(obj) and bulk.pk_of(obj) not in self._there])
        else:
            self._record_insert(self._objs)

    def _already_there(self) -> Collection[Any]:
        """Which rows exist: with ``ignore_conflicts`` nothing else tells which were inserted."""
        prepare(self._using, self._model)
        pks = [obj.pk for obj in self._objs if self._has_pk(obj)][: settings.max_bulk_diffs]
        rows = bulk.unfiltered(self._model, self._using).filter(pk__in=pks) if pks else None
        return frozenset(rows.values_list("pk", flat=True)) if rows is not None else frozenset()

    @staticmethod
    def _has_pk(obj: AnyModel) -> bool:
        return obj._is_pk_set() and not values.is_expression(obj.pk) and isinstance(obj.pk, Hashable)

    def _refuse(self) -> None:
        record(self._using, (), bulk.floors_of(self._registrations))

    def _record_insert(self, objs: Objects) -> None:
        known = [obj for obj in objs if self._has_pk(obj)]
        names = bulk.pk_names(self._model)
        rows = {bulk.pk_of(obj): bulk.Known(_columns_of(obj, names), obj) for obj in known}
        writing = bulk.Writing(self._model, self._using, self._registrations, CREATE, only_changed=False)
        # Whether an object was inserted or ignored, the row tells.
        unread = dict.fromkeys(self._columns, DEFERRED) if self._ignores else None
        made = writing.entries(rows, lambda pk: unread or _attributes(rows[pk].instance, self._columns))
        handover = record(self._using, made)
        if len(known) < len(self._objs) - len(self._there):
            self._refuse()  # the database didn't say which primary keys they got
        if not self._ignores:
            for obj in known:
                tracking.remember(obj, self._columns, self._using, handover)

    def _attnames(self, names: Iterable[str] | None) -> list[str]:
        meta: Any = self._model._meta
        try:
            return [meta.get_field(meta.pk.name if name == "pk" else name).attname for name in names or ()]
        except (FieldDoesNotExist, AttributeError):
            return []  # Django says what is wrong

    def _parents_before(self, written: Collection[str]) -> Mapping[Any, Mapping[str, Any]]:
        """The parents that rows may lose when they are written in place of an insert."""
        names = {parent.attname for registration in self._registrations for parent in registration.parents}
        if not (self._unique and names.intersection(written)) or len(self._objs) > settings.max_bulk_diffs:
            return {}
        prepare(self._using, self._model)
        found: dict[Any, Mapping[str, Any]] = {}
        for rows in self._by_unique():
            found.update(bulk.rows_by_pk(locked(rows), names))
        return found

    def _record_upsert(self) -> None:
        found = list(itertools.chain.from_iterable(self._by_unique()))
        if len(found) < len(self._objs):
            self._refuse()
        names = bulk.pk_names(self._model)
        rows = {
            instance.pk: bulk.Known({**self._parents.get(instance.pk, {}), **_columns_of(instance, names)}, instance)
            for instance in found
        }
        writing = bulk.Writing(self._model, self._using, self._registrations, UPDATE, only_changed=False)
        made = writing.entries(rows, lambda pk: _attributes(rows[pk].instance, self._columns))
        record(self._using, made)

    def _by_unique(self) -> Iterator[AnyQuerySet]:
        """The rows by what makes them unique; none where that isn't known, and in parts where it is more than a column.

        SQLite takes no more than a thousand conditions.
        """
        rows = bulk.unfiltered(self._model, self._using)
        if len(self._unique) == 1:
            (name,) = self._unique
            yield rows.filter(**{f"{name}__in": [getattr(obj, name) for obj in self._objs]})
        elif self._unique:
            for start in range(0, len(self._objs), _CONDITIONS):
                part = self._objs[start : start + _CONDITIONS]
                same = (models.Q(*((name, getattr(obj, name)) for name in self._unique)) for obj in part)
                yield rows.filter(models.Q(*same, _connector=models.Q.OR))


def _columns_of(instance: models.Model, attnames: Iterable[str]) -> dict[str, Any]:
    return {name: instance.__dict__[name] for name in attnames if name in instance.__dict__}


def _rows_before(
    model: type[models.Model],
    using: str,
    registrations: Sequence[Registration],
    objs: Objects,
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
        found.setdefault(bulk.pk_of(obj), bulk.Known({**row, **_columns_of(obj, pk_names)}, obj))
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
    fields: Sequence[AnyField],
    updated: int,
) -> None:
    written = bulk.with_generated(model, fields)
    made: list[Entry] = []
    floors = None
    if len(before) > settings.max_bulk_diffs:
        floors = bulk.floors_of(registrations)
    elif registrations:
        writing = bulk.Writing(model, using, registrations, UPDATE, only_changed=False)
        if updated == len(before):
            made = writing.entries(before, lambda pk: _attributes(before[pk].instance, written))
        else:
            rows = _rows_written(model, using, before, written)
            made = writing.entries({pk: before[pk] for pk in rows}, rows.__getitem__)
    handover = record(using, made, floors)
    for known in before.values():
        if known.instance is not None:
            tracking.remember(known.instance, written, using, handover)


def _rows_written(
    model: type[models.Model], using: str, before: Mapping[Any, bulk.Known], written: Sequence[AnyField]
) -> dict[Any, dict[AnyField, Any]]:
    """What the rows hold, where some were not there or not of the queryset, and so were not written."""
    attnames = [field.attname for field in written]
    rows = bulk.rows_by_pk(bulk.unfiltered(model, using).filter(pk__in=list(before)), attnames)
    return {
        pk: {field: row[field.attname] for field in written}
        for pk, row in rows.items()
        if not any(_is_untouched(field, before[pk], row) for field in written)
    }


def _is_untouched(field: AnyField, before: bulk.Known, row: Mapping[str, Any]) -> bool:
    """Whether a column surely wasn't written: it holds what it held, and was given something else."""
    now = row[field.attname]
    given = vars(before.instance).get(field.attname, DEFERRED)
    return bool(now == before.row.get(field.attname, DEFERRED) and now != values.normal(field, given))
