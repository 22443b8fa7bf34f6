"""What saving one object records, however it is saved."""

from __future__ import annotations

from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.db.models import F, Value
from django.db.models.functions import Upper

from diffs.capture import values
from tests.testapp.models import (
    Author,
    Choice,
    Country,
    Everything,
    Question,
    Rectangle,
    Seat,
    Token,
)

from .case import Steps, case
from .conftest import NOW
from .recorded import Recording, name, said

# Django 6 puts the value in the expression's place; before, the instance keeps the expression.
EXPRESSIONS_END = django.VERSION >= (6, 0)

ALL = {"text": "Why?", "votes": 0, "pub_date": None, "meta": {}, "updated": NOW}


@case
def test_create_has_all_fields() -> Steps:
    yield
    question = Question.objects.create(text="Why?")
    return {name(question): [said("create", question, **ALL)]}


@case
def test_first_save_has_all_fields() -> Steps:
    question = Question(text="Why?")
    yield
    question.save()
    return {name(question): [said("create", question, **ALL)]}


@case
def test_save_of_an_object_with_a_new_primary_key_is_an_insert() -> Steps:
    yield
    question = Question(pk=77, text="Why?")
    question.save()
    return {"testapp.question:77": [said("create", question, **ALL)]}


@case
def test_save_of_a_new_object_over_a_row_that_is_there_is_an_update_of_all_fields() -> Steps:
    pk = Question.objects.create(text="What?").pk
    yield
    question = Question(pk=pk, text="Why?")
    question.save()
    return {name(question): [said("update", question, **ALL)]}


@case
def test_save_has_only_what_changed() -> Steps:
    question = Question.objects.create(text="Why?")
    yield
    question.votes = 1
    question.save()
    return {name(question): [said("update", question, votes=1)]}


@case
def test_save_of_a_loaded_object_has_only_what_changed() -> Steps:
    question = Question.objects.get(pk=Question.objects.create(text="Why?").pk)
    yield
    question.votes = 1
    question.save()
    return {name(question): [said("update", question, votes=1)]}


@case
def test_each_save_has_what_changed_since_the_one_before() -> Steps:
    question = Question.objects.create(text="Why?")
    yield
    question.votes = 1
    question.save()
    question.text = "Who?"
    question.save()
    question.votes = 0
    question.save()
    return {
        name(question): [
            said("update", question, votes=1),
            said("update", question, text="Who?"),
            said("update", question, votes=0),
        ]
    }


@case
def test_save_of_nothing_new_records_nothing() -> Steps:
    created = Author.objects.create(name="Ada")
    loaded = Author.objects.get(pk=created.pk)
    yield
    created.save()
    loaded.save()
    loaded.name = "Bob"
    loaded.name = "Ada"
    loaded.save()
    return {}


@case
def test_a_value_that_changed_and_went_back_before_the_save_records_nothing() -> Steps:
    author = Author.objects.create(name="Ada")
    yield
    author.name = "Bob"
    author.name = "Ada"
    author.save(update_fields=["name"])
    return {}


@case
def test_save_of_named_fields_has_those_alone() -> Steps:
    question = Question.objects.create(text="Why?")
    yield
    question.text, question.votes = "Who?", 1
    question.save(update_fields=["votes"])
    return {name(question): [said("update", question, votes=1)]}


@case
def test_what_named_fields_left_out_comes_with_the_next_save() -> Steps:
    question = Question.objects.create(text="Why?")
    question.text, question.votes = "Who?", 1
    question.save(update_fields=["votes"])
    yield
    question.save()
    return {name(question): [said("update", question, text="Who?")]}


@case
def test_fields_named_by_their_column_are_those_fields() -> Steps:
    first, second = Question.objects.create(text="Why?"), Question.objects.create(text="Who?")
    choice = Choice.objects.create(question=first, text="Because")
    yield
    choice.question, choice.votes = second, 5
    choice.save(update_fields=["question_id"])
    expected = [said("update", choice, question=second.pk)]
    return {name(choice): expected, name(first): expected, name(second): expected}


@case
def test_save_of_no_fields_records_nothing() -> Steps:
    question = Question.objects.create(text="Why?")
    yield
    question.votes = 1
    question.save(update_fields=[])
    return {}


@case
def test_auto_now_is_recorded_as_it_was_written() -> Steps:
    question = Question.objects.create(text="Why?")
    Question.objects.filter(pk=question.pk).update(updated="2001-01-01T00:00:00Z")
    question = Question.objects.get(pk=question.pk)
    yield
    question.votes = 1
    question.save()
    return {name(question): [said("update", question, votes=1, updated=NOW)]}


@case
def test_get_or_create_records_what_it_creates() -> Steps:
    there = Author.objects.create(name="Ada")
    yield
    assert Author.objects.get_or_create(name="Ada") == (there, False)
    made, _ = Author.objects.get_or_create(name="Bob")
    return {name(made): [said("create", made, name="Bob")]}


