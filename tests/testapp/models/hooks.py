"""Models with the hooks, old and new forms."""

from __future__ import annotations

from typing import Any

from dirtyfields import DirtyFieldsMixin
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

import diffs


@diffs.register
class Score(models.Model):
    """Says itself what a diff holds: what it was, and what it is. Nothing for a score below zero."""

    name = models.CharField(max_length=100)
    points = models.IntegerField(default=0)

    def serialize_diff(self, dirty_fields: dict[str, Any], created: bool = False) -> dict[str, Any] | None:
        if self.points < 0:
            return None
        return {"created": created, "now": {"points": self.points}, "before": dirty_fields}


@diffs.register
class LegacyScore(models.Model):
    """The older form of the hook takes one argument."""

    points = models.IntegerField(default=0)

    def serialize_diff(self, dirty_fields: dict[str, Any]) -> dict[str, Any]:
        return {"changed": sorted(dirty_fields), "points": self.points}


@diffs.register
class Draft(models.Model):
    """Shows nothing before it is published."""

    text = models.TextField()
    published = models.BooleanField(default=False)

    def send_diff(self) -> bool:
        return self.published


@diffs.register
class Topic(models.Model):
    name = models.CharField(max_length=100)
    items = GenericRelation("testapp.TaggedItem")


@diffs.register
class Comment(models.Model):
    """Names its parents itself: its topic, and the topic of what it answers."""

    topic = models.ForeignKey(Topic, models.CASCADE, related_name="comments")
    answers = models.ForeignKey("self", models.CASCADE, null=True, related_name="replies")
    text = models.TextField()

    def get_diff_parent(self) -> list[Topic]:
        topics = [self.topic_id, self.answers.topic_id] if self.answers else [self.topic_id]
        return [Topic(pk=pk) for pk in topics]


@diffs.register
class LegacyComment(models.Model):
    """The hook's older name."""

    topic = models.ForeignKey(Topic, models.CASCADE, related_name="legacy_comments")
    text = models.TextField()

    def get_parent_object(self) -> Topic:
        return self.topic


@diffs.register
class TaggedItem(models.Model):
    """Its parent can be of any model, which `parent=` can't say."""

    label = models.CharField(max_length=50)
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    target = GenericForeignKey()

    def get_diff_parent(self) -> models.Model | None:
        parent: models.Model | None = self.target
        return parent


@diffs.register
class Note(DirtyFieldsMixin, models.Model):  # type: ignore[misc]
    """Finds its changes with django-dirtyfields' own mixin."""

    text = models.TextField()
    topic = models.ForeignKey(Topic, models.CASCADE, null=True)


@diffs.register
class SelfAware(models.Model):
    """Finds its changes itself, and looks at its text only."""

    text = models.TextField()
    mood = models.CharField(max_length=20, default="calm")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known_text = self.text

    def get_dirty_fields(self, check_relationship: bool = False) -> dict[str, Any]:
        return {} if self.text == self.known_text else {"text": self.known_text}

    def save(self, **options: Any) -> None:
        super().save(**options)
        self.known_text = self.text
