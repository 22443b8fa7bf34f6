"""The contender's models: ``Item``, and of some ``Document``, ``Group`` and ``Member``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.db.backends.signals import connection_created

contender = import_module(f"benchmarks.project.contenders.{settings.BENCH['contender']}")


def _initialise(connection: Any, **_: Any) -> None:
    connection.connection.executescript(settings.INIT_COMMAND)


if getattr(settings, "INIT_COMMAND", ""):
    connection_created.connect(_initialise)
