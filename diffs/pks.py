"""Primary keys: from any value to one canonical text, and to the form of Django's serializers."""

from __future__ import annotations

import datetime as dt
import decimal
import functools
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.utils import timezone

from .codec import MAX_SAFE_INTEGER, timestamp_text
from .keys import join_pk, split_pk
from .typing import AnyField

_MOST_DIGITS = 1000
"""Of a decimal number that clients name: a few characters can stand for a million of them."""


def wire(model: type[models.Model], pk: Any) -> Any:
    """A primary key as it stands in diffs: a number below 2**53, text, or a list where it is composite.

    Args:
        model: whose.
        pk: a value that Django takes for it.

    Raises:
        ValueError: it can't be one.
    """
    if type(pk) is int and _takes_whole_numbers(model) and -MAX_SAFE_INTEGER <= pk <= MAX_SAFE_INTEGER:
        return pk
    fields = model._meta.pk_fields
    if len(fields) == 1:
        return _wire(fields[0], pk)
    if not isinstance(pk, tuple | list) or len(pk) != len(fields):
        raise ValueError(f"The primary key of {model._meta.label} has {len(fields)} parts.")
    return [_wire(field, part) for field, part in zip(fields, pk, strict=True)]


def text(model: type[models.Model], pk: Any) -> str:
    """The one text of a primary key, by which its feed is named.

    Raises:
        ValueError: it can't be one.
    """
    if type(pk) is int and _takes_whole_numbers(model):
        return str(pk)
    value = wire(model, pk)
    return join_pk([str(part) for part in value]) if isinstance(value, list) else str(value)


def parse(model: type[models.Model], pk_text: str) -> Any:
    """The primary key that a text names.

    Args:
        model: whose.
        pk_text: what `text` gave, or what a client wrote.

    Raises:
        ValueError: no object of the model can have it.
    """
    fields = model._meta.pk_fields
    if len(fields) == 1:
        return _parse(fields[0], pk_text)
    parts = split_pk(pk_text)
    if len(parts) != len(fields):
        raise ValueError(f"The primary key of {model._meta.label} has {len(fields)} parts.")
    return tuple(_parse(field, part) for field, part in zip(fields, parts, strict=True))


@functools.cache
def _takes_whole_numbers(model: type[models.Model]) -> bool:
    """Whether a number needs no looking at: the primary key is one of Django's own integer fields."""
    fields = model._meta.pk_fields
    kind = type(concrete(fields[0]))
    return len(fields) == 1 and issubclass(kind, models.IntegerField) and kind.__module__ == models.Field.__module__


def concrete(field: AnyField) -> AnyField:
    """The field that says what kind of value a column holds: a foreign key's target."""
    while field.remote_field is not None:
        field = field.target_field
    return field


def _to_python(field: AnyField, value: Any) -> Any:
    if isinstance(value, models.Model):
        raise ValueError("A primary key is wanted, not an object.")
    try:
        value = field.to_python(value)
    except (ValidationError, TypeError, OverflowError, decimal.InvalidOperation):
        raise ValueError("That is no primary key of this model.") from None
    if value is None or (isinstance(value, str) and not _is_encodable(value)):
        raise ValueError("That is no primary key of this model.")
    return value


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wire(field: AnyField, value: Any) -> Any:
    field = concrete(field)
    value = _to_python(field, value)
    try:
        return _plain(value)
    except ArithmeticError:  # no calendar has it in UTC, or it has more digits than numbers can have
        raise ValueError("That is no primary key of this model.") from None


def _plain(value: Any) -> Any:
    """A primary key's Python value in the form of Django's serializers."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)  # a subclass, as enumerations are, may say that it is something else
    if isinstance(value, int):
        return value if abs(value) <= MAX_SAFE_INTEGER else str(value)
    if isinstance(value, dt.datetime):
        if value.tzinfo is None and settings.USE_TZ:
            value = timezone.make_aware(value, timezone.get_default_timezone())  # as it is stored
        return timestamp_text(value.astimezone(dt.timezone.utc) if value.tzinfo else value)
    if isinstance(value, decimal.Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return str(value)


def _parse(field: AnyField, part: str) -> Any:
    field = concrete(field)
    value = _to_python(field, part)
    if not _fits(field, value):
        raise ValueError("That is no primary key of this model.")
    return value


def _fits(field: AnyField, value: Any) -> bool:
    """Whether a column can hold the value. A field's other validators don't count: ``save()`` doesn't ask them."""
    if isinstance(field, models.IntegerField):
        lowest, highest = connection.ops.integer_field_range(field.get_internal_type())
        return bool((lowest is None or lowest <= value) and (highest is None or value <= highest))
    if isinstance(value, decimal.Decimal):
        most = getattr(field, "max_digits", None)
        digits = _MOST_DIGITS if most is None else max(most - field.decimal_places, 1)
        return -_MOST_DIGITS <= value.adjusted() < digits
    longest = getattr(field, "max_length", None)
    return not isinstance(value, str) or longest is None or len(value) <= longest
