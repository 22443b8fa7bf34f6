"""django-simple-history: a copy of the row for each change, in a table for each model."""

from __future__ import annotations

from simple_history.models import HistoricalRecords

from benchmarks.project.shapes import ItemFields


class Item(ItemFields):
    history = HistoricalRecords()


def recorded() -> int:
    """How many changes there are on record."""
    return Item.history.count()
