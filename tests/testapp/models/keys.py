"""Primary keys other than a number, and a foreign key to something else than the primary key."""

from __future__ import annotations

import uuid

from django.db import models

import diffs


@diffs.register
class Token(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    label = models.CharField(max_length=100)


@diffs.register
class Country(models.Model):
    """Any text can be its key, also one with slashes, braces and spaces."""

    code = models.CharField(max_length=200, primary_key=True)
    name = models.CharField(max_length=100)


@diffs.register
class Seat(models.Model):
    pk = models.CompositePrimaryKey("row", "letter")
    row = models.IntegerField()
    letter = models.CharField(max_length=1)
    passenger = models.CharField(max_length=100, blank=True)


@diffs.register
class Currency(models.Model):
    code = models.CharField(max_length=3, unique=True)
    name = models.CharField(max_length=100)


@diffs.register(parent="currency")
class Rate(models.Model):
    """Its column holds the currency's code, and the parent's feed goes by the primary key."""

    currency = models.ForeignKey(Currency, models.CASCADE, to_field="code", related_name="rates")
    value = models.DecimalField(max_digits=12, decimal_places=6)
