"""The fields of models, with all that can be told of them before there is a value.

Most values are of a type that the database gives back, and a diff holds, as it is. Such a type is looked up in a table
that is made once for each field; only other values go through `values`.
"""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import json
import math
import operator
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from django.db import models
from django.db.models import fields as django_fields
from django.db.models.fields import json as django_json

from diffs.codec import MAX_SAFE_INTEGER
from diffs.pks import concrete
from diffs.registration import Registration
from diffs.typing import AnyField

from . import values
from .copies import Snapshot, snapshot_of, snapshot_of_json

Form = Callable[[Any], Any] | None

_IMMUTABLE = frozenset(
    {
        "AutoField", "BigAutoField", "SmallAutoField", "BigIntegerField", "IntegerField", "SmallIntegerField",
        "PositiveBigIntegerField", "PositiveIntegerField", "PositiveSmallIntegerField", "BooleanField", "CharField",
        "TextField", "SlugField", "UUIDField", "DateField", "DateTimeField", "TimeField", "DurationField",
        "DecimalField", "FloatField", "FileField", "FilePathField", "BinaryField", "GenericIPAddressField",
        "IPAddressField", "EmailField", "URLField",
    }
)  # fmt: skip


def _whole(value: int) -> int | str:
    return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else str(value)


def _is_aware(value: dt.datetime) -> bool:
    return value.tzinfo is not None


# The types of value that Django's own fields give, each with what turns it into a diff's.
_KEPT: tuple[tuple[type[AnyField], type, Form], ...] = (
    (models.BooleanField, bool, None),
    (models.IntegerField, int, _whole),
    (models.CharField, str, None),
    (models.TextField, str, None),
    (models.UUIDField, uuid.UUID, None),
)
# Those that are kept as they are where this says so.
_KEPT_IF: tuple[tuple[type[AnyField], type, Callable[[Any], bool]], ...] = (
    (models.DateTimeField, dt.datetime, _is_aware),
    (models.FloatField, float, math.isfinite),
)
# Those that are the same in the database where they are equal, but may be kept otherwise.
_COMPARED: tuple[tuple[type[AnyField], type], ...] = (
    (models.DecimalField, decimal.Decimal),
    (models.TimeField, dt.time),
    (models.DurationField, dt.timedelta),
)


class Column:
    """A field as capture sees it; one object for each field, so that it is compared by identity.

    Args:
        field: a concrete field, or a many-to-many field.
    """

    __slots__ = (
        "_checks", "attname", "comparable", "copy", "field", "is_generated", "is_json", "is_mutable", "kinds", "name",
        "sets_itself",
    )  # fmt: skip

    def __init__(self, field: AnyField) -> None:
        self.field = field
        self.name: str = field.name
        self.attname: str = field.attname
        self.is_generated = bool(field.generated)
        self.is_mutable = is_mutable(field)
        """Whether a value can change in place."""
        self.is_json = type(concrete(field)) is django_json.JSONField and field.decoder is None
        """Whether its values are what ``json.loads`` gives."""
        self.sets_itself = bool(getattr(field, "auto_now", False)) or not _is_django_s(field.pre_save)
        """Whether each save gives it a value: ``auto_now``, or a ``pre_save`` that isn't Django's."""
        self.copy: Callable[[Any], Snapshot] = snapshot_of_json if self.is_json else snapshot_of
        self.kinds: dict[type, Form] = {}
        """Types whose values the database surely gives back, each with what makes a diff's value of one."""
        self._checks: dict[type, Callable[[Any], bool]] = {}
        self.comparable: frozenset[type] = frozenset()
        """Types whose values are the same in the database where they are equal."""
        target = concrete(field)
        if type(target).__module__ == django_fields.__name__ and not field.generated:
            self._tabulate(target)

    def _tabulate(self, target: AnyField) -> None:
        self.kinds = {kind: form for base, kind, form in _KEPT if isinstance(target, base)}
        if isinstance(target, models.DateField) and not isinstance(target, models.DateTimeField):
            self.kinds[dt.date] = None
        self._checks = {kind: check for base, kind, check in _KEPT_IF if isinstance(target, base)}
        compared = {kind for base, kind in _COMPARED if isinstance(target, base)}
        if self.kinds or self._checks or compared:
            self.kinds[type(None)] = None
        self.comparable = frozenset({*self.kinds, *self._checks, *compared})

    def __repr__(self) -> str:
        return f"<Column: {self.field}>"

    def is_same(self, value: Any, other: Any) -> bool:
        """Whether two values are the same in the database."""
        if type(value) is type(other) and type(value) in self.comparable and value == other:
            return True
        if self.is_plain(value) and self.is_plain(other):
            return False
        return bool(self.normal(value) == self.normal(other)) and not self.is_equal_in_python_alone(value, other)

    def is_equal_in_python_alone(self, value: Any, other: Any) -> bool:
        """Whether two JSON values are equal to Python, but not to others: ``True`` and ``1``, somewhere within."""
        if not isinstance(concrete(self.field), models.JSONField):
            return False
        ours, theirs = self.normal(value), self.normal(other)
        return bool(ours == theirs and json.dumps(ours, sort_keys=True) != json.dumps(theirs, sort_keys=True))

    def is_plain(self, value: Any) -> bool:
        """Whether the database surely gives the value back as it is."""
        kind = type(value)
        if kind in self.kinds:
            return True
        check = self._checks.get(kind)
        return check is not None and check(value)

    def normal(self, value: Any) -> Any:
        """A value as the database would give it back."""
        return value if self.is_plain(value) else values.normal(self.field, value)

    def stored(self, value: Any) -> Any:
        """A value as a diff holds it.

        Raises:
            SerializationError: it has no form that JSON knows.
        """
        form = self.kinds.get(type(value), self._stored)
        return value if form is None else form(value)

    def must_be_read(self, value: Any, using: str) -> bool:
        """Whether the database may hold something else than what it was given."""
        return not self.is_plain(value) and values.must_be_read(self.field, value, using)

    def _stored(self, value: Any) -> Any:
        if self.is_plain(value):
            return value
        if self.field.many_to_many:
            return values.many_to_many_data(self.field, value)
        return values.stored(self.field, value)