@case
def test_update_or_create_records_what_it_does() -> Steps:
    there = Author.objects.create(name="Ada")
    yield
    Author.objects.update_or_create({"name": "Bob"}, pk=there.pk)
    made, _ = Author.objects.update_or_create({"name": "Eve"}, name="Fay")
    return {
        name(there): [said("update", there, name="Bob")],
        name(made): [said("create", made, name="Eve")],
    }


@case
def test_asynchronous_saves_are_saves() -> Steps:
    author = Author.objects.create(name="Ada")
    yield

    async def work() -> list[Author]:
        author.name = "Bob"
        await author.asave()
        made = await Author.objects.acreate(name="Eve")
        found, _ = await Author.objects.aget_or_create(name="Fay")
        put, _ = await Author.objects.aupdate_or_create({"name": "Gus"}, name="Gil")
        return [made, found, put]

    made, found, put = async_to_sync(work)()
    return {
        name(author): [said("update", author, name="Bob")],
        name(made): [said("create", made, name="Eve")],
        name(found): [said("create", found, name="Fay")],
        name(put): [said("create", put, name="Gus")],
    }


@pytest.mark.database
def test_a_row_that_is_gone_when_it_is_read_back_is_told_without_what_nobody_knows(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else was faster."""

    def gone(field: Any, value: Any, using: str) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM testapp_rectangle")
        return must_be_read(field, value, using)

    rectangle = Rectangle.objects.create(width=2, height=3)
    recording.forget()
    must_be_read = values.must_be_read
    monkeypatch.setattr(values, "must_be_read", gone)
    rectangle.width, rectangle.height = 4, F("height") + 1
    rectangle.save()
    ((told,),) = recording.feeds().values()
    assert told[:3] == said("update", rectangle)[:3]
    assert told[3]["width"] == 4


@case
def test_an_expression_is_recorded_as_what_the_database_made_of_it() -> Steps:
    question = Question.objects.create(text="Why?", votes=4)
    yield
    question.votes = F("votes") + 1
    question.text = Upper(Value("who?"))
    question.save()
    return {name(question): [said("update", question, text="WHO?", votes=5)]}


@case
def test_an_expression_in_an_insert_is_recorded_as_what_the_database_made_of_it() -> Steps:
    yield
    author = Author.objects.create(name=Upper(Value("ada")))
    return {name(author): [said("create", author, name="ADA")]}


@case
def test_an_expression_whose_outcome_isnt_known_is_reported_even_if_it_changes_nothing() -> Steps:
    question = Question.objects.create(text="Why?", votes=4)
    yield
    question.votes = F("votes")
    question.save()
    return {} if EXPRESSIONS_END else {name(question): [said("update", question, votes=4)]}


@case
def test_a_value_behind_an_expression_whose_outcome_isnt_known_is_reported() -> Steps:
    question = Question.objects.create(text="Why?", votes=4)
    question.votes = F("votes") + 1
    question.save()
    yield
    question.votes = 5
    question.save()
    return {} if EXPRESSIONS_END else {name(question): [said("update", question, votes=5)]}


@case
def test_a_generated_field_is_recorded_with_what_it_is_computed_from() -> Steps:
    yield
    rectangle = Rectangle.objects.create(width=2, height=3)
    rectangle.width = 4
    rectangle.save()
    rectangle.height = 5
    rectangle.save(update_fields=["height"])
    rectangle.save()
    return {
        name(rectangle): [
            said("create", rectangle, width=2, height=3, area=6),
            said("update", rectangle, width=4, area=12),
            said("update", rectangle, height=5, area=20),
        ]
    }


@case
def test_a_column_goes_by_the_name_of_its_field() -> Steps:
    everything = Everything.objects.create()
    yield
    everything.renamed = 7
    everything.save()
    return {name(everything): [said("update", everything, renamed=7)]}


@case
def test_a_child_goes_to_its_own_feed_and_to_its_parents() -> Steps:
    question = Question.objects.create(text="Why?")
    yield
    choice = Choice.objects.create(question=question, text="Because")
    choice.votes = 1
    choice.save()
    expected = [
        said("create", choice, question=question.pk, text="Because", votes=0),
        said("update", choice, votes=1),
    ]
    return {name(choice): expected, name(question): expected}


@case
def test_keys_of_every_kind_have_feeds() -> Steps:
    yield
    token = Token.objects.create(label="a")
    country = Country.objects.create(code="a/b {c}@:é", name="b")
    seat = Seat.objects.create(row=7, letter=",", passenger="c")
    seat.passenger = "d"
    seat.save()
    return {
        name(token): [said("create", token, label="a")],
        "testapp.country:a/b {c}@:é": [said("create", country, name="b")],
        "testapp.seat:7,~,": [
            ("create", "testapp.seat", [7, ","], {"row": 7, "letter": ",", "passenger": "c"}),
            ("update", "testapp.seat", [7, ","], {"passenger": "d"}),
        ],
    }
