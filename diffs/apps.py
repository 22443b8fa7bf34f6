"""Wiring only."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core import mail
from django.db.models.signals import post_migrate


class DiffsConfig(AppConfig):
    """The application ``diffs``."""

    name = "diffs"
    verbose_name = "Diffs"

    def ready(self) -> None:
        """Wire registered models, now that all are loaded, and the system checks."""
        from . import registry
        from .checks import register_checks

        registry.activate()
        register_checks()
        post_migrate.connect(_refuse_after_migration, sender=self, dispatch_uid="diffs")


def _refuse_after_migration(using: str, plan: Any = None, **_: Any) -> None:
    """Models in migrations are not the registered ones, and ``flush`` sends nothing else."""
    from .capture.touching import touch_everything
    from .registration import registrations

    if plan is not None and hasattr(mail, "outbox"):
        # A test database is being made: nobody has read anything of it, but others may share the server.
        return
    if plan != [] and any(using in registration.options.databases for registration in registrations()):
        touch_everything(using)
