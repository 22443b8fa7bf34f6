"""Field values in the form of Django's serializers, ready to be stored."""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import json
import math
import types
import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ValidationError
from django.core.files import File
from django.db import connections, models
from django.db.models.sql import Query
from django.utils import timezone
from django.utils.duration import duration_iso_string
from django.utils.functional import Promise

from diffs.codec import MAX_SAFE_INTEGER
from diffs.errors import SerializationError
from diffs.pks import concrete
from diffs.registration import Registration
from diffs.typing import AnyField, AnyModel

# It keeps decimals as floats.
_SQLITE_DIGITS = 15
# Of ranges, PostgreSQL moves the bounds; in arrays, it rounds the numbers and moves the moments.
_KEPT_IN_ARRAYS = (
    models.BooleanField,
    models.CharField,
    models.IntegerField,
    models.TextField,
    models.UUIDField,
)


def is_expression(value: Any) -> bool:
    """Whether only the database knows what this comes to."""
    return hasattr(value, "resolve_expression")


def must_be_read(field: AnyField, value: Any, using: str) -> bool:
    """Whether the database may hold something else than what it was given: an expression, a rounded number."""
    if value is None:
        return False
    if is_expression(value):
        return True
    target = concrete(field)
    if _prepares_itself(type(target)):  # type: ignore[arg-type]
        return not field.primary_key  # by which the row would be looked for
    if hasattr(target, "base_field"):
        return not isinstance(_innermost(target), _KEPT_IN_ARRAYS)
    if not isinstance(target, models.DecimalField | models.FloatField):
        return False
    number = normal(target, value)
    is_sqlite = connections[using].vendor == "sqlite"
    if isinstance(number, decimal.Decimal):
        too_long = _digits_after_point(number) > (getattr(target, "decimal_places", 0) or 0)
        return too_long or (is_sqlite and len(number.as_tuple().digits) > _SQLITE_DIGITS)
    # SQLite has only NULL for what is no number.
    return is_sqlite and isinstance(number, float) and math.isnan(number)


@functools.cache
def _prepares_itself(kind: type[AnyField]) -> bool:
    """Whether a kind of field that isn't Django's decides what is stored for a value."""
    names = ("get_prep_value", "get_db_prep_value", "get_db_prep_save")
    return not all(getattr(kind, name).__module__.startswith("django.") for name in names)


def _innermost(field: AnyField) -> AnyField:
    """What an array, or an array of arrays, is made of."""
    while hasattr(field, "base_field") and not hasattr(field, "range_type"):
        field = field.base_field
    return field


def _digits_after_point(number: decimal.Decimal) -> int:
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def computed_from(written: Collection[AnyField], fields: Iterable[AnyField]) -> list[AnyField]:
    """The generated ones of some fields that the database computes anew when these columns are written."""
    return [field for field in fields if field.generated and not _sources(field).isdisjoint(written)]


@functools.cache
def _sources(field: AnyField) -> frozenset[AnyField]:
    # Django 6 knows this as `referenced_fields`.
    query: Any = Query(field.model, alias_cols=False)
    expression = field.expression.resolve_expression(query, allow_joins=False)
    return frozenset(column.target for column in query._gen_cols([expression]))


def normal(field: AnyField, value: Any) -> Any:
    """A value as the database would give it back, where that can be told (the state form of django-dirtyfields)."""
    if isinstance(value, File):
        return str(value)
    if value is None or is_expression(value):
        return value
    if isinstance(value, models.Model):
        value = getattr(value, field.target_field.attname)
    if isinstance(value, memoryview | bytearray):
        value = bytes(value)
    field = concrete(field)
    try:
        if isinstance(field, models.JSONField):
            return json.loads(json.dumps(value, cls=field.encoder), cls=field.decoder)
        value = field.to_python(value)
    except (ValidationError, TypeError, ValueError, decimal.InvalidOperation):
        return value
    if value == "" and isinstance(field, models.GenericIPAddressField):
        return None  # which is how it is stored
    return _aware(value) if isinstance(value, dt.datetime) else value


