"""What the database held when an instance was read or written, to tell what a write changes.

An instance keeps the row that ``from_db`` was given, as it came; only values that can change in place are copied.
The comparison is django-dirtyfields', where it isn't plain that two values are the same or not.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from dirtyfields.compare import compare_states, normalise_value, raw_compare
from django.db import DEFAULT_DB_ALIAS, models
from django.db.models.base import DEFERRED

from diffs.registration import Registration, find

from .columns import Column, Columns, columns_of
from .copies import Snapshot, plain_copy
from .transaction import Handover, newest_waiting
from .values import is_expression

_ATTRIBUTE = "diffs_row"


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
    columns = columns_of(type(instance))
    if isinstance(row, Row):
        values, alias = row.values, row.using
    else:
        values, alias = _values(*row), instance._state.db or ""
    return values if alias == using and _is_of(instance, columns, values) else {}


def _is_of(instance: models.Model, columns: Columns, values: Mapping[str, Any]) -> bool:
    """Whether the instance still names this row: its primary key may have been changed, to copy it."""
    for column in columns.keys:
        before = value_of(values, column.attname)
        value = instance.__dict__.get(column.attname)
        if before is not value and before is not DEFERRED and not column.is_same(before, value):
            return False
    return True


def _values(names: Iterable[str], values: Iterable[Any], copies: Any) -> dict[str, Any]:
    """A row that was read, by attribute names.

    Args:
        names: of the row's columns.
        values: the row.
        copies: of values that can change in place: for a whole row of plain JSON names and bytes, else by name.
    """
    found = dict(zip(names, values, strict=False))
    if isinstance(copies, tuple):
        found.update((name, Snapshot(copied)) for name, copied in zip(*copies, strict=True))
    elif copies:
        found.update(copies)
    return found


def value_of(values: Mapping[str, Any], attname: str) -> Any:
    """A known value; `DEFERRED` where there is none."""
    value = values.get(attname, DEFERRED)
    return value.value if isinstance(value, Snapshot) else value


def changed(instance: models.Model, columns: Iterable[Column], before: Mapping[str, Any]) -> dict[Column, Any]:
    """Which of these columns hold something else than their row, with the previous value, `DEFERRED` if unknown."""
    held = instance.__dict__
    found: dict[Column, Any] = {}
    doubtful: list[Column] = []
    every = columns_of(type(instance))
    is_custom = every.are_compared_otherwise
    if columns is every.all and not is_custom:
        columns = _replaced(every, held, before)
    for column in columns:
        value = held.get(column.attname, DEFERRED)
        old = before.get(column.attname, DEFERRED)
        if value is DEFERRED:
            # Where the database doesn't give back what an expression came to, Django 6 lets go of the field in a save.
            if old is not DEFERRED:
                found[column] = value_of(before, column.attname)
            continue
        if is_custom:
            doubtful.append(column)
        elif type(value) is type(old) and type(value) in column.comparable and value == old:
            continue
        elif column.is_plain(value) and column.is_plain(old):
            found[column] = old
        elif not (isinstance(old, Snapshot) and old.is_of(value)):
            doubtful.append(column)
    if doubtful:
        found.update(_sure(instance, doubtful, before))
        found = {column: found[column] for column in every.all if column in found}
    return found


def _replaced(columns: Columns, held: Mapping[str, Any], before: Mapping[str, Any]) -> Iterable[Column]:
    """The columns that hold another object than the one that was read or written, which needs no looking at."""
    try:
        return itertools.compress(columns.all, map(operator.is_not, columns.get(held), columns.get(before)))
    except KeyError:
        return columns.all


def _sure(instance: Any, doubtful: Iterable[Column], before: Mapping[str, Any]) -> dict[Column, Any]:
    """Compare values in the form in which the database gives them back."""
    found: dict[Column, Any] = {}
    current: dict[Column, Any] = {}
    previous: dict[Column, Any] = {}
    for column in doubtful:
        value = instance.__dict__[column.attname]
        old = value_of(before, column.attname)
        if old is DEFERRED or is_expression(value) or is_expression(old):
            found[column] = DEFERRED if is_expression(old) else old
        elif column.is_equal_in_python_alone(value, old):
            found[column] = column.normal(old)
        else:
            current[column] = column.normal(value)
            previous[column] = column.normal(old)
    compare: Any = getattr(instance, "compare_function", (raw_compare, {}))
    normalise: Any = getattr(instance, "normalise_function", (normalise_value, {}))
    for column, states in compare_states(current, previous, compare, normalise).items():
        found[column] = states["saved"]
    return found


def remember(
    instance: models.Model,
    columns: Iterable[Column],
    using: str,
    handover: Handover | None = None,
    before: Mapping[str, Any] | None = None,
) -> None:
    """Take the instance's present values for what its row holds.

    Args:
        instance: the object that was written or read again.
        columns: which of its columns were.
        using: the database alias.
        handover: the change whose rollback takes these values away; ``None`` where nothing can be rolled back.
        before: what `known` gave, where it has been asked already.
    """
    state, held = instance._state.__dict__, instance.__dict__
    values = dict(known(instance, using) if before is None else before)
    for column in columns:
        value = held.get(column.attname, DEFERRED)
        if column.is_plain(value):
            values[column.attname] = value
        elif (
            type(value) in column.comparable and type(value) is type(old := values.get(column.attname)) and value == old
        ):
            continue
        elif value is DEFERRED or is_expression(value):
            values.pop(column.attname, None)
        elif column.is_mutable:
            values[column.attname] = column.copy(value)
        else:
            values[column.attname] = column.normal(value)
    earlier = state.get(_ATTRIBUTE) if handover is not None else None
    if isinstance(earlier, Row) and handover is not None and handover.goes_with(earlier.handover):
        earlier = earlier.before
    state[_ATTRIBUTE] = Row(values, using, handover, earlier)


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
            _remember_loaded(instance, columns_of(cls), db, field_names, values)
            return instance

        return classmethod(wrapped)  # type: ignore[arg-type]

    def from_db(
        cls: Any, db: str, field_names: Collection[str], values: Any, *, fetch_mode: Any = None
    ) -> models.Model:
        row = values
        fields = cls._meta.concrete_fields
        is_whole = len(values) == len(fields)
        if not is_whole:
            values_iter = iter(values)
            values = [next(values_iter) if field.attname in field_names else DEFERRED for field in fields]
        new: models.Model = cls(*values)
        state = new._state
        state.adding = False
        state.db = db
        if fetch_mode is not None:
            state.fetch_mode = fetch_mode
        columns = columns_of(cls)
        if Handover.waiting:
            _remember_loaded(new, columns, db, field_names, row)
        elif columns.mutable:
            state.diffs_row = (field_names, row, _copies(columns, field_names, row, is_whole))  # type: ignore[attr-defined]
        else:
            state.diffs_row = (field_names, row, None)  # type: ignore[attr-defined]
        return new

    return classmethod(from_db)


def _remember_loaded(
    instance: models.Model, columns: Columns, using: str, names: Collection[str], values: Sequence[Any]
) -> None:
    """Keep a row that was read; one that was read behind a change which is rolled back is unknown then."""
    copies = _copies(columns, names, values, is_whole=False) if columns.mutable else None
    handover = newest_waiting(using) if Handover.waiting else None
    row: Any = (names, values, copies)
    if handover is not None:
        row = Row(_values(*row), using, handover, None)
    instance._state.__dict__[_ATTRIBUTE] = row


def _copies(columns: Columns, names: Collection[str], values: Sequence[Any], is_whole: bool) -> Any:
    """Copies of a row's values that can change in place, as `_values` takes them."""
    if is_whole and columns.json_places is not None:
        try:
            return columns.mutable_names, [plain_copy(values[place]) for place in columns.json_places]
        except ValueError:
            pass
    row = dict(zip(names, values, strict=False))
    return {column.attname: column.copy(row[column.attname]) for column in columns.mutable if column.attname in row}


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
            column
            for column in columns_of(type(self)).all
            if names is None or column.name in names or column.attname in names
        ]
        alias = self._state.db or DEFAULT_DB_ALIAS
        remember(self, read, alias, newest_waiting(alias))

    return refresh_from_db


def recorded(model: type[models.Model], using: str) -> Registration | None:
    """The model's registration, where changes on this database are recorded."""
    registration = find(model)
    return registration if registration is not None and using in registration.options.databases else None
