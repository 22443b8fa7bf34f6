"""Many-to-many fields: what is written to their tables changes their owners.

Whatever writes such a table (a manager of either side, a row of a ``through`` model, a bulk operation, the deletion of
a target), the owners' rows are locked, and the field is read before and after. So two transactions that change one
owner's field follow each other, and each diff holds the whole field.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import models
from django.db.models.base import DEFERRED
from django.db.models.deletion import Collector

from diffs.conf import settings
from diffs.diff import UPDATE
from diffs.registration import Registration, registrations
from diffs.store import Entry, Floors
from diffs.typing import AnyField, AnyModel, AnyQuerySet

from . import tracking
from .changes import Subject, concerned, entries, is_unrecorded
from .columns import column_of
from .context import is_inside
from .locking import locked, prepare
from .transaction import atomic_outside, record


class Link(NamedTuple):
    """A many-to-many field of a registered model, seen from its table."""

    registration: Registration
    field: AnyField
    source: AnyField
    """The foreign key of the table's rows that names the owner."""


Owners = Mapping[Link, Collection[Any]]
"""For each field the owners concerned, by what the table's foreign key holds."""


def through_models(registration: Registration) -> list[type[models.Model]]:
    """The models of the tables that hold a registered model's many-to-many fields."""
    return [field.remote_field.through for field in registration.many_to_many]


def links_of(model: type[models.Model], using: str) -> list[Link]:
    """The recorded fields that a model's rows belong to; of most models none."""
    found = _links().get(model._meta.concrete_model)
    if not found:
        return []
    return [link for link in found if using in link.registration.options.databases]


_cache: dict[Any, list[Link]] | None = None


def _links() -> Mapping[Any, Sequence[Link]]:
    global _cache
    cache = _cache
    if cache is None:
        cache = defaultdict(list)
        for registration in registrations():
            for field in registration.many_to_many:
                through = field.remote_field.through
                source = through._meta.get_field(field.m2m_field_name())
                cache[through._meta.concrete_model].append(Link(registration, field, source))
        # Only when it is whole: other threads read it.
        _cache = cache
    return cache


def forget_links() -> None:
    """Work out anew which tables belong to which fields, because registrations changed."""
    global _cache
    _cache = None


@contextlib.contextmanager
def watching(using: str, owners: Owners) -> Iterator[None]:
    """Record how the block changes many-to-many fields.

    Args:
        using: the database alias; a transaction is under way, and SQLite's write lock is held.
        owners: whose fields may change.
    """
    watched = []
    floors = Floors()
    for link, values in owners.items():
        if not values or is_unrecorded(link.registration, using):
            continue
        if len(values) > settings.max_bulk_diffs:
            floors.add(concerned(link.registration))
        else:
            watched.append(_Watched(link, using, values))
    yield
    made: list[Entry] = []
    for each in watched:
        made += each.entries()
    if made or floors:
        record(using, made, floors)


def watching_instance(
    instance: models.Model, model: type[models.Model], using: str
) -> contextlib.AbstractContextManager[None]:
    """Record what saving an instance does, should it be a row of a many-to-many field."""
    links = links_of(model, using)
    if not links or is_inside(model):
        return contextlib.nullcontext()
    return _watching_alone(using, links, instance, model)


@contextlib.contextmanager
def _watching_alone(
    using: str, links: Iterable[Link], instance: models.Model, table: type[models.Model]
) -> Iterator[None]:
    with atomic_outside(using):
        prepare(using, table)
        with watching(using, {link: source_values(link, [instance], using) for link in links}):
            yield


def watching_rows(
    queryset: AnyQuerySet, links: Sequence[Link], instances: Sequence[AnyModel]
) -> contextlib.AbstractContextManager[None]:
    """Record what a bulk operation does to many-to-many fields.

    Args:
        queryset: of what is written; a transaction is under way where there are links.
        links: the fields that its rows belong to; of most models none.
        instances: the rows.
    """
    if not links:
        return contextlib.nullcontext()
    prepare(queryset.db, queryset.model)
    return watching(queryset.db, {link: source_values(link, instances, queryset.db) for link in links})


