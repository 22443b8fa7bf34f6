"""Sends what the outbox holds, once everybody who was killed has let go of the database."""

from __future__ import annotations

from pathlib import Path

from django.core.management import call_command
from django.db import connection, transaction

from diffs.store import drain

from .lateness import note_late_diffs


def relay(late: Path) -> None:
    """Leave nothing in the outbox.

    Args:
        late: a file for what comes late.
    """
    from diffs.models import OutboxItem

    note_late_diffs(late)
    _wait_for_the_killed()
    call_command("relay_diffs", verbosity=0)
    # As at the end of a process.
    assert drain()
    assert not OutboxItem.objects.exists(), "Something stays in the outbox."


def _wait_for_the_killed() -> None:
    """A commit that a process was killed in is under way still, for a moment."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("LOCK TABLE order_journal IN ACCESS EXCLUSIVE MODE")
        elif connection.vendor == "mysql":
            cursor.execute("LOCK TABLES order_journal WRITE")
            cursor.execute("UNLOCK TABLES")
        else:
            # The transaction of this connection begins only when no other writes.
            cursor.execute("SELECT 1")
