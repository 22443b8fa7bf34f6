"""The contender's models: ``Item``, and of some ``Document``, ``Group`` and ``Member``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.db.backends.signals import connection_created

from .settings import BENCH, INIT_COMMAND

contender: Any = import_module(f"benchmarks.project.contenders.{BENCH['contender']}")


def _initialise(connection: Any, **_: Any) -> None:
    connection.connection.executescript(INIT_COMMAND)


if INIT_COMMAND:
    connection_created.connect(_initialise)
