"""The outbox's table."""

from __future__ import annotations

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    """Makes ``diffs_outbox``."""

    initial = True
    dependencies: list[tuple[str, str]] = []
    operations = [
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
