"""Parents with tables, abstract bases and proxies."""

from __future__ import annotations

from django.db import models

import diffs

from .polls import Question


@diffs.register
class Place(models.Model):
    name = models.CharField(max_length=100)
    address = models.CharField(max_length=200, blank=True)


@diffs.register
class Restaurant(Place):
    """Parent and child are both registered."""

    stars = models.IntegerField(default=0)


class Venue(models.Model):
    name = models.CharField(max_length=100)
    capacity = models.IntegerField(default=0)


@diffs.register
class Bar(Venue):
    """Only the child is registered: its diffs hold what it inherits."""

    beers = models.IntegerField(default=0)


@diffs.register(exclude=["notes"], model_feed=True)
class Document(models.Model):
    """Abstract: its subclasses have its options."""

    title = models.CharField(max_length=100)
    notes = models.TextField(blank=True)

    class Meta:
        abstract = True


class Letter(Document):
    recipient = models.CharField(max_length=100, blank=True)


class Invoice(Document):
    total = models.DecimalField(max_digits=10, decimal_places=2, default=0)


@diffs.register
class Sheet(models.Model):
    meta = models.JSONField(default=dict)


@diffs.register
class Survey(Sheet):
    """Parent and child both have values that can change in place."""

    answers = models.JSONField(default=list)


class HotQuestion(Question):
    """A proxy of a registered model."""

    class Meta:
        proxy = True


@diffs.register
class Contact(models.Model):
    name = models.CharField(max_length=100)
    email = models.EmailField(blank=True)


class Friendly(Contact):
    class Meta:
        proxy = True


class Dear(Friendly):
    """A proxy of a proxy."""

    class Meta:
        proxy = True
