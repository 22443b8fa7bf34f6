"""What deletions write by a function of the project's own, columns that the database fills, other people's fields."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import django
from django.db import models
from django.db.models.functions import Upper

import diffs

HAS_DB_CASCADE = django.VERSION >= (6, 1)


def oldest_shelf() -> Shelf | None:
    oldest: Shelf | None = Shelf.objects.order_by("pk").first()
    return oldest


def let_go(collector: Any, field: Any, sub_objs: Any, using: str) -> None:
    """An ``on_delete`` that looks at the objects before it writes them."""
    collector.add_field_update(field, None, list(sub_objs))


@diffs.register
class Shelf(models.Model):
    name = models.CharField(max_length=50)


@diffs.register(parent="shelf")
class Parcel(models.Model):
    """A column by the database's default, and foreign keys that a function sets free."""

    shelf = models.ForeignKey(Shelf, models.SET(oldest_shelf), null=True, related_name="parcels")
    reserve = models.ForeignKey(Shelf, let_go, null=True, related_name="reserved")
    weight = models.IntegerField(db_default=7)
    label = models.CharField(max_length=50, db_default=Upper(models.Value("parcel")))


class Celsius(models.Field):  # type: ignore[type-arg]
    """Other people's field: keeps text in the column and an object on the instance, which can change in place."""

    def get_internal_type(self) -> str:
        return "CharField"

    def db_type(self, connection: Any) -> str:
        return "varchar(20)"

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Temperature | None:
        return None if value is None else Temperature(float(value))

    def to_python(self, value: Any) -> Temperature | None:
        return value if value is None or isinstance(value, Temperature) else Temperature(float(value))

    def get_prep_value(self, value: Any) -> str | None:
        return None if value is None else str(value.degrees)

    def value_to_string(self, obj: models.Model) -> str:
        return f"{self.value_from_object(obj).degrees} °C"


class Temperature:
    def __init__(self, degrees: float) -> None:
        self.degrees = degrees

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Temperature) and other.degrees == self.degrees

    def __hash__(self) -> int:
        return hash(self.degrees)


class Complex(json.JSONEncoder):
    """Writes what JSON doesn't know."""

    def default(self, o: Any) -> Any:
        return sorted(o) if isinstance(o, Collection) else super().default(o)


@diffs.register
class Probe(models.Model):
    celsius = Celsius(null=True)
    notes = models.JSONField(default=dict, encoder=Complex)


if HAS_DB_CASCADE:

    @diffs.register
    class Leaf(models.Model):
        """The database deletes it without a word."""

        shelf = models.ForeignKey(Shelf, models.DB_CASCADE)
