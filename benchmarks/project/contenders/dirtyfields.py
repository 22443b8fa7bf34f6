"""django-dirtyfields, which knows what changed and keeps nothing of it."""

from __future__ import annotations

from dirtyfields import DirtyFieldsMixin

from benchmarks.project.shapes import ItemFields


class Item(DirtyFieldsMixin, ItemFields):
    pass
