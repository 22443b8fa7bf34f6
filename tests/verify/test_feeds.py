"""What is found by what feeds tell alone."""

from __future__ import annotations

import pytest

from diffs.store import Entry
from tests.testapp.models import Choice, Invoice, Question, Seat, Tag

from .conftest import Verify, is_refused, untold

pytestmark = pytest.mark.django_db(transaction=True)


def told_of(name: str) -> object:
    return lambda entry: str(entry.feed.name) == name


def test_objects_whose_feeds_were_told_everything_are_in_order(verify: Verify) -> None:
    question = Question.objects.create(text="What is life?", meta={"b": 1.0, "a": [True, None]})
    question.tags.add(Tag.objects.create(name="deep"))
    choice = Choice.objects.create(question=question, text="42")
    Choice.objects.filter(pk=choice.pk).update(votes=7)
    Choice.objects.create(question=question, text="43").delete()
    Seat.objects.create(row=1, letter="a", passenger="Ada")
    ran = verify()
    assert ran.error is None
    assert ran.out == "4 objects compared, 0 with differences.\n"


def test_missed_update_is_found(verify: Verify) -> None:
    question = Question.objects.create(text="What is life?")
    with untold():
        Question.objects.update(votes=5)
    ran = verify()
    assert ran.lines[0] == f"testapp.question:{question.pk}: missing update: votes"
    assert ran.lines[1] == "1 object compared, 1 with differences."
    assert str(ran.error) == (
        "The readers of 1 object have something else. With --repair, old cursors of their feeds are refused."
    )
