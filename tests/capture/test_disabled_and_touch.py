"""Where no diffs are recorded, old cursors are refused: while it is disabled, after raw SQL, at too many rows."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.core.management.sql import emit_post_migrate_signal
from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.db.migrations import Migration
from django.db.models import F

import diffs
from diffs.errors import CursorExpired, NotRegistered
from diffs.feed import feed_of
from tests.testapp.models import (
    Airport,
    Archive,
    Author,
    Choice,
    Comment,
    Currency,
    Flight,
    Group,
    Letter,
    Membership,
    Person,
    Place,
    Question,
    Rate,
    Restaurant,
    Score,
    Tag,
    Ticker,
    Topic,
    Venue,
)

from .recorded import Recording, name, said


class Undone(Exception):
    """Rolls a transaction back."""


def limited(settings: Any, most: int) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "max_bulk_diffs": most}


WRITES: dict[str, tuple[Callable[[], Any], set[str]]] = {
    "create": (lambda: Author.objects.create(name="a"), {"testapp.author:*"}),
    "save": (lambda: Author.objects.first().save(), {"testapp.author:*"}),
    "update": (lambda: Author.objects.update(name="x"), {"testapp.author:*"}),
    "bulk_create": (lambda: Author.objects.bulk_create([Author(name="a")]), {"testapp.author:*"}),
    "bulk_update": (lambda: Author.objects.bulk_update(Author.objects.all(), ["name"]), {"testapp.author:*"}),
    "delete": (lambda: Ticker.objects.all().delete(), {"testapp.ticker:*"}),
    "a child": (lambda: Choice.objects.update(votes=3), {"testapp.choice:*", "testapp.question:*"}),
    "a child of a hook": (lambda: Comment.objects.update(text="x"), {"*"}),
    "add": (lambda: Question.objects.get().tags.add(Tag.objects.create()), {"testapp.question:*"}),
    "a through row": (lambda: Membership.objects.all().delete(), {"testapp.group:*"}),
    "a multi-table child": (lambda: Restaurant.objects.create(name="a"), {"testapp.place:*", "testapp.restaurant:*"}),
    "more than get diffs": (lambda: Score.objects.all().delete(), {"testapp.score:*"}),
    "a model that isn't registered": (lambda: Venue.objects.create(name="a"), set()),
    "nothing": (lambda: Author.objects.count(), set()),
}


def prepare() -> None:
    Score.objects.bulk_create([Score(name=letter) for letter in "abc"])
    Ticker.objects.create(symbol="A")
    Author.objects.create(name="Ada")
    question = Question.objects.create(text="Why?")
    Choice.objects.create(question=question, text="a")
    Comment.objects.create(topic=Topic.objects.create(name="a"), text="a")
    Membership.objects.create(group=Group.objects.create(name="a"), person=Person.objects.create(name="a"))


@pytest.mark.database
@pytest.mark.parametrize(("write", "floors"), WRITES.values(), ids=WRITES)
def test_nothing_is_recorded_while_disabled_and_old_cursors_are_refused(
    recording: Recording, settings: Any, write: Callable[[], Any], floors: set[str]
) -> None:
    limited(settings, 2)
    recording = Recording()
    prepare()
    recording.forget()
    with diffs.disabled():
        write()
        assert recording.floors() == set()
    assert (recording.feeds(), recording.floors()) == ({}, floors)


@pytest.mark.database
def test_p4_a_cursor_from_before_a_disabled_block_is_refused(recording: Recording) -> None:
    author = Author.objects.create(name="Ada")
    position, other = author.diffs.cursor, Question.objects.create(text="Why?").diffs.cursor
    with diffs.disabled():
        Author.objects.update(name="Bob")
    with pytest.raises(CursorExpired) as expired:
        list(author.diffs.since(position))
    assert expired.value.reason == "reset"
    assert list(author.diffs.since(expired.value.cursor)) == []
    assert list(Question.objects.get().diffs.since(other)) == []


@pytest.mark.database
def test_recording_goes_on_behind_the_block(recording: Recording) -> None:
    with diffs.disabled():
        author = Author.objects.create(name="Ada")
        author.name = "Bob"
        author.save()
    author.save()
    author.name = "Eve"
    author.save()
    assert recording.feeds() == {name(author): [said("update", author, name="Eve")]}


@pytest.mark.database
def test_objects_written_in_bulk_while_disabled_are_not_taken_for_clean(recording: Recording) -> None:
    author = Author.objects.create(name="Ada")
    recording.forget()
    author.name = "Bob"
    with diffs.disabled():
        Author.objects.bulk_update([author], ["name"])
        Author.objects.bulk_update([Author(pk=author.pk, name="Bob")], ["name"])
    author.name = "Ada"
    author.save()
    assert recording.feeds() == {name(author): [said("update", author, name="Ada")]}


@pytest.mark.database
def test_blocks_can_be_nested(recording: Recording) -> None:
    with diffs.disabled():
        with diffs.disabled():
            Author.objects.create(name="Ada")
        Ticker.objects.create(symbol="A")
        assert recording.floors() == {"testapp.author:*"}
    assert (recording.feeds(), recording.floors()) == ({}, {"testapp.author:*", "testapp.ticker:*"})


@pytest.mark.database
def test_an_error_in_the_block_ends_it_all_the_same(recording: Recording) -> None:
    with contextlib.suppress(Undone), diffs.disabled():
        Author.objects.create(name="Ada")
        raise Undone
    author = Author.objects.create(name="Bob")
    assert recording.floors() == {"testapp.author:*"}
    assert recording.feeds() == {name(author): [said("create", author, name="Bob")]}


@pytest.mark.database
def test_p5_a_disabled_block_in_a_transaction_refuses_with_the_commit(recording: Recording) -> None:
    with transaction.atomic():
        with diffs.disabled():
            Author.objects.create(name="Ada")
        assert recording.floors() == set()
    assert recording.floors() == {"testapp.author:*"}
    recording.forget()
    with contextlib.suppress(Undone), transaction.atomic():
        with diffs.disabled():
            Author.objects.create(name="Bob")
        raise Undone
    assert recording.floors() == set()


@pytest.mark.database
def test_other_threads_go_on_recording(recording: Recording) -> None:
    def work() -> None:
        Author.objects.create(pk=7, name="Ada")
        connection.close()

    with diffs.disabled():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert recording.feeds() == {"testapp.author:7": [("create", "testapp.author", 7, {"name": "Ada"})]}


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_each_database_refuses_with_its_own_commit() -> None:
    recording = Recording()
    with transaction.atomic(using="other"):
        with diffs.disabled():
            Archive.objects.using("other").create(title="a")
            Author.objects.using("other").create(name="not recorded there")
            Author.objects.create(name="a")
        assert recording.floors() == {"testapp.author:*"}
    assert recording.floors() == {"testapp.author:*", "testapp.archive:*"}


@pytest.mark.database
def test_touching_an_object_refuses_its_cursors_and_its_parents(recording: Recording) -> None:
    old, new = (Question.objects.create(text=text) for text in "ab")
    choice = Choice.objects.create(question=old, text="a")
    airport = Airport.objects.create(code="JFK", city="New York")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_choice SET question_id = %s", [new.pk])
    recording.forget()
    diffs.touch(choice)
    assert recording.floors() == {name(choice), name(old), name(new)}
    recording.forget()
    diffs.touch(airport)
    assert recording.floors() == {name(airport), "testapp.airport"}
    recording.forget()
    diffs.touch(Choice(pk=str(choice.pk)))
    assert recording.floors() == {name(choice), name(new)}


@pytest.mark.database
def test_touching_by_a_foreign_key_to_another_field(recording: Recording) -> None:
    euro = Currency.objects.create(code="EUR", name="Euro")
    rate = Rate.objects.create(currency=euro, value=1)
    recording.forget()
    diffs.touch(rate)
    assert recording.floors() == {name(rate), name(euro)}


@pytest.mark.database
@pytest.mark.parametrize(
    ("model", "floors"),
    [
        (Author, {"testapp.author:*"}),
        (Choice, {"testapp.choice:*", "testapp.question:*"}),
        (Flight, {"testapp.flight:*", "testapp.airport:*", "testapp.airline:*"}),
        (Comment, {"*"}),
        (Letter, {"testapp.letter:*"}),
    ],
)
def test_touching_a_model_refuses_its_cursors_and_its_parents(
    recording: Recording, model: Any, floors: set[str]
) -> None:
    diffs.touch(model)
    assert (recording.feeds(), recording.floors()) == ({}, floors)


@pytest.mark.database
def test_touching_an_object_with_a_hook_refuses_everything(recording: Recording) -> None:
    comment = Comment.objects.create(topic=Topic.objects.create(name="a"), text="a")
    recording.forget()
    diffs.touch(comment)
    assert recording.floors() == {"*"}


@pytest.mark.database
def test_p5_touching_waits_for_the_commit(recording: Recording) -> None:
    author = Author.objects.create(name="Ada")
    recording.forget()
    with contextlib.suppress(Undone), transaction.atomic():
        diffs.touch(author)
        raise Undone
    with transaction.atomic():
        diffs.touch(author)
        assert recording.floors() == set()
    assert recording.floors() == {name(author)}


@pytest.mark.parametrize("subject", [Venue, Venue(pk=1)], ids=["a model", "an object"])
def test_only_what_is_registered_can_be_touched(subject: Any) -> None:
    with pytest.raises(NotRegistered, match=r"^testapp.Venue has no diffs: decorate it with @diffs.register\.$"):
        diffs.touch(subject)


@pytest.mark.database
@pytest.mark.parametrize(
    ("write", "floors"),
    [
        pytest.param(lambda: Author.objects.update(name="x"), {"testapp.author:*"}, id="update"),
        pytest.param(
            lambda: Author.objects.bulk_create([Author(name="x") for _ in range(4)]), {"testapp.author:*"}, id="create"
        ),
        pytest.param(
            lambda: Author.objects.bulk_create(
                [Author(pk=pk, name="x") for pk in range(900, 904)], ignore_conflicts=True
            ),
            {"testapp.author:*"},
            id="ignore",
        ),
        pytest.param(
            lambda: Author.objects.bulk_create(
                [Author(pk=author.pk, name="x") for author in Author.objects.all()],
                update_conflicts=True,
                unique_fields=["id"],
                update_fields=["name"],
            ),
            {"testapp.author:*"},
            id="upsert",
        ),
        pytest.param(
            lambda: Author.objects.bulk_update(
                [Author(pk=author.pk, name="x") for author in Author.objects.all()], ["name"]
            ),
            {"testapp.author:*"},
            id="bulk_update",
        ),
        pytest.param(lambda: Author.objects.all().delete(), {"testapp.author:*"}, id="delete"),
        pytest.param(
            lambda: Choice.objects.update(votes=F("votes") + 1),
            {"testapp.choice:*", "testapp.question:*"},
            id="update of children",
        ),
        pytest.param(
            lambda: Choice.objects.all().delete(), {"testapp.choice:*", "testapp.question:*"}, id="delete of children"
        ),
        pytest.param(lambda: Score.objects.update(points=1), {"testapp.score:*"}, id="update with a hook"),
        pytest.param(
            lambda: Tag.objects.get().questions.add(*Question.objects.all()), {"testapp.question:*"}, id="add"
        ),
    ],
)
def test_more_rows_than_get_diffs_refuse_old_cursors(
    recording: Recording, settings: Any, write: Callable[[], Any], floors: set[str]
) -> None:
    Tag.objects.create(name="a")
    for letter in "abcd":
        Author.objects.create(name=letter)
        Score.objects.create(name=letter)
        Choice.objects.create(question=Question.objects.create(text=letter), text=letter)
    limited(settings, 3)
    recording = Recording()
    write()
    assert (recording.feeds(), recording.floors()) == ({}, floors)


@pytest.mark.database
def test_as_many_rows_as_get_diffs_have_them(recording: Recording, settings: Any) -> None:
    limited(settings, 3)
    recording = Recording()
    authors = Author.objects.bulk_create([Author(name=letter) for letter in "abc"])
    recording.forget()
    Author.objects.update(name="x")
    assert recording.floors() == set()
    assert recording.feeds() == {name(author): [said("update", author, name="x")] for author in authors}


@pytest.mark.database
def test_objects_of_too_large_a_bulk_operation_are_clean_behind_it(recording: Recording, settings: Any) -> None:
    limited(settings, 1)
    recording = Recording()
    authors = [Author.objects.create(name=letter) for letter in "ab"]
    for author in authors:
        author.name *= 2
    Author.objects.bulk_update(authors, ["name"])
    recording.forget()
    authors[0].save()
    authors[1].name = "x"
    authors[1].save()
    assert recording.feeds() == {name(authors[1]): [said("update", authors[1], name="x")]}


@pytest.mark.database
def test_a_mass_deletion_of_one_model_leaves_the_diffs_of_the_others(recording: Recording, settings: Any) -> None:
    limited(settings, 2)
    recording = Recording()
    question = Question.objects.create(text="Why?")
    for letter in "abc":
        Choice.objects.create(question=question, text=letter)
    feed, gone = name(question), said("delete", question)
    recording.forget()
    question.delete()
    assert recording.feeds() == {feed: [gone]}
    assert recording.floors() == {"testapp.choice:*", "testapp.question:*"}


@pytest.mark.database
def test_flushing_the_database_refuses_everything(recording: Recording) -> None:
    Author.objects.create(name="Ada")
    recording.forget()
    call_command("flush", interactive=False, verbosity=0)
    assert recording.floors() == {"*"}


def migrated(plan: Any, using: str = DEFAULT_DB_ALIAS) -> None:
    emit_post_migrate_signal(verbosity=0, interactive=False, db=using, plan=plan)


@pytest.mark.database
def test_a_migration_refuses_everything(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(mail, "outbox")
    migrated([(Migration("a_migration", "testapp"), False)])
    assert recording.floors() == {"*"}


@pytest.mark.parametrize(
    "plan", [[], [(Migration("a_migration", "testapp"), False)]], ids=["nothing", "the making of a test's database"]
)
def test_a_migration_of_nothing_or_of_a_test_refuses_nothing(recording: Recording, plan: Any) -> None:
    migrated(plan)
    assert recording.floors() == set()


@pytest.mark.database
def test_bulk_operations_name_the_actor_too(recording: Recording) -> None:
    with diffs.actor("ada"):
        author, other = Author.objects.bulk_create([Author(name=letter) for letter in "ab"])
        Author.objects.update(name="x")
        author.delete()
    assert [diff.actor for diff in feed_of(other)] == ["ada", "ada"]
    other.name = "y"
    other.save()
    assert feed_of(other)[-1].actor is None


@pytest.mark.database
def test_a_restaurants_place_is_touched_by_its_own_name(recording: Recording) -> None:
    restaurant = Restaurant.objects.create(name="a")
    recording.forget()
    diffs.touch(restaurant)
    diffs.touch(Place.objects.get())
    assert recording.floors() == {name(restaurant), f"testapp.place:{restaurant.pk}"}
