"""A model feed, and children with two parents."""

from __future__ import annotations

from django.db import models

import diffs


@diffs.register(model_feed=True)
class Airport(models.Model):
    """All airports have one feed, besides their own."""

    code = models.CharField(max_length=3, unique=True)
    city = models.CharField(max_length=100)


@diffs.register
class Airline(models.Model):
    name = models.CharField(max_length=100)


@diffs.register(parent=("origin", "airline"))
class Flight(models.Model):
    """A child of two, one of them optional; the destination only refers."""

    origin = models.ForeignKey(Airport, models.CASCADE, related_name="departures")
    destination = models.ForeignKey(Airport, models.CASCADE, related_name="arrivals")
    airline = models.ForeignKey(Airline, models.CASCADE, null=True, related_name="flights")
    number = models.CharField(max_length=8)
    status = models.CharField(max_length=20, default="scheduled")
    delay = models.IntegerField(default=0)
