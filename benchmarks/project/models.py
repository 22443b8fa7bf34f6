"""The contender's models: ``Item``, ``Document``, ``Group`` and ``Member``."""

from __future__ import annotations

from importlib import import_module

from django.conf import settings

contender = import_module(f"benchmarks.project.contenders.{settings.BENCH['contender']}")
