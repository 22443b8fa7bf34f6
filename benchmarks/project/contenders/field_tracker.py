"""The tracker of django-model-utils, which knows what changed and keeps nothing of it."""

from __future__ import annotations

from model_utils import FieldTracker

from benchmarks.project.shapes import ItemFields


class Item(ItemFields):
    tracker = FieldTracker()
