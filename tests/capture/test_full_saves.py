"""``full_saves="all"``: the diff of a save holds all that was written, changed or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, models, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

import diffs
from diffs.testing import registered
from tests.testapp.models import (
    Bar,
    Choice,
    Country,
    Crate,
    Currency,
    Note,
    Pallet,
    Place,
    Question,
    Rate,
    Rectangle,
    Restaurant,
    Score,
    Shelf,
    Venue,
)

from .conftest import NOW
from .recorded import Recording, name, said

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _all() -> Iterator[None]:
    with (
        registered(Question, exclude=["secret"], full_saves="all"),
        registered(Choice, parent="question", full_saves="all"),
    ):
        yield


@pytest.fixture
def question(still: str) -> Question:
    return Question.objects.create(text="Why?", secret="hush")


def loaded(instance: models.Model) -> Any:
    """Another object of the same row, as another process would have it."""
    return type(instance)._base_manager.get(pk=instance.pk)


ALL = {"text": "Why?", "votes": 0, "pub_date": None, "meta": {}, "updated": NOW}


def test_a_save_of_nothing_new_tells_all_that_it_wrote(question: Question) -> None:
    cursor = question.diffs.cursor
    loaded(question).save()
    async_to_sync(question.asave)()
    assert [(diff.action, dict(diff.data)) for diff in question.diffs.since(cursor)] == [("update", ALL)] * 2


def test_an_old_value_that_is_written_back_is_told(question: Question) -> None:
    stale = loaded(question)
    Question.objects.update(text="Who?", meta={"a": 1})
    stale.votes = 5
    stale.save()
    assert question.diffs[-1].data == {**ALL, "votes": 5}


def test_of_named_fields_all_are_told_and_no_others(question: Question) -> None:
    question.text = "Who?"
    question.save(update_fields=["votes", "secret", "meta"])
    assert question.diffs[-1].data == {"votes": 0, "meta": {}}
    Question.objects.update_or_create(pk=question.pk, defaults={"votes": 0})
    # Django itself names the moments, too, as it does with every field that has something to do before it is saved.
    assert question.diffs[-1].data == {"votes": 0, "pub_date": None, "updated": NOW}


def test_a_save_of_nothing_that_may_be_shown_tells_nothing(question: Question) -> None:
    cursor = question.diffs.cursor
    question.save(update_fields=["secret"])
    assert list(question.diffs.since(cursor)) == []


def test_deferred_fields_that_were_not_written_are_not_told(question: Question) -> None:
    partly = Question.objects.only("text", "votes").get(pk=question.pk)
    partly.save()
    assert question.diffs[-1].data == {"text": "Why?", "votes": 0}


def test_a_key_is_not_told_as_no_update_writes_it() -> None:
    with registered(Country, fields=["code", "name"], full_saves="all"):
        country = Country.objects.create(code="de", name="Germany")
        loaded(country).save()
        assert country.diffs[-1].data == {"name": "Germany"}


def test_expressions_and_generated_fields_are_read_back() -> None:
    with registered(Rectangle, full_saves="all"):
        rectangle = loaded(Rectangle.objects.create(width=2, height=3))
        rectangle.save()
        assert rectangle.diffs[-1].data == {"width": 2, "height": 3, "area": 6}
        rectangle.width = F("width") * 2
        rectangle.save()
        assert rectangle.diffs[-1].data == {"width": 4, "height": 3, "area": 12}


def test_what_is_rolled_back_leaves_none(question: Question) -> None:
    cursor = question.diffs.cursor
    with transaction.atomic():
        question.save()
        transaction.set_rollback(True)
    assert list(question.diffs.since(cursor)) == []


def test_a_hook_sees_all_that_was_written_with_what_the_object_knew_of_it() -> None:
    with registered(Score, full_saves="all"):
        score = loaded(Score.objects.create(name="a", points=1))
        Score.objects.update(name="newer")
        score.points = 2
        score.save()
        assert score.diffs[-1].data == {
            "created": False,
            "now": {"points": 2},
            "before": {"name": "a", "points": 1},
        }


def test_a_models_own_detection_only_says_what_was_before() -> None:
    with registered(Note, full_saves="all"):
        note = Note.objects.create(text="a")
        note.save()
        assert note.diffs[-1].data == {"text": "a", "topic": None}


def test_all_tables_of_an_object_are_told(recording: Recording) -> None:
    with registered(Place, full_saves="all"), registered(Restaurant, full_saves="all"):
        restaurant = Restaurant.objects.create(name="a", stars=1)
        recording.forget()
        restaurant.save()
        place = {"name": "a", "address": ""}
        assert recording.feeds() == {
            f"testapp.place:{restaurant.pk}": [("update", "testapp.place", restaurant.pk, place)],
            name(restaurant): [said("update", restaurant, **place, stars=1)],
        }


def test_inherited_fields_are_told_where_the_child_alone_is_registered(recording: Recording) -> None:
    with registered(Bar, full_saves="all"):
        bar = Bar.objects.create(name="a", beers=1)
        Venue.objects.update(name="newer")
        recording.forget()
        bar.save()
        assert recording.feeds() == {name(bar): [said("update", bar, name="a", capacity=0, beers=1)]}


def test_a_narrow_parent_of_a_child_that_tells_all_is_written_narrowly_and_told_so() -> None:
    with registered(Place, narrow=True), registered(Restaurant, full_saves="all"):
        restaurant = loaded(Restaurant.objects.create(name="a", stars=1))
        Place.objects.update(address="newer")
        restaurant.name = "b"
        restaurant.save()
        assert Restaurant.objects.get().address == "newer"
        assert restaurant.diffs[-1].data == {"name": "b", "stars": 1}


def parents(*feeds: Any) -> list[list[dict[str, Any]]]:
    return [[dict(diff.data) for diff in feed] for feed in feeds]


@pytest.mark.parametrize("fields", [None, ["question"], ["question_id"]], ids=str)
def test_a_foreign_key_that_is_written_back_is_told_to_both_parents(still: str, fields: list[str] | None) -> None:
    here, there, elsewhere = (Question.objects.create(text=text) for text in ("here", "there", "elsewhere"))
    choice = Choice.objects.create(question=here, text="a")
    stale = loaded(choice)
    Choice.objects.update(question=there)
    cursors = [question.diffs.cursor for question in (here, there, elsewhere)]
    stale.save(update_fields=fields)
    data = {"question": here.pk} if fields else {"question": here.pk, "text": "a", "votes": 0}
    feeds = [q.diffs.since(cursor) for q, cursor in zip((here, there, elsewhere), cursors, strict=True)]
    assert parents(*feeds) == [[data], [data], []]


def test_an_object_that_moves_on_from_where_it_was_not_known_to_be_is_told_to_the_parent_that_it_leaves() -> None:
    known, actual, new = (Question.objects.create(text=text) for text in ("known", "actual", "new"))
    choice = Choice.objects.create(question=known, text="a")
    stale = loaded(choice)
    Choice.objects.update(question=actual)
    cursors = [question.diffs.cursor for question in (known, actual, new)]
    stale.question = new
    stale.save()
    data = {"question": new.pk, "text": "a", "votes": 0}
    feeds = [q.diffs.since(cursor) for q, cursor in zip((known, actual, new), cursors, strict=True)]
    assert parents(*feeds) == [[], [data], [data]]


def test_named_fields_without_the_foreign_key_are_told_to_the_parent_that_the_row_has() -> None:
    known, actual = (Question.objects.create(text=text) for text in ("known", "actual"))
    choice = Choice.objects.create(question=known, text="a")
    stale = loaded(choice)
    Choice.objects.update(question=actual)
    cursors = [question.diffs.cursor for question in (known, actual)]
    stale.save(update_fields=["votes"])
    assert parents(known.diffs.since(cursors[0]), actual.diffs.since(cursors[1])) == [[], [{"votes": 0}]]


def test_a_new_object_that_takes_a_row_from_another_parent_is_told_to_both() -> None:
    here, there = (Question.objects.create(text=text) for text in ("here", "there"))
    choice = Choice.objects.create(question=here, text="a")
    cursor = here.diffs.cursor
    Choice(pk=choice.pk, question=there, text="b").save()
    data = {"question": there.pk, "text": "b", "votes": 0}
    assert parents(here.diffs.since(cursor), there.diffs.latest(1)) == [[data], [data]]


def test_a_fixture_that_moves_an_object_is_told_to_both_parents() -> None:
    here, there = (Question.objects.create(text=text) for text in ("here", "there"))
    choice = Choice.objects.create(question=here, text="a")
    cursor = here.diffs.cursor
    Choice(pk=choice.pk, question=there, text="b").save_base(raw=True)
    assert [diff.data["question"] for diff in here.diffs.since(cursor)] == [there.pk]


def test_a_parent_is_found_by_the_column_that_the_foreign_key_names() -> None:
    with registered(Rate, parent="currency", full_saves="all"):
        euro, dollar = (Currency.objects.create(code=code) for code in ("EUR", "USD"))
        rate = Rate.objects.create(currency=euro, value=1)
        stale = loaded(rate)
        Rate.objects.update(currency=dollar)
        cursors = euro.diffs.cursor, dollar.diffs.cursor
        stale.save()
        told = parents(euro.diffs.since(cursors[0]), dollar.diffs.since(cursors[1]))
        assert told == [[{"currency": "EUR", "value": "1.000000"}]] * 2


def test_a_parent_in_the_table_of_the_parent_class_hears_of_the_child_s() -> None:
    with registered(Crate), registered(Pallet, parent="shelf", full_saves="all"):
        here, there = (Shelf.objects.create(name=name) for name in ("here", "there"))
        stale = loaded(Pallet.objects.create(shelf=here))
        Crate.objects.update(shelf=there)
        cursors = here.diffs.cursor, there.diffs.cursor
        stale.save()
        told = [[diff.data["shelf"] for diff in shelf.diffs.since(cursor)] for shelf, cursor in
                zip((here, there), cursors, strict=True)]  # fmt: skip
        assert told == [[here.pk], [here.pk]]


def test_what_a_save_that_failed_had_read_is_not_taken_for_true_by_a_fixture() -> None:
    with registered(Crate), registered(Pallet, parent="shelf", full_saves="all"):
        here, there = (Shelf.objects.create(name=name) for name in ("here", "there"))
        pallet = Pallet.objects.create(shelf=here)
        pallet.load = "many"
        with pytest.raises(ValueError, match="many"):
            pallet.save()
        Crate.objects.update(shelf=there)
        cursors = here.diffs.cursor, there.diffs.cursor
        pallet.refresh_from_db()
        pallet.save_base(raw=True)
        assert parents(here.diffs.since(cursors[0]), there.diffs.since(cursors[1])) == [[], [{"load": 0}]]


def test_nothing_is_read_where_nothing_is_recorded(question: Question) -> None:
    choice = Choice.objects.create(question=question, text="a")
    with CaptureQueriesContext(connection) as captured, diffs.disabled():
        choice.save()
    assert len(captured) == 1


def test_the_parent_is_read_when_nobody_else_can_write_it_any_more(question: Question) -> None:
    choice = Choice.objects.create(question=question, text="a")
    with CaptureQueriesContext(connection) as captured:
        choice.save()
    statements = [query["sql"] for query in captured.captured_queries]
    kinds = [statement.split()[0] for statement in statements]
    if connection.vendor == "sqlite":
        assert kinds == ["BEGIN", "UPDATE", "SELECT", "UPDATE", "COMMIT"]
    else:
        assert kinds == ["BEGIN", "SELECT", "UPDATE", "COMMIT"]
        assert statements[1].endswith("FOR NO KEY UPDATE")
