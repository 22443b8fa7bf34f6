"""The app of the registered run: every model of Django's tests is registered as soon as it is made."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import class_prepared

import diffs

# No test model has a field or a reverse relation of this name, nor could one guess it.
ACCESSOR = "_diffs_feed"


class RegistrationConfig(AppConfig):
    """Stands first among the installed apps, so that it listens before a model is made."""

    name = "suite"
    label = "django_suite"

    def ready(self) -> None:
        """Hold the diffs of each test against its tables."""
        from suite import convergence

        convergence.watch()


def register(sender: type[Any], **kwargs: Any) -> None:
    """Register the model that was just made, unless it has no table of its own or is no lasting model."""
    meta = sender._meta
    # Migrations, and tests that build models within one test, do it in app registries of their own.
    if not (meta.abstract or meta.proxy or meta.swapped) and meta.apps is apps:
        diffs.register(sender, accessor=ACCESSOR, databases=["default", "other"])


class_prepared.connect(register)
