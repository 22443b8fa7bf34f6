"""Fixtures and other raw saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.core.management import call_command

from tests.testapp.models import Author, Bar, Choice, Question, Restaurant, Tag

from .conftest import NOW
from .recorded import Recording, name, said

ALL = {"text": "Why?", "votes": 0, "pub_date": None, "meta": {}, "updated": NOW}


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def load(*rows: dict[str, Any]) -> None:
        fixture = tmp_path / "fixture.json"
        fixture.write_text(json.dumps(rows))
        call_command("loaddata", str(fixture), verbosity=0)

    return load


def row(model: str, pk: int, **fields: Any) -> dict[str, Any]:
    return {"model": f"testapp.{model}", "pk": pk, "fields": fields}


@pytest.mark.database
def test_fixtures_are_recorded(recording: Recording, load: Any) -> None:
    Tag.objects.create(pk=5, name="a")
    load(
        row("question", 1, **ALL, secret="x", tags=[5]),
        row("choice", 2, question=1, text="a", votes=3),
    )
    question, choice = Question.objects.get(), Choice.objects.get()
    made = said("create", choice, question=1, text="a", votes=3)
    assert recording.feeds() == {
        name(question): [said("create", question, **ALL), said("update", question, tags=[5]), made],
        name(choice): [made],
    }


@pytest.mark.database
def test_a_fixture_over_rows_that_are_there_is_an_update_of_all_that_it_writes(recording: Recording, load: Any) -> None:
    author = Author.objects.create(name="Ada")
    recording.forget()
    load(row("author", author.pk, name="Bob"), row("author", author.pk, name="Bob"))
    changed = said("update", author, name="Bob")
    assert recording.feeds() == {name(author): [changed, changed]}


@pytest.mark.database
def test_p5_a_fixture_that_fails_leaves_nothing(recording: Recording, load: Any) -> None:
    with pytest.raises(serializers.base.DeserializationError):
        load(row("author", 1, name="Ada"), row("author", 2, nothing=1))
    assert (recording.feeds(), Author.objects.count()) == ({}, 0)


@pytest.mark.database
def test_a_fixture_of_a_multi_table_child_tells_what_it_inherits(recording: Recording, load: Any) -> None:
    load(row("venue", 1, name="Ada's", capacity=20), row("bar", 1, beers=3))
    bar = Bar.objects.get()
    assert recording.feeds() == {name(bar): [said("create", bar, name="Ada's", capacity=20, beers=3)]}
    recording.forget()
    load(row("bar", 1, beers=4))
    assert recording.feeds() == {name(bar): [said("update", bar, beers=4)]}


@pytest.mark.database
def test_a_fixture_of_a_multi_table_child_of_a_registered_parent(recording: Recording, load: Any) -> None:
    load(row("place", 1, name="Ada's", address="a"), row("restaurant", 1, stars=2))
    restaurant = Restaurant.objects.get()
    assert recording.feeds() == {
        "testapp.place:1": [("create", "testapp.place", 1, {"name": "Ada's", "address": "a"})],
        name(restaurant): [said("create", restaurant, name="Ada's", address="a", stars=2)],
    }


@pytest.mark.database
def test_what_a_serializer_gives_back_is_recorded(recording: Recording, still: str) -> None:
    question = Question.objects.create(text="Why?")
    document = serializers.serialize("json", [question])
    recording.forget()
    Question.objects.update(text="Who?", votes=3)
    for deserialized in serializers.deserialize("json", document):
        deserialized.save()
    assert recording.feeds()[name(question)] == [
        said("update", question, text="Who?", votes=3),
        # Django's serializer cuts microseconds off.
        said("update", question, **{**ALL, "updated": "2024-02-29T12:30:00.123Z"}),
    ]