def stored(field: AnyField, value: Any) -> Any:
    """A field's value as a diff holds it.

    Args:
        field: a concrete field.
        value: what an instance or a query gives for it.

    Raises:
        SerializationError: the value has no form that JSON knows.
    """
    if value is not None and isinstance(field, models.JSONField):
        return plain(json.loads(json.dumps(value, cls=field.encoder)))
    value = normal(field, value)
    field = concrete(field)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, decimal.Decimal) and isinstance(field, models.DecimalField):
        return _decimal_text(value, field)
    if isinstance(value, int | float | decimal.Decimal | dt.date | dt.time | uuid.UUID):
        return plain(value)
    if isinstance(value, str) and isinstance(field, models.CharField | models.TextField | models.FileField):
        return _text(value)
    # Everything else has its own text: bytes, durations, addresses, arrays, fields of other packages.
    return plain(field.value_to_string(_holder(field, value)))


def _holder(field: AnyField, value: Any) -> AnyModel:
    """What a field takes for an object, as far as its text goes."""
    return types.SimpleNamespace(**{field.attname: value})


def _text(value: str) -> str:
    # Subclasses, as enumerations are, may say that they are something else.
    return str.__str__(value)


def _decimal_text(value: decimal.Decimal, field: AnyField) -> str:
    places = field.decimal_places
    if value.is_finite() and places is not None and _digits_after_point(value) < places:
        value = value.quantize(decimal.Decimal(1).scaleb(-places), context=decimal.Context(prec=1000))
    return str(value)


def plain(value: Any) -> Any:
    """Any value in a form that JSON knows, numbers that JavaScript can't hold as text.

    Raises:
        SerializationError: there is none.
    """
    if value is None or isinstance(value, bool | uuid.UUID):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return int(value) if abs(value) <= MAX_SAFE_INTEGER else str(int(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, dt.datetime):
        return _utc(value)
    if isinstance(value, dt.date):
        return value
    if isinstance(value, dt.time):
        return _time_text(value)
    if isinstance(value, dt.timedelta):
        return duration_iso_string(value)
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Promise | File):
        return str(value)
    raise SerializationError(
        f"A diff can't hold a {type(value).__module__}.{type(value).__qualname__}: turn it into text, a number, "
        "a list or a dict."
    )


def _key(key: Any) -> str:
    if isinstance(key, str):
        return _text(key)
    if isinstance(key, Promise):
        return str(key)
    if isinstance(key, int | float | uuid.UUID) and not isinstance(key, bool):
        return str(key)
    raise SerializationError(f"A diff's keys are text, not {type(key).__qualname__}.")


def _aware(value: dt.datetime) -> dt.datetime:
    if value.tzinfo is None and django_settings.USE_TZ:
        return timezone.make_aware(value, timezone.get_default_timezone())
    return value


def _utc(value: dt.datetime) -> dt.datetime:
    value = _aware(value)
    return value if value.tzinfo is None else value.astimezone(dt.timezone.utc)


def _time_text(value: dt.time) -> str:
    whole_milliseconds = value.microsecond % 1000 == 0 != value.microsecond
    return value.isoformat(timespec="milliseconds" if whole_milliseconds else "auto")


def many_to_many_data(field: AnyField, pks: Iterable[Any]) -> list[Any]:
    """The primary keys of a many-to-many field's objects, each once, in a fixed order."""
    found = list({pk for pk in pks if pk is not None})
    target = field.remote_field.model._meta.pk
    try:
        found.sort()
    except TypeError:
        found.sort(key=str)
    return [list(map(plain, pk)) if isinstance(pk, tuple) else stored(target, pk) for pk in found]


def row_data(registration: Registration, instance: models.Model) -> dict[str, Any]:
    """Everything of an object that diffs may hold, in their form.

    Args:
        registration: of its model.
        instance: the object; its many-to-many fields are read from its database.
    """
    data = {field.name: stored(field, getattr(instance, field.attname)) for field in registration.fields}
    for field in registration.many_to_many:
        rows = models.QuerySet(registration.model, using=instance._state.db).filter(pk=instance.pk)
        data[field.name] = many_to_many_data(field, rows.values_list(field.name, flat=True))
    return data
