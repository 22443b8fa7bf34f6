"""django-auditlog: a row for each change, in one table."""

from __future__ import annotations

from auditlog.registry import auditlog

from benchmarks.project.shapes import ItemFields


class Item(ItemFields):
    pass


auditlog.register(Item)


def recorded() -> int:
    """How many changes there are on record."""
    from auditlog.models import LogEntry

    return LogEntry.objects.count()
