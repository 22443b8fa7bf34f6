"""What the database held when an instance was read or written, to tell what a write changes.

An instance keeps the row that ``from_db`` was given, as it came; only values that can change in place are copied.
The comparison is django-dirtyfields'.
"""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from dirtyfields.compare import compare_states, normalise_value, raw_compare
from django.db import DEFAULT_DB_ALIAS, models
from django.db.models.base import DEFERRED

from diffs.pks import concrete
from diffs.registration import Registration, find
from diffs.typing import AnyField

from .transaction import Handover, newest_waiting
from .values import is_expression, normal

_ATTRIBUTE = "diffs_row"
_IMMUTABLE = frozenset(
    {
        "AutoField", "BigAutoField", "SmallAutoField", "BigIntegerField", "IntegerField", "SmallIntegerField",
        "PositiveBigIntegerField", "PositiveIntegerField", "PositiveSmallIntegerField", "BooleanField", "CharField",
        "TextField", "SlugField", "UUIDField", "DateField", "DateTimeField", "TimeField", "DurationField",
        "DecimalField", "FloatField", "FileField", "FilePathField", "BinaryField", "GenericIPAddressField",
        "IPAddressField", "EmailField", "URLField",
    }
)  # fmt: skip


class Snapshot:
    """A copy of a value that can change in place."""

    __slots__ = ("_copy",)

    def __init__(self, value: Any) -> None:
        self._copy: bytes | list[Any]
        try:
            self._copy = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        except Exception:  # whatever a value raises that doesn't want to be pickled
            self._copy = [copy.deepcopy(value)]

    @property
    def value(self) -> Any:
        """The value as it was."""
        return pickle.loads(self._copy) if isinstance(self._copy, bytes) else self._copy[0]


class Row:
    """A row as it was written or read in a transaction, and the one before, should that be rolled back."""

    __slots__ = ("before", "handover", "using", "values")

    def __init__(self, values: dict[str, Any], using: str, handover: Handover | None, before: Any) -> None:
        self.values = values
        self.using = using
        self.handover = handover
        self.before = before

    def __deepcopy__(self, memo: dict[int, Any]) -> Row:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy in another process can't know of this one's transaction: it takes the row as it is.
        return Row, (self.values, self.using, None, None)


def is_mutable(field: AnyField) -> bool:
    """Whether a value of this field can change in place."""
    field = concrete(field)
    return field.get_internal_type() not in _IMMUTABLE or hasattr(field, "from_db_value")


def known(instance: models.Model, using: str) -> dict[str, Any]:
    """What the instance's row in a database is known to hold: attribute names to values or snapshots."""
    state = instance._state.__dict__
    row = state.get(_ATTRIBUTE)
    while isinstance(row, Row) and row.handover is not None:
        if row.handover.delivered:
            row.handover = row.before = None
        elif row.handover.is_lost:
            row = state[_ATTRIBUTE] = row.before
        else:
            break
    if row is None:
        return {}
    if isinstance(row, Row):
        values, alias = row.values, row.using
    else:
        values, alias = _values(*row), instance._state.db or ""
    return values if alias == using and _is_of(instance, values) else {}


def _is_of(instance: models.Model, values: Mapping[str, Any]) -> bool:
    """Whether the instance still names this row: its primary key may have been changed, to copy it."""
    meta: Any = instance._meta
    for field in meta.pk_fields:
        before = value_of(values, field.attname)
        if before is not DEFERRED and normal(field, before) != normal(field, vars(instance).get(field.attname)):
            return False
    return True


def _values(names: Iterable[str], values: Iterable[Any], snapshots: dict[str, Snapshot] | None) -> dict[str, Any]:
    return {**dict(zip(names, values, strict=False)), **(snapshots or {})}


def value_of(values: Mapping[str, Any], attname: str) -> Any:
    """A known value; `DEFERRED` where there is none."""
    value = values.get(attname, DEFERRED)
    return value.value if isinstance(value, Snapshot) else value


def changed(instance: models.Model, fields: Iterable[AnyField], before: Mapping[str, Any]) -> dict[AnyField, Any]:
    """Which of these fields hold something else than their row, with the previous value, `DEFERRED` if unknown."""
    current: dict[AnyField, Any] = {}
    previous: dict[AnyField, Any] = {}
    unknown: dict[AnyField, Any] = {}
    for field in fields:
        value = instance.__dict__.get(field.attname, DEFERRED)
        if value is DEFERRED:
            continue
        old = value_of(before, field.attname)
        if old is DEFERRED or is_expression(value) or is_expression(old):
            unknown[field] = DEFERRED if is_expression(old) else old
        else:
            current[field] = normal(field, value)
            previous[field] = normal(field, old)
    compare: Any = getattr(instance, "compare_function", (raw_compare, {}))
    normalise: Any = getattr(instance, "normalise_function", (normalise_value, {}))
    found = compare_states(current, previous, compare, normalise)
    return {field: found[field]["saved"] if field in found else unknown[field] for field in (*found, *unknown)}


