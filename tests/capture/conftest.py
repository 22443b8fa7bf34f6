"""What tests of the capture need."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from django.utils import timezone

from .recorded import Recording

NOW = "2024-02-29T12:30:00.123456Z"


@pytest.fixture
def recording(transactional_db: None) -> Recording:
    """What the test records; its transactions are real ones."""
    return Recording()


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Django's clock stands still; gives the text that ``auto_now`` columns have then."""
    moment = dt.datetime.fromisoformat(NOW.replace("Z", "+00:00"))
    monkeypatch.setattr(timezone, "now", lambda: moment)
    yield NOW
