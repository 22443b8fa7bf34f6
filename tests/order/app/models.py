"""Rows that many processes write at once, and what the database itself knows of that."""

from __future__ import annotations

from django.db import models

import diffs
from tests.order.scenario import from_environment


@diffs.register(permission="public")
class Parent(models.Model):
    """What rows belong to."""

    text = models.CharField(max_length=40, default="")
    number = models.IntegerField(default=0)


class Tag(models.Model):
    """What rows are linked to."""

    text = models.CharField(max_length=40)


class Row(models.Model):
    """What is written."""

    parent = models.ForeignKey(Parent, models.CASCADE, related_name="rows")
    text = models.CharField(max_length=40)
    """Who wrote it last: each change has a text of its own."""
    number = models.IntegerField(default=0)
    tags = models.ManyToManyField(Tag, blank=True)


diffs.register(Row, parent="parent", model_feed=True, permission="public", **from_environment().register)


class Journal(models.Model):
    """A change, noted in its own transaction: what is here was committed."""

    token = models.CharField(max_length=40, db_index=True)
    """The change's actor."""
    feed = models.CharField(max_length=40)
    """One that it belongs into."""
    row = models.IntegerField()
    """The changed row's primary key; a parent's is negative."""
