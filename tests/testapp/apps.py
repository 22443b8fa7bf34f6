from __future__ import annotations

from django.apps import AppConfig


class TestAppConfig(AppConfig):
    """The models that the tests change."""

    name = "tests.testapp"
    label = "testapp"
