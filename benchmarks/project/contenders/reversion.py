"""django-reversion: a serialized copy of the row for each change, within a revision."""

from __future__ import annotations

from typing import Any

import reversion

from benchmarks.project.shapes import ItemFields


@reversion.register()
class Item(ItemFields):
    pass


def save(instance: Any) -> None:
    """As its documents have it: only what is saved in a revision is on record."""
    with reversion.create_revision():
        instance.save()


def recorded() -> int:
    """How many changes there are on record."""
    from reversion.models import Version

    return Version.objects.count()
