"""What waits in the outboxes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from django.db import Error

from diffs.capture import outbox
from diffs.conf import settings
from diffs.registration import registrations

from .amounts import age_text, count_text


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """The outbox of one database."""

    database: str
    """Its alias."""
    rows: int | None
    """``None`` where the table can't be read."""
    lag: int
    """The age of the oldest row, microseconds."""

    @property
    def text(self) -> str:
        """For people."""
        if self.rows is None:
            return f"{self.database}: unknown"
        oldest = f", the oldest for {age_text(self.lag)}" if self.rows else ""
        return f"{self.database}: {count_text(self.rows, 'row')} waiting{oldest}"


def recorded_aliases() -> list[str]:
    """The databases whose changes are recorded."""
    return sorted({alias for registration in registrations() for alias in registration.options.databases})


def in_database(alias: str) -> Waiting:
    """What waits in one outbox.

    Raises:
        django.db.Error: it can't be read.
    """
    rows, lag = outbox.backlog(alias)
    return Waiting(alias, rows, int(lag.total_seconds() * 1_000_000))


def everywhere() -> Sequence[Waiting]:
    """What waits in each outbox; nothing where the settings ask for none."""
    return list(_everywhere()) if settings.outbox else []


def _everywhere() -> Iterator[Waiting]:
    for alias in recorded_aliases():
        try:
            yield in_database(alias)
        except Error:
            yield Waiting(alias, None, 0)
