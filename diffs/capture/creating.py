"""``QuerySet.bulk_create()``."""

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
from diffs.typing import AnyModel, AnyQuerySet

from . import bulk, links, tracking, values, versions
from .columns import columns_of
from .context import inside
from .locking import locked, prepare
from .transaction import atomic_outside, record

_CONDITIONS = 500


def bulk_create(
    original: Callable[..., list[models.Model]], queryset: AnyQuerySet, objs: bulk.Objects, options: Mapping[str, Any]
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
    with (
        atomic_outside(using) if upsert or tables or versions.are_by_database() else contextlib.nullcontext(),
        links.watching_rows(queryset, tables, objs),
    ):
        recorder = _Creation(model, using, registrations, objs, options) if registrations else None
        with inside(model):
            created = original(queryset, objs, **options)
        if recorder is not None:
            recorder.record()
    return created


class _Creation:
    """One ``bulk_create()`` of a registered model."""

    def __init__(
        self,
        model: type[models.Model],
        using: str,
        registrations: Sequence[Registration],
        objs: bulk.Objects,
        options: Mapping[str, Any],
    ) -> None:
        self._model = model
        self._using = using
        self._registrations = registrations
        self._objs = objs
        self._columns = columns_of(model).all
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

    def _record_insert(self, objs: bulk.Objects) -> None:
        known = [obj for obj in objs if self._has_pk(obj)]
        names = bulk.pk_names(self._model)
        rows = {bulk.pk_of(obj): bulk.Known(bulk.held(obj, names), obj) for obj in known}
        writing = bulk.Writing(self._model, self._using, self._registrations, CREATE, only_changed=False)
        # Whether an object was inserted or ignored, the row tells.
        unread = dict.fromkeys(self._columns, DEFERRED) if self._ignores else None
        made = writing.entries(rows, lambda pk: unread or bulk.attributes(rows[pk].instance, self._columns))
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
            instance.pk: bulk.Known({**self._parents.get(instance.pk, {}), **bulk.held(instance, names)}, instance)
            for instance in found
        }
        writing = bulk.Writing(self._model, self._using, self._registrations, UPDATE, only_changed=False)
        made = writing.entries(rows, lambda pk: bulk.attributes(rows[pk].instance, self._columns))
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
