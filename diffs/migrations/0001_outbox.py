"""The outbox's table."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.models.functions import Now


class Migration(migrations.Migration):
    """Makes ``diffs_outbox``."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[Operation]] = [
        migrations.CreateModel(
            name="OutboxItem",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("payload", models.BinaryField()),
                ("created", models.DateTimeField(db_default=Now())),
            ],
            options={"db_table": "diffs_outbox", "default_permissions": ()},
        ),
    ]
