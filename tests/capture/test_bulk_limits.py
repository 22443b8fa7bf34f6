"""More objects at once than ``max_bulk_diffs``: whichever way they are written, old cursors are refused instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.testapp.models import (
    Airport,
    Author,
    Book,
    Choice,
    Group,
    Membership,
    Person,
    Question,
    Tag,
    Token,
)
from tests.testapp.models.relations import ANONYMOUS

from .recorded import Recording

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

LIMIT = 3

Write = Callable[[], object]
Prepare = Callable[[int], Write]
"""Makes so many objects, and returns what writes them all at once."""


def update(count: int) -> Write:
    Token.objects.bulk_create([Token(label=str(number)) for number in range(count)])
    return lambda: Token.objects.update(label="same")


def bulk_update(count: int) -> Write:
    made = Token.objects.bulk_create([Token(label=str(number)) for number in range(count)])
    for token in made:
        token.label = "new"
    return lambda: Token.objects.bulk_update(made, ["label"], batch_size=2)


def bulk_create(count: int) -> Write:
    return lambda: Token.objects.bulk_create([Token(label=str(number)) for number in range(count)], batch_size=2)


def bulk_create_ignoring_conflicts(count: int) -> Write:
    made = [Token(label=str(number)) for number in range(count)]
    return lambda: Token.objects.bulk_create(made, ignore_conflicts=True)


def bulk_create_updating_conflicts(count: int) -> Write:
    made = [Token(label=str(number)) for number in range(count)]
    return lambda: Token.objects.bulk_create(made, update_conflicts=True, update_fields=["label"], unique_fields=["id"])


def delete(count: int) -> Write:
    Token.objects.bulk_create([Token(label=str(number)) for number in range(count)])
    return lambda: Token.objects.all().delete()


@pytest.mark.parametrize(
    "prepare",
    [
        update,
        bulk_update,
        bulk_create,
        bulk_create_ignoring_conflicts,
        bulk_create_updating_conflicts,
        delete,
    ],
)
@pytest.mark.parametrize("count", [LIMIT, LIMIT + 1])
def test_as_many_as_the_limit_get_diffs_and_more_of_them_floors(
    recording: Recording, settings: Any, prepare: Prepare, count: int
) -> None:
    write = prepare(count)
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "max_bulk_diffs": LIMIT}
    recording.forget()
    write()
    if count > LIMIT:
        assert (recording.feeds(), recording.floors()) == ({}, {"testapp.token:*"})
    else:
        assert (len(recording.feeds()), recording.floors()) == (count, set())


def set_null(count: int) -> Write:
    """Books whose author goes."""
    author, editor = Author.objects.create(name="a"), Author.objects.create(pk=ANONYMOUS, name="b")
    Book.objects.bulk_create([Book(title=str(number), author=author, editor=editor) for number in range(count)])
    return author.delete


def cascade(count: int) -> Write:
    """Choices whose question goes."""
    question = Question.objects.create(text="Why?")
    Choice.objects.bulk_create([Choice(question=question, text=str(number)) for number in range(count)])
    return question.delete


def related_update(count: int) -> Write:
    """Choices that move to another question by its manager."""
    old, new = Question.objects.create(text="old"), Question.objects.create(text="new")
    made = Choice.objects.bulk_create([Choice(question=old, text=str(number)) for number in range(count)])
    return lambda: new.choices.add(*made)


def model_feed(count: int) -> Write:
    Airport.objects.bulk_create([Airport(code=str(number), city="") for number in range(count)])
    return lambda: Airport.objects.update(city="same")


def target_with_many_owners(count: int) -> Write:
    """A tag that many questions get."""
    tag = Tag.objects.create(name="a")
    made = Question.objects.bulk_create([Question(text=str(number)) for number in range(count)])
    return lambda: tag.questions.add(*made)


def deleted_target(count: int) -> Write:
    tag = Tag.objects.create(name="a")
    tag.questions.add(*Question.objects.bulk_create([Question(text=str(number)) for number in range(count)]))
    return tag.delete


def through_rows(count: int) -> Write:
    person = Person.objects.create(name="a")
    groups = Group.objects.bulk_create([Group(name=str(number)) for number in range(count)])
    return lambda: Membership.objects.bulk_create([Membership(group=group, person=person) for group in groups])


ALONG = {
    set_null: {"testapp.author:*", "testapp.book:*"},
    cascade: {"testapp.choice:*", "testapp.question:*"},
    related_update: {"testapp.choice:*", "testapp.question:*"},
    model_feed: {"testapp.airport:*"},
    target_with_many_owners: {"testapp.question:*"},
    deleted_target: {"testapp.question:*"},
    through_rows: {"testapp.group:*"},
}


@pytest.mark.parametrize("prepare", ALONG)
@pytest.mark.parametrize("count", [LIMIT, LIMIT + 1])
def test_what_is_written_along_with_something_else_is_limited_as_well(
    recording: Recording, settings: Any, prepare: Prepare, count: int
) -> None:
    write = prepare(count)
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "max_bulk_diffs": LIMIT}
    recording.forget()
    write()
    if count > LIMIT:
        assert recording.floors() == ALONG[prepare]
        # The one object that was written itself may have its diff.
        assert sum(map(len, recording.feeds().values())) <= 1
    else:
        assert (len(recording.feeds()) >= count, recording.floors()) == (True, set())
