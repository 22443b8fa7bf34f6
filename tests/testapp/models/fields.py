"""Fields of every kind, and classes that got somewhere first."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import models
from django.db.models import F

import diffs


@diffs.register
class Everything(models.Model):
    """A column of each kind that Django has on every database; all may be left out."""

    big = models.BigIntegerField(null=True)
    binary = models.BinaryField(null=True)
    boolean = models.BooleanField(default=False)
    char = models.CharField(max_length=100, blank=True)
    choice = models.CharField(max_length=1, choices={"a": "Alpha", "b": "Beta"}, default="a")
    date = models.DateField(null=True)
    datetime = models.DateTimeField(null=True)
    decimal = models.DecimalField(max_digits=20, decimal_places=8, null=True)
    duration = models.DurationField(null=True)
    email = models.EmailField(blank=True)
    file = models.FileField(upload_to="files", blank=True)
    float = models.FloatField(null=True)
    integer = models.IntegerField(null=True)
    ip = models.GenericIPAddressField(null=True)
    json = models.JSONField(null=True)
    maybe = models.BooleanField(null=True)
    positive = models.PositiveBigIntegerField(null=True)
    renamed = models.IntegerField(null=True, db_column="another_name")
    slug = models.SlugField(blank=True)
    small = models.SmallIntegerField(null=True)
    text = models.TextField(blank=True)
    time = models.TimeField(null=True)
    url = models.URLField(blank=True)
    uuid = models.UUIDField(null=True)


@diffs.register
class Rectangle(models.Model):
    """The database computes the area."""

    width = models.IntegerField()
    height = models.IntegerField()
    area = models.GeneratedField(
        expression=F("width") * F("height"), output_field=models.BigIntegerField(), db_persist=True
    )


@diffs.register(accessor="changes")
class Patch(models.Model):
    """Has a column of the name that the feed would have."""

    diffs = models.TextField()


@diffs.register
class Snapshot(models.Model):
    """Has a `from_db` of its own."""

    value = models.IntegerField(default=0)
    loaded: tuple[str, ...] = ()

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any) -> Snapshot:
        instance: Snapshot = super().from_db(db, field_names, values, **options)
        instance.loaded = tuple(field_names)
        return instance
