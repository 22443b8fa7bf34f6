"""The departures board."""

from django.apps import AppConfig


class BoardConfig(AppConfig):
    """Departures from New York's airports."""

    name = "board"
    default_auto_field = "django.db.models.BigAutoField"
