"""django-pghistory: PostgreSQL's triggers copy the row into a table for each model."""

from __future__ import annotations

import pghistory
from django.apps import apps
from django.core.management import call_command

from benchmarks.project.shapes import ItemFields


@pghistory.track()
class Item(ItemFields):
    pass


def after_migrate() -> None:
    """Install the triggers, which migrations would do."""
    call_command("pgtrigger", "install", verbosity=0)


def recorded() -> int:
    """How many changes there are on record."""
    return apps.get_model("project", "ItemEvent").objects.count()