class _Watched:
    """One field of some owners, read before and after."""

    def __init__(self, link: Link, using: str, values: Collection[Any]) -> None:
        self._link = link
        self._using = using
        self._values = set(values)
        self._owners = self._lock()
        self._before = self._read()

    def entries(self) -> list[Entry]:
        """The diffs of the owners whose field has changed."""
        column = column_of(self._link.field)
        made: list[Entry] = []
        for pk, after in self._read().items():
            before = self._before.get(pk, [])
            previous = {column: DEFERRED if before is None else before}
            if pk not in self._owners:
                continue
            if after is None:
                # Whether it is another than before, nobody has looked.
                made += entries(self._owners[pk], UPDATE, {}, previous, [column])
            elif before is None or set(before) != set(after):
                made += entries(self._owners[pk], UPDATE, {column: after}, previous)
        return made

    def _rows(self) -> AnyQuerySet:
        target = self._link.source.target_field.attname
        model = self._link.registration.model
        return models.QuerySet(model, using=self._using).filter(**{f"{target}__in": self._values}).order_by()

    def _lock(self) -> dict[Any, Subject]:
        registration = self._link.registration
        rows = locked(self._rows().order_by("pk"))
        names = [parent.attname for parent in registration.parents]
        found = {}
        if registration.needs_instance:
            for instance in rows:
                values = [getattr(instance, name) for name in names]
                found[instance.pk] = self._subject(instance.pk, values, instance)
        else:
            for pk, *values in rows.values_list("pk", *names):
                found[pk] = self._subject(pk, values, None)
        return found

    def _subject(self, pk: Any, values: Iterable[Any], instance: models.Model | None) -> Subject:
        registration = self._link.registration
        parents = {parent.name: (value,) for parent, value in zip(registration.parents, values, strict=True)}
        return Subject(registration, self._using, pk, parents, instance)

    def _read(self) -> dict[Any, list[Any] | None]:
        """What each owner's field holds; ``None`` where that is more than a diff may list."""
        most = settings.max_m2m
        name = self._link.field.name
        found: dict[Any, list[Any] | None] = {}
        pairs = self._rows().values_list("pk", name)
        limit = len(self._values) * most
        rows = list(pairs[: limit + 1])
        if len(rows) > limit:
            # Some have more than their share: only the others are read.
            counted = self._rows().values_list("pk", models.Count(name))
            found = {pk: None if count > most else [] for pk, count in counted}
            rows = list(pairs.filter(pk__in=[pk for pk, targets in found.items() if targets is not None]))
        grouped: dict[Any, list[Any]] = defaultdict(list)
        for pk, target in rows:
            grouped[pk] += [] if target is None else [target]
        return {**found, **{pk: None if len(targets) > most else targets for pk, targets in grouped.items()}}


def deleted_owners(collector: Collector) -> dict[Link, set[Any]]:
    """The owners that lose something, but those that go themselves."""
    owners: dict[Link, set[Any]] = defaultdict(set)
    for model, instances in collector.data.items():
        for link in links_of(model, collector.using):
            owners[link].update(source_values(link, instances, collector.using))
    for rows in collector.fast_deletes:
        if isinstance(rows, models.QuerySet):
            for link in links_of(rows.model, collector.using):
                owners[link].update(named_owners(link, rows))
    for link, values in owners.items():
        values -= _going(link, collector)
    return owners


def named_owners(link: Link, rows: AnyQuerySet) -> Iterable[Any]:
    """The owners that rows of a many-to-many table name, each once, however many rows it has."""
    names: Iterable[Any] = rows.order_by().values_list(link.source.attname, flat=True).distinct()
    return names


def _going(link: Link, collector: Collector) -> set[Any]:
    name = link.source.target_field.attname
    return {
        getattr(instance, name)
        for model, instances in collector.data.items()
        if model._meta.concrete_model is link.registration.model
        for instance in instances
    }


def source_values(link: Link, instances: Iterable[AnyModel], using: str) -> set[Any]:
    """The owners that rows of a many-to-many table name, and that the database has for them."""
    name = link.source.attname
    found = {instance.__dict__.get(name) for instance in instances}
    unknown = []
    for instance in instances:
        row = tracking.known(instance, using)
        if name in row:
            found.add(row[name])
        elif instance._is_pk_set():
            unknown.append(instance.pk)
    if unknown:
        rows = models.QuerySet(link.source.model, using=using).filter(pk__in=unknown)
        found.update(rows.values_list(name, flat=True))
    return found - {None}


def deleted_table(collector: Collector) -> type[models.Model] | None:
    """A many-to-many table from which rows will be deleted."""
    touched = [*collector.data, *(rows.model for rows in collector.fast_deletes if isinstance(rows, models.QuerySet))]
    return next((model for model in touched if links_of(model, collector.using)), None)
