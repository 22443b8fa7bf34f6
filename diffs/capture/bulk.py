"""What bulk operations have in common: rows with what they held, and the diffs that come of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import models
from django.db.models.base import DEFERRED

from diffs.diff import CREATE, UPDATE, Action
from diffs.registration import Registration
from diffs.store import Entry, Floors
from diffs.typing import AnyField, AnyModel, AnyQuerySet

from . import values
from .changes import Subject, concerned, entries, is_unrecorded
from .tracking import recorded

Objects = Sequence[models.Model]
Values = Mapping[AnyField, Any]

MOST_PARAMETERS = 30_000
"""Of one query; SQLite takes 32 766."""


class Known(NamedTuple):
    """A row before it was written: attribute names to values, and the object where hooks want it."""

    row: Mapping[str, Any]
    instance: models.Model | None = None
    is_ours: bool = False
    """Whether the object was read for this, so that it may take the new values."""


def recording(model: type[models.Model], using: str) -> list[Registration]:
    """The registrations of a model and of those whose tables it writes, where recording is on."""
    found = (recorded(table, using) for table in (model, *model._meta.all_parents))
    registrations = dict.fromkeys(registration for registration in found if registration is not None)
    return [registration for registration in registrations if not is_unrecorded(registration, using)]


def floors_of(registrations: Iterable[Registration]) -> Floors:
    """What must be refused where these models' changes get no diffs."""
    floors = Floors()
    for registration in registrations:
        floors.add(concerned(registration))
    return floors


def needs_instances(registrations: Iterable[Registration]) -> bool:
    """Whether a hook wants to see the objects."""
    return any(registration.needs_instance for registration in registrations)


def pk_names(model: type[models.Model]) -> list[str]:
    """The attributes that hold a model's primary key."""
    return [field.attname for field in model._meta.pk_fields]


def pk_in(model: type[models.Model], row: Mapping[str, Any]) -> Any:
    """The primary key in a row."""
    names = pk_names(model)
    return row[names[0]] if len(names) == 1 else tuple(row[name] for name in names)


def pk_of(instance: AnyModel, model: type[models.Model] | None = None) -> Any:
    """An object's primary key as the database will give it back, whatever it was given as.

    Args:
        instance: the object.
        model: of which of its tables; its own unless given.
    """
    values_given = [
        values.normal(field, getattr(instance, field.attname)) for field in (model or type(instance))._meta.pk_fields
    ]
    return values_given[0] if len(values_given) == 1 else tuple(values_given)


def attributes(instance: models.Model | None, fields: Iterable[AnyField]) -> dict[AnyField, Any]:
    """What an object holds for these columns; `DEFERRED` where it was never loaded."""
    return {field: vars(instance).get(field.attname, DEFERRED) for field in fields}


def columns_of(instance: models.Model, attnames: Iterable[str]) -> dict[str, Any]:
    """The attributes of these names that an object has."""
    return {name: vars(instance)[name] for name in attnames if name in vars(instance)}


def rows_by_pk(queryset: AnyQuerySet, attnames: Iterable[str]) -> dict[Any, dict[str, Any]]:
    """Read columns of rows.

    Args:
        queryset: which rows.
        attnames: which columns; the primary key's are added.
    """
    columns = list(dict.fromkeys([*pk_names(queryset.model), *attnames]))
    rows = (dict(zip(columns, row, strict=True)) for row in queryset.values_list(*columns))
    return {pk_in(queryset.model, row): row for row in rows}


def rows_of(queryset: AnyQuerySet, pks: Iterable[Any], attnames: Iterable[str]) -> dict[Any, dict[str, Any]]:
    """Read columns of some rows of a queryset, in as many queries as SQLite's limit on parameters asks for.

    Args:
        queryset: whose.
        pks: which rows.
        attnames: which columns; the primary key's are added.
    """
    attnames = list(attnames)
    found: dict[Any, dict[str, Any]] = {}
    for part in _parts(queryset, pks):
        found.update(rows_by_pk(part, attnames))
    return found


