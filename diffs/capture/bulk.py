"""What bulk operations have in common: rows with what they held, and the diffs that come of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import models
from django.db.models.base import DEFERRED

from diffs.diff import CREATE, UPDATE, Action
from diffs.registration import Registration
from diffs.store import Entry, Floors
from diffs.typing import AnyModel, AnyQuerySet

from .changes import Subject, concerned, entries, is_unrecorded, own_entries
from .columns import Column, columns_of, computed_from, shown
from .tracking import recorded

Objects = Sequence[models.Model]
Values = Mapping[Column, Any]

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
    parts = [column.normal(getattr(instance, column.attname)) for column in columns_of(model or type(instance)).keys]
    return parts[0] if len(parts) == 1 else tuple(parts)


def attributes(instance: models.Model | None, columns: Iterable[Column]) -> dict[Column, Any]:
    """What an object holds for these columns; `DEFERRED` where it was never loaded."""
    held = vars(instance)
    return {column: held.get(column.attname, DEFERRED) for column in columns}


def held(instance: models.Model, attnames: Iterable[str]) -> dict[str, Any]:
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


def with_generated(model: type[models.Model], written: Collection[Column]) -> list[Column]:
    """These columns, and those that the database computes from them."""
    return [*written, *computed_from(written, columns_of(model).all)]


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
        written = self._read_back({pk: fresh(pk) for pk in rows})
        made: list[Entry] = []
        for registration in self.registrations:
            for pk, columns in written.items():
                made += self._entries(registration, pk, rows[pk], columns)
        return made

    def _read_back(self, written: dict[Any, Values]) -> Mapping[Any, Values]:
        """What was written, with what only the database knows; without the rows that are gone."""
        keys = columns_of(self.model).keys
        unknown: dict[str, Column] = {}
        pks = []
        for pk, columns in written.items():
            missing = [
                column
                for column, value in columns.items()
                if type(value) not in column.kinds
                and not column.is_plain(value)
                and (
                    value is DEFERRED
                    or column.is_generated
                    # By a primary key the row is found: it is known.
                    or (column not in keys and column.must_be_read(value, self.using))
                )
            ]
            if missing:
                pks.append(pk)
                unknown.update((column.attname, column) for column in missing)
        if not unknown:
            return written
        found = rows_of(unfiltered(self.model, self.using), pks, unknown)
        for pk in pks:
            if pk in found:
                columns = written[pk]
                read = {column: found[pk][name] for name, column in unknown.items() if column in columns}
                written[pk] = {**columns, **read}
            else:
                del written[pk]
        return written

    def _entries(self, registration: Registration, pk: Any, known: Known, columns: Values) -> list[Entry]:
        row = known.row
        changed = columns
        if self.only_changed:
            changed = {column: value for column, value in columns.items() if not self._is_same(column, value, row)}
            if not changed:
                return []
        if registration.model is not self.model:
            pk = pk_in(registration.model, row)
        if registration.is_simple:
            return own_entries(registration, self.using, pk, self.action, changed)
        may_show = shown(registration)
        if self.action != CREATE and not any(column in may_show for column in changed):
            return []
        parents: Mapping[str, Sequence[Any]] = {}
        if registration.parents:
            parents = {
                parent.name: (row.get(parent.attname), self._parent_now(parent.attname, columns))
                for parent in registration.parents
            }
        if known.is_ours:
            for column, value in columns.items():
                setattr(known.instance, column.attname, column.normal(value))
        subject = Subject(registration, self.using, pk, parents, known.instance)
        previous = (
            {}
            if registration.serialize_hook is None
            else {column: row.get(column.attname, DEFERRED) for column in changed}
        )
        return entries(subject, self.action, changed, previous)

    @staticmethod
    def _parent_now(attname: str, columns: Values) -> Any:
        return next((column.normal(value) for column, value in columns.items() if column.attname == attname), None)

    @staticmethod
    def _is_same(column: Column, value: Any, row: Mapping[str, Any]) -> bool:
        old = row.get(column.attname, DEFERRED)
        return old is not DEFERRED and column.is_same(old, value)
