from __future__ import annotations

from django.apps import AppConfig


class PgAppConfig(AppConfig):
    """Models of what only PostgreSQL has; installed where the default database is one."""

    name = "tests.pgapp"
    label = "pgapp"
