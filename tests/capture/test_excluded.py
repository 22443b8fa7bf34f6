"""P8: what may not appear in diffs is never stored, whatever is done to the object."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core import serializers
from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Concat

from diffs.registration import require
from diffs.testing import registered
from tests.servers import RedisServer
from tests.testapp.models import Choice, Letter, Notice, Place, Question, Rectangle, Restaurant, Score

from .recorded import Recording, name, said

SECRET = "s3cr3t-"


def secret(number: int) -> str:
    return f"{SECRET}{number}"


def create() -> Question:
    return Question.objects.create(text="Why?", secret=secret(0))


def save(question: Question) -> None:
    question.secret, question.votes = secret(1), 1
    question.save()
    question.secret = secret(2)
    question.save()
    question.secret = secret(3)
    question.save(update_fields=["secret"])


def save_by_expression(question: Question) -> None:
    question.secret = Concat(F("secret"), Value("x"))
    question.votes = F("votes") + 1
    question.save()


def update(question: Question) -> None:
    Question.objects.update(secret=secret(1))
    Question.objects.update(secret=secret(2), votes=5)
    Question.objects.update(secret=Concat(F("secret"), Value("x")), votes=F("votes") + 1)


def bulk_create(question: Question) -> None:
    Question.objects.bulk_create([Question(text="a", secret=secret(1))])
    Question.objects.bulk_create(
        [Question(pk=question.pk, text="b", secret=secret(2))],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["secret", "text"],
    )
    Question.objects.bulk_create([Question(pk=question.pk + 100, text="c", secret=secret(3))], ignore_conflicts=True)


def bulk_update(question: Question) -> None:
    question.secret, question.votes = secret(1), 1
    Question.objects.bulk_update([question], ["secret"])
    Question.objects.bulk_update([question], ["secret", "votes"])
    question.secret = Concat(F("secret"), Value("x"))
    Question.objects.bulk_update([question], ["secret"])


def relate(question: Question) -> None:
    question.tags.create(name="a")
    question.tags.clear()


def delete(question: Question) -> None:
    question.delete()


def load(question: Question) -> None:
    document = serializers.serialize("json", [question])
    question.delete()
    for deserialized in serializers.deserialize("json", document):
        deserialized.save()


def in_a_transaction(question: Question) -> None:
    with transaction.atomic():
        save(question)
        update(question)


OPERATIONS = [save, save_by_expression, update, bulk_create, bulk_update, relate, delete, load, in_a_transaction]


def everything_stored(server: RedisServer) -> bytes:
    """All that the server holds, keys and values."""
    client = server.client
    found = []
    for key in client.keys("*"):
        kind = client.type(key)
        found.append(key)
        if kind == b"zset":
            found += client.zrange(key, 0, -1)
        elif kind == b"hash":
            found += [part for pair in client.hgetall(key).items() for part in pair]
        else:
            found.append(client.get(key))
    return b"\n".join(found)


@pytest.mark.database
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_p8_an_excluded_field_is_never_stored(
    recording: Recording, redis_server: RedisServer, operation: Callable[[Question], None]
) -> None:
    question = create()
    operation(question)
    stored = everything_stored(redis_server)
    assert b"Why?" in stored
    assert SECRET.encode() not in stored
    assert b"secret" not in stored


@pytest.mark.database
def test_p8_a_change_of_an_excluded_field_alone_is_no_diff(recording: Recording, still: str) -> None:
    question = create()
    recording.forget()
    question.secret = secret(1)
    question.save()
    Question.objects.update(secret=secret(2))
    Question.objects.bulk_update([question], ["secret"])
    assert (recording.feeds(), recording.floors()) == ({}, set())


@pytest.mark.database
def test_p8_fields_that_arent_named_are_never_stored(recording: Recording, redis_server: RedisServer) -> None:
    notice = Notice.objects.create(headline="a", draft=secret(0))
    notice.draft = secret(1)
    notice.save()
    Notice.objects.update(draft=secret(2), body="b")
    assert recording.feeds() == {
        name(notice): [said("create", notice, headline="a", body=""), said("update", notice, body="b")]
    }
    assert SECRET.encode() not in everything_stored(redis_server)


@pytest.mark.database
def test_p8_options_of_an_abstract_base_hold_for_its_subclasses(
    recording: Recording, redis_server: RedisServer
) -> None:
    Letter.objects.create(title="Why?", notes=secret(0))
    Letter.objects.update(notes=secret(1), recipient="Ada")
    assert SECRET.encode() not in everything_stored(redis_server)


@pytest.mark.database
def test_p8_a_generated_field_shows_only_where_it_may(recording: Recording) -> None:
    with registered(Rectangle, exclude=["width"]):
        rectangle = Rectangle.objects.create(width=2, height=3)
        rectangle.width = 3
        rectangle.save()
        Rectangle.objects.update(width=4)
        rectangle.width = 5
        Rectangle.objects.bulk_update([rectangle], ["width"])
    told = [said("update", rectangle, area=area) for area in (9, 12, 15)]
    assert recording.feeds() == {name(rectangle): [said("create", rectangle, height=3, area=6), *told]}


@pytest.mark.database
def test_p8_the_column_of_a_foreign_key_goes_by_either_name(recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    for excluded in ("question", "question_id"):
        with registered(Choice, exclude=[excluded]):
            recording.forget()
            choice = Choice.objects.create(question=question, text="a")
            feed = f"testapp.choice:{choice.pk}"
            assert recording.feeds() == {feed: [("create", "testapp.choice", choice.pk, {"text": "a", "votes": 0})]}


@pytest.mark.database
def test_p8_many_to_many_fields_may_be_left_out(recording: Recording, still: str) -> None:
    with registered(Question, fields=["text"]):
        question = create()
        question.tags.create(name="a")
        question.tags.clear()
        question.votes = 1
        question.save()
    assert recording.feeds() == {name(question): [said("create", question, text="Why?")]}


@pytest.mark.database
def test_p8_what_the_parents_table_keeps_back_its_children_dont_show(
    recording: Recording, redis_server: RedisServer
) -> None:
    with registered(Place, exclude=["address"]):
        restaurant = Restaurant.objects.create(name="Why?", address=secret(0))
        restaurant.address = secret(1)
        restaurant.save()
        Restaurant.objects.update(address=secret(2), stars=1)
    stored = everything_stored(redis_server)
    assert b"Why?" in stored
    assert SECRET.encode() not in stored


def test_a_child_that_names_the_field_itself_shows_what_its_parents_table_keeps_back() -> None:
    with registered(Place, exclude=["name"]), registered(Restaurant, fields=["name"]):
        assert [field.name for field in require(Restaurant).fields] == ["name"]


def test_p8_what_the_hook_puts_in_is_its_authors_responsibility(recording: Recording) -> None:
    with registered(Score, exclude=["points"]):
        score = Score.objects.create(name="Ada", points=1)
        told = {"created": True, "now": {"points": 1}, "before": {"name": "Ada"}}
        assert recording.feeds() == {name(score): [said("create", score, **told)]}
        recording.forget()
        score.points = 2
        score.save()
        assert recording.feeds() == {}
