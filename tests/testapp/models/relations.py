"""Foreign keys that are set when their target goes, through models, and orders."""

from __future__ import annotations

from django.db import models

import diffs

# The author that takes over; no sequence gives this key to another one.
ANONYMOUS = 0


@diffs.register
class Author(models.Model):
    name = models.CharField(max_length=100)


@diffs.register(parent="author")
class Book(models.Model):
    """Deleting an author writes its books: none for the author, `ANONYMOUS` for the editor."""

    title = models.CharField(max_length=200)
    author = models.ForeignKey(Author, models.SET_NULL, null=True, related_name="books")
    editor = models.ForeignKey(Author, models.SET_DEFAULT, default=ANONYMOUS, related_name="edited")


class Person(models.Model):
    """Not registered: the target of a many-to-many field."""

    name = models.CharField(max_length=100)


@diffs.register
class Group(models.Model):
    name = models.CharField(max_length=100)
    members = models.ManyToManyField(Person, through="Membership", related_name="groups")


class Membership(models.Model):
    """Not registered: a through row shows as its group's members."""

    group = models.ForeignKey(Group, models.CASCADE)
    person = models.ForeignKey(Person, models.CASCADE)
    joined = models.DateField(null=True)


@diffs.register
class Friend(models.Model):
    """Related to its own kind, and one row of the table says both directions."""

    name = models.CharField(max_length=100)
    friends = models.ManyToManyField("self", blank=True)


@diffs.register
class Playlist(models.Model):
    name = models.CharField(max_length=100)


@diffs.register(parent="playlist")
class Song(models.Model):
    """Ordered within its playlist by a column that Django writes."""

    playlist = models.ForeignKey(Playlist, models.CASCADE, related_name="songs")
    title = models.CharField(max_length=100)

    class Meta:
        order_with_respect_to = "playlist"


@diffs.register
class Position(models.Model):
    """Where PostgreSQL can, it looks at the uniqueness only when the transaction commits."""

    name = models.CharField(max_length=100)
    place = models.IntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["place"], name="testapp_position_place", deferrable=models.Deferrable.DEFERRED
            )
        ]