def objects_of(queryset: AnyQuerySet, pks: Iterable[Any]) -> list[AnyModel]:
    """Read some objects of a queryset, in as many queries as `rows_of`."""
    return [instance for part in _parts(queryset, pks) for instance in part]


def _parts(queryset: AnyQuerySet, pks: Iterable[Any]) -> Iterator[AnyQuerySet]:
    pks = list(pks)
    size = MOST_PARAMETERS // len(pk_names(queryset.model))
    for start in range(0, len(pks), size):
        yield queryset.filter(pk__in=pks[start : start + size])


def unfiltered(model: type[models.Model], using: str) -> AnyQuerySet:
    """All rows of a model, whatever its managers leave out, in no order."""
    return models.QuerySet(model, using=using).order_by()


def with_generated(model: type[models.Model], written: Collection[AnyField]) -> list[AnyField]:
    """These columns, and those that the database computes from them."""
    return [*written, *values.computed_from(written, model._meta.concrete_fields)]


class Writing(NamedTuple):
    """A bulk operation that has been carried out."""

    model: type[models.Model]
    using: str
    registrations: Sequence[Registration]
    action: Action = UPDATE
    only_changed: bool = True
    """Whether what the row held already goes unmentioned."""

    def entries(self, rows: Mapping[Any, Known], fresh: Callable[[Any], Values]) -> list[Entry]:
        """The diffs.

        Args:
            rows: the rows written, by primary key.
            fresh: for a primary key what was written; what only the database knows is read back, in one query.
        """
        written = {pk: dict(fresh(pk)) for pk in rows}
        self._read_back(written)
        made: list[Entry] = []
        for registration in self.registrations:
            for pk, columns in written.items():
                made += self._entries(registration, rows[pk], columns)
        return made

    def _read_back(self, written: dict[Any, dict[AnyField, Any]]) -> None:
        # By a primary key the row is found: it is known.
        keys = self.model._meta.pk_fields
        unknown: dict[str, AnyField] = {}
        pks = []
        for pk, columns in written.items():
            missing = [
                field
                for field, value in columns.items()
                if value is DEFERRED or (field not in keys and self._must_be_read(field, value))
            ]
            if missing:
                pks.append(pk)
                unknown.update((field.attname, field) for field in missing)
        if not unknown:
            return
        found = rows_of(unfiltered(self.model, self.using), pks, unknown)
        for pk in pks:
            columns = written[pk]
            if pk in found:
                columns.update((field, found[pk][name]) for name, field in unknown.items() if field in columns)
            else:
                del written[pk]

    def _must_be_read(self, field: AnyField, value: Any) -> bool:
        return bool(field.generated) or values.must_be_read(field, value, self.using)

    def _entries(self, registration: Registration, known: Known, columns: Values) -> list[Entry]:
        row = known.row
        changed = {
            field: value
            for field, value in columns.items()
            if field in registration.fields and not (self.only_changed and self._is_same(field, value, row))
        }
        if not changed and self.action != CREATE:
            return []
        now = {field.attname: values.normal(field, value) for field, value in columns.items()}
        parents = {parent.name: (row.get(parent.attname), now.get(parent.attname)) for parent in registration.parents}
        if known.is_ours:
            for attname, value in now.items():
                setattr(known.instance, attname, value)
        subject = Subject(registration, self.using, pk_in(registration.model, row), parents, known.instance)
        previous = {field: row.get(field.attname, DEFERRED) for field in changed}
        return entries(subject, self.action, changed, previous)

    @staticmethod
    def _is_same(field: AnyField, value: Any, row: Mapping[str, Any]) -> bool:
        old = row.get(field.attname, DEFERRED)
        return old is not DEFERRED and bool(values.normal(field, old) == values.normal(field, value))
