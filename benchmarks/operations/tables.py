"""The database of a contender, and the rows in it."""

from __future__ import annotations

import gc
from typing import Any

from django.apps import apps
from django.core.management import call_command
from django.db import connection

from benchmarks.project import shapes
from benchmarks.project.models import contender
from benchmarks.project.settings import BENCH


def make() -> None:
    """Make the tables.

    Raises:
        ValueError: the contender's ``DIFFS_SETTINGS`` have a fault; what it measured would be something else.
    """
    if BENCH["diffs"]:
        from diffs import conf

        for problem in conf.problems():
            raise ValueError(problem.message)
    call_command("migrate", run_syncdb=True, verbosity=0)
    if hasattr(contender, "after_migrate"):
        contender.after_migrate()
    # All that stays: looking through it before each turn takes longer than many a turn.
    gc.collect()
    gc.freeze()


def model_of(name: str) -> Any:
    """A model of the contender: ``"Item"``, ``"Document"``, ``"Group"`` or ``"Member"``."""
    return apps.get_model("project", name)


def values_of(name: str, number: int) -> dict[str, Any]:
    """The values of a row of a model."""
    return shapes.VALUES[name](number)


def fill(*, model: str, rows: int) -> None:
    """Insert rows, past whatever looks at models."""
    owner: Any = model_of(model)
    fields: list[Any] = [field for field in owner._meta.concrete_fields if not field.primary_key]
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {owner._meta.db_table} ({names}) VALUES ({marks})",
            [
                [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]
                for row in (owner(**values_of(model, number)) for number in range(rows))
            ],
        )


def served_by() -> dict[str, int]:
    """The process of the database's server that serves this one; 0 where there is none."""
    if connection.vendor == "sqlite":
        return {"pid": 0}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return {"pid": cursor.fetchone()[0]}


def settle() -> None:
    """Do what the database would else do in the middle of somebody's round."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