def _is_django_s(function: Any) -> bool:
    return str(function.__module__).startswith("django.")


def is_mutable(field: AnyField) -> bool:
    """Whether a value of this field can change in place."""
    field = concrete(field)
    return field.get_internal_type() not in _IMMUTABLE or hasattr(field, "from_db_value")


@functools.cache
def column_of(field: AnyField) -> Column:
    """The one `Column` of a field."""
    return Column(field)


class Columns:
    """The concrete fields of a model.

    Args:
        meta: the model's.
    """

    __slots__ = (
        "all",
        "are_compared_otherwise",
        "fields",
        "get",
        "has_generated",
        "json_places",
        "keys",
        "mutable",
        "mutable_names",
    )

    def __init__(self, meta: Any) -> None:
        self.fields: Collection[AnyField] = meta.concrete_fields
        self.all = tuple(map(column_of, self.fields))
        names = [column.attname for column in self.all]
        self.get: Callable[[Mapping[str, Any]], tuple[Any, ...]] = (
            operator.itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
        )
        """The values of all columns in a row that maps attribute names; a ``KeyError`` where one is missing."""
        self.keys = tuple(map(column_of, meta.pk_fields))
        """Of the primary key."""
        self.are_compared_otherwise = any(
            hasattr(meta.model, name) for name in ("compare_function", "normalise_function")
        )
        """Whether the model brings functions of its own, as django-dirtyfields takes them."""
        self.has_generated = any(column.is_generated for column in self.all)
        self.mutable = tuple(column for column in self.all if column.is_mutable)
        self.mutable_names = tuple(column.attname for column in self.mutable)
        self.json_places: tuple[int, ...] | None = None
        """Where in a row the values stand that can change in place; ``None`` where some are no plain JSON."""
        if all(column.is_json for column in self.mutable):
            self.json_places = tuple(place for place, column in enumerate(self.all) if column.is_mutable)


_columns: dict[type[models.Model], Columns] = {}


def columns_of(model: type[models.Model]) -> Columns:
    """The columns of a model, those of its parents' tables included."""
    fields = model._meta.concrete_fields
    found = _columns.get(model)
    # Django makes another list where a field is added to a class.
    if found is None or found.fields is not fields:
        found = _columns[model] = Columns(model._meta)
    return found


def local_columns(model: type[models.Model]) -> tuple[Column, ...]:
    """The columns of a model's own table."""
    return tuple(map(column_of, model._meta.local_concrete_fields))


def shown(registration: Registration) -> Mapping[Column, str]:
    """The fields that may appear in a model's diffs, many-to-many ones last, with their names."""
    found: Mapping[Column, str] | None = registration.derived.get("shown")
    if found is None:
        fields = (*registration.fields, *registration.many_to_many)
        found = registration.derived["shown"] = {column_of(field): field.name for field in fields}
    return found


def computed_from(written: Collection[Column], columns: Iterable[Column]) -> list[Column]:
    """The generated ones of some columns that the database computes anew when others are written."""
    fields = [column.field for column in columns if column.is_generated]
    return [column_of(field) for field in values.computed_from([column.field for column in written], fields)]
