"""Fixtures for pytest: write ``pytest_plugins = ["diffs.pytest_plugin"]`` in the project's first ``conftest.py``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .store import Store


@pytest.fixture
def diffs_store() -> Iterator[Store]:
    """An in-process store for the test, empty at first: no server is needed, and none is touched."""
    # Not before: a plugin is imported while Django has no settings yet.
    from .testing import fresh_store

    with fresh_store(fake=True) as store:
        yield store
