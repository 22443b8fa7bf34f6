"""Nothing but Django."""

from __future__ import annotations

from django.db import models

from benchmarks.project.shapes import DocumentFields, GroupFields, ItemFields


class Item(ItemFields):
    pass


class Document(DocumentFields):
    pass


class Group(GroupFields):
    pass


class Member(ItemFields):
    group = models.ForeignKey(Group, models.CASCADE, related_name="members")
