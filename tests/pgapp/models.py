"""Fields that only PostgreSQL has."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField, DateRangeField, IntegerRangeField
from django.db import models

import diffs


@diffs.register
class Series(models.Model):
    """Arrays, flat and nested, and ranges."""

    values = ArrayField(models.IntegerField(), default=list)
    names = ArrayField(models.CharField(max_length=50), null=True)
    grid = ArrayField(ArrayField(models.DecimalField(max_digits=6, decimal_places=2)), default=list)
    bounds = IntegerRangeField(null=True)
    season = DateRangeField(null=True)

    class Meta:
        required_db_vendor = "postgresql"