def remember(instance: models.Model, fields: Iterable[AnyField], using: str, handover: Handover | None = None) -> None:
    """Take the instance's present values for what its row holds.

    Args:
        instance: the object that was written or read again.
        fields: which of its columns were.
        using: the database alias.
        handover: the change whose rollback takes these values away; ``None`` where nothing can be rolled back.
    """
    state = instance._state.__dict__
    values = dict(known(instance, using))
    for field in fields:
        value = instance.__dict__.get(field.attname, DEFERRED)
        if value is DEFERRED or is_expression(value):
            values.pop(field.attname, None)
        elif is_mutable(field):
            values[field.attname] = Snapshot(value)
        else:
            values[field.attname] = normal(field, value)
    before = state.get(_ATTRIBUTE) if handover is not None else None
    if isinstance(before, Row) and handover is not None and handover.goes_with(before.handover):
        before = before.before
    state[_ATTRIBUTE] = Row(values, using, handover, before)


def forget(instance: models.Model, attnames: Collection[str], using: str) -> None:
    """What the row holds in these columns is no longer known, whatever is rolled back."""
    row = known(instance, using)
    if not row.keys().isdisjoint(attnames):
        values = {name: value for name, value in row.items() if name not in attnames}
        instance._state.__dict__[_ATTRIBUTE] = Row(values, using, None, None)


def from_db_for(original: Any) -> Any:
    """A ``from_db`` that keeps the row.

    Args:
        original: the bound ``from_db`` it has. Django's own is written out again here, because a call of it would
            cost as much as all the rest; one of the project's is called.
    """
    django_own: Any = models.Model.from_db
    if original.__func__ is not django_own.__func__:

        @functools.wraps(original.__func__)
        def wrapped(cls: Any, db: str, field_names: Collection[str], values: Any, **options: Any) -> models.Model:
            instance: models.Model = original.__func__(cls, db, field_names, values, **options)
            _remember_loaded(instance, db, field_names, values)
            return instance

        return classmethod(wrapped)  # type: ignore[arg-type]

    def from_db(
        cls: Any, db: str, field_names: Collection[str], values: Any, *, fetch_mode: Any = None
    ) -> models.Model:
        row = values
        if len(values) != len(cls._meta.concrete_fields):
            values_iter = iter(values)
            values = [
                next(values_iter) if field.attname in field_names else DEFERRED for field in cls._meta.concrete_fields
            ]
        new: models.Model = cls(*values)
        state = new._state
        state.adding = False
        state.db = db
        if fetch_mode is not None:
            state.fetch_mode = fetch_mode
        if Handover.waiting:
            _remember_loaded(new, db, field_names, row)
        else:
            state.diffs_row = (field_names, row, _snapshots(cls, field_names, row))  # type: ignore[attr-defined]
        return new

    return classmethod(from_db)


def _remember_loaded(instance: models.Model, using: str, names: Collection[str], values: Iterable[Any]) -> None:
    """Keep a row that was read; one that was read behind a change which is rolled back is unknown then."""
    snapshots = _snapshots(type(instance), names, values)
    handover = newest_waiting(using) if Handover.waiting else None
    row: Any = (names, values, snapshots)
    if handover is not None:
        row = Row(_values(*row), using, handover, None)
    instance._state.__dict__[_ATTRIBUTE] = row


@functools.cache
def _mutable_names(cls: type[models.Model]) -> frozenset[str]:
    return frozenset(field.attname for field in cls._meta.concrete_fields if is_mutable(field))


def _snapshots(
    cls: type[models.Model], field_names: Collection[str], values: Iterable[Any]
) -> dict[str, Snapshot] | None:
    mutable = _mutable_names(cls)
    if not mutable:
        return None
    return {
        name: Snapshot(value)
        for name, value in zip(field_names, values, strict=False)
        if name in mutable and value is not None
    }


def refresh_from_db_for(original: Callable[..., None]) -> Callable[..., None]:
    """A ``refresh_from_db`` after which the instance's values count as its row's; also loads deferred fields."""

    @functools.wraps(original)
    def refresh_from_db(
        self: models.Model, using: str | None = None, fields: Iterable[str] | None = None, **options: Any
    ) -> None:
        if fields is not None:
            fields = list(fields)
        original(self, using=using, fields=fields, **options)
        names = None if fields is None else set(fields)
        read = [
            field
            for field in self._meta.concrete_fields
            if names is None or field.name in names or field.attname in names
        ]
        alias = self._state.db or DEFAULT_DB_ALIAS
        remember(self, read, alias, newest_waiting(alias))

    return refresh_from_db


def recorded(model: type[models.Model], using: str) -> Registration | None:
    """The model's registration, where changes on this database are recorded."""
    registration = find(model)
    return registration if registration is not None and using in registration.options.databases else None
