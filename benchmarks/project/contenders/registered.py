"""The same models, registered."""

from __future__ import annotations

from django.db import models

import diffs
from benchmarks.project.shapes import DocumentFields, GroupFields, ItemFields


@diffs.register(permission="public")
class Item(ItemFields):
    pass


@diffs.register(permission="public")
class Document(DocumentFields):
    pass


@diffs.register(permission="public")
class Group(GroupFields):
    pass


@diffs.register(parent="group", permission="public")
class Member(ItemFields):
    group = models.ForeignKey(Group, models.CASCADE, related_name="members")


def recorded() -> int:
    """How many changes there are on record."""
    from benchmarks.operations import floor

    return floor.count_members("*:feed:*")
