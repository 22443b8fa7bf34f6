"""The outbox's table. It stays empty unless the settings ask for the outbox, or for versions by the database."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class OutboxItem(models.Model):
    """What one operation of a transaction handed over, until Redis has it."""

    id = models.BigAutoField(primary_key=True)
    """Rises with each operation: what is committed later on one row has a higher one."""
    payload = models.BinaryField()
    """Diffs and floors, as `diffs.capture.outbox` writes them."""
    created = models.DateTimeField(db_default=Now())
    """By the database's clock."""

    class Meta:
        db_table = "diffs_outbox"
        default_permissions = ()

    def __str__(self) -> str:
        return f"item {self.pk} of the outbox"
