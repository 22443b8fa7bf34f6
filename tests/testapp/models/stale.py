"""Saves that write only what changed, and fields that set themselves at each save."""

from __future__ import annotations

from django.core.files.storage import FileSystemStorage
from django.db import models

import diffs

from .extra import Shelf


class Counter(models.IntegerField):  # type: ignore[type-arg]
    """Other people's field: stores one more than the object holds, at each save."""

    def pre_save(self, model_instance: models.Model, add: bool) -> int:
        value: int = getattr(model_instance, self.attname) + (not add)
        setattr(model_instance, self.attname, value)
        return value


class Constant(models.CharField):  # type: ignore[type-arg]
    """Other people's field: what it stores never changes."""

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        return "constant"


def kept_in_place() -> FileSystemStorage:
    """A storage that a new file of the same name takes the place of the old one in."""
    return FileSystemStorage(allow_overwrite=True)


@diffs.register(narrow=True, parent="shelf")
class Crate(models.Model):
    """A child whose saves are narrowed."""

    shelf = models.ForeignKey(Shelf, models.CASCADE, null=True, related_name="crates")
    label = models.CharField(max_length=50, default="", blank=True)
    count = models.IntegerField(default=0)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    notes = models.JSONField(default=dict)
    photo = models.FileField(upload_to="crates", storage=kept_in_place, blank=True)


@diffs.register(narrow=True, parent="shelf")
class Pallet(Crate):
    """Its parent stands in the table of what it inherits from."""

    load = models.IntegerField(default=0)


@diffs.register(narrow=True)
class Stamped(models.Model):
    """Two of its fields set themselves at each save, one to what it is already."""

    text = models.CharField(max_length=50)
    touched = models.DateTimeField(auto_now=True)
    saves = Counter(default=0)
    kind = Constant(max_length=10, default="constant")


@diffs.register(narrow=True)
class Glass(models.Model):
    """The database computes how much fits in."""

    width = models.IntegerField()
    height = models.IntegerField()
    label = models.CharField(max_length=50, default="")
    area = models.GeneratedField(
        expression=models.F("width") * models.F("height"), output_field=models.BigIntegerField(), db_persist=True
    )


@diffs.register(narrow=True)
class Careful(models.Model):
    """Looks for its row before it writes it."""

    text = models.CharField(max_length=50)

    class Meta:
        select_on_save = True
