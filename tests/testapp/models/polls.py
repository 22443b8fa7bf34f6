"""The models of most tests: a question and its choices."""

from __future__ import annotations

from django.db import models

import diffs


class Tag(models.Model):
    """Not registered: what happens to a tag shows in its questions alone."""

    name = models.CharField(max_length=50)


@diffs.register(exclude=["secret"])
class Question(models.Model):
    """A parent, with a field that must never be stored."""

    text = models.CharField(max_length=200)
    votes = models.IntegerField(default=0)
    pub_date = models.DateTimeField(null=True, blank=True)
    meta = models.JSONField(default=dict, blank=True)
    secret = models.CharField(max_length=100, blank=True)
    updated = models.DateTimeField(auto_now=True)
    tags = models.ManyToManyField(Tag, blank=True, related_name="questions")


@diffs.register(parent="question")
class Choice(models.Model):
    """A child: its diffs go to the question's feed as well."""

    question = models.ForeignKey(Question, models.CASCADE, related_name="choices")
    text = models.CharField(max_length=200)
    votes = models.IntegerField(default=0)
