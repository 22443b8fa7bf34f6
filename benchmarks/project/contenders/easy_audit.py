"""django-easy-audit: a row for each change of any model, in one table."""

from __future__ import annotations

from benchmarks.project.shapes import ItemFields


class Item(ItemFields):
    pass


def recorded() -> int:
    """How many changes there are on record."""
    from easyaudit.models import CRUDEvent

    return CRUDEvent.objects.count()
