"""Rows that tell when they were updated, as one polls without diffs."""

from __future__ import annotations

from django.db import models

from benchmarks.project.shapes import ItemFields


class Stamped(ItemFields):
    updated_at = models.DateTimeField(db_index=True)
