"""One model per option of `register` that no other model of the tests has."""

from __future__ import annotations

from django.db import models

import diffs


@diffs.register(max_element_age=60)
class Ticker(models.Model):
    """Its diffs are kept for a minute."""

    symbol = models.CharField(max_length=10)
    price = models.FloatField(default=0.0)


@diffs.register(databases=["default", "other"])
class Archive(models.Model):
    """Recorded on both databases."""

    title = models.CharField(max_length=100)


@diffs.register(permission="public", fields=["headline", "body"])
class Notice(models.Model):
    """Everybody may pull it; the column that isn't named stays inside."""

    headline = models.CharField(max_length=100)
    body = models.TextField(blank=True)
    draft = models.TextField(blank=True)


@diffs.register(permission="authenticated")
class Bulletin(models.Model):
    """Whoever is logged in may pull it."""

    headline = models.CharField(max_length=100)
