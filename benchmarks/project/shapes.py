"""The fields that every contender's models have."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db import models

START = dt.datetime(2013, 6, 13, 5, 15, tzinfo=dt.timezone.utc)


class ItemFields(models.Model):
    """Eight fields with the primary key, of the kinds that most models have."""

    name = models.CharField(max_length=100)
    status = models.CharField(max_length=20, default="new")
    votes = models.IntegerField(default=0)
    price = models.DecimalField(max_digits=10, decimal_places=2, default=Decimal("0.00"))
    is_open = models.BooleanField(default=True)
    starts = models.DateTimeField(default=START)
    note = models.TextField(blank=True)

    class Meta:
        abstract = True


class DocumentFields(ItemFields):
    """The same and a JSON field."""

    # The Django of the original has none.
    content = getattr(models, "JSONField", models.TextField)(default=dict)

    class Meta:
        abstract = True


class GroupFields(models.Model):
    """What members belong to."""

    name = models.CharField(max_length=100)

    class Meta:
        abstract = True


def item_values(number: int) -> dict[str, Any]:
    """The values of the fields of an item."""
    return {
        "name": f"Item number {number}",
        "status": "new",
        "votes": number % 100,
        "price": Decimal(number % 10_000) / 100,
        "is_open": number % 3 > 0,
        "starts": START + dt.timedelta(minutes=number),
        "note": f"What there is to say of item {number}. " * 2,
    }


def member_values(number: int) -> dict[str, Any]:
    """The values of the fields of a member of one of the first ten groups."""
    return {**item_values(number), "group_id": number % 10 + 1}


def document_values(number: int) -> dict[str, Any]:
    """The values of the fields of a document."""
    content = {"tags": ["storm", "night", str(number % 7)], "size": {"width": number % 50, "height": 7}, "draft": False}
    return {**item_values(number), "content": content}


VALUES: dict[str, Callable[[int], dict[str, Any]]] = {
    "Item": item_values,
    "Document": document_values,
    "Member": member_values,
    "Group": lambda number: {"name": f"Group {number}"},
}
"""By the model's name, what gives the values of its n-th row."""
