"""The original django-diffs 0.1.16, in an environment of its own."""

from __future__ import annotations

import diffs
from benchmarks.project.shapes import ItemFields


@diffs.register
class Item(ItemFields):
    pass


def recorded() -> int:
    """How many changes there are on record."""
    from benchmarks.operations import floor

    return floor.count_members("*Item-*")
