"""What an object is known to hold: loaded, deferred, copied, pickled, refreshed, rolled back."""

from __future__ import annotations

import contextlib
import copy
import gc
import pickle
import threading
from collections.abc import Callable
from typing import Any

import django
import pytest
from django.db import connection, models, transaction

from diffs.capture import tracking
from diffs.capture.transaction import Handover
from diffs.capture.values import row_data
from diffs.registration import require
from tests.testapp.models import Archive, Author, Choice, Probe, Question, Sheet, Snapshot, Survey, Temperature

from .case import Steps, case
from .recorded import Recording, name, said

ON_POSTGRESQL = connection.vendor == "postgresql"


class Undone(Exception):
    """Rolls a transaction back."""


def roundtrip(instance: Any) -> Any:
    return pickle.loads(pickle.dumps(instance))


@case
def test_a_deferred_field_that_isnt_loaded_isnt_written() -> Steps:
    pk = Question.objects.create(text="Why?").pk
    yield
    question = Question.objects.defer("text").get(pk=pk)
    question.votes = 1
    question.save()
    return {name(question): [said("update", question, votes=1)]}


@case
def test_a_deferred_field_that_is_loaded_is_known() -> Steps:
    pk = Question.objects.create(text="Why?").pk
    yield
    question = Question.objects.only("votes").get(pk=pk)
    assert question.text == "Why?"
    question.save()
    question.text = "Who?"
    question.save()
    return {name(question): [said("update", question, text="Who?")]}


@case
def test_a_deferred_field_that_is_set_is_reported_whatever_was_there() -> Steps:
    pk = Question.objects.create(text="Why?").pk
    yield
    question = Question.objects.only("votes").get(pk=pk)
    question.text = "Why?"
    question.save()
    return {name(question): [said("update", question, text="Why?")]}


@case
def test_an_object_behind_a_relation_is_known() -> Steps:
    question = Question.objects.create(text="Why?")
    Choice.objects.create(question=question, text="a")
    yield
    Choice.objects.select_related("question").get().question.save()
    Choice.objects.get().question.save()
    Choice.objects.prefetch_related("question").get().question.save()
    Question.objects.prefetch_related("choices").get().choices.all()[0].save()
    found = Choice.objects.select_related("question").only("question__text").get().question
    found.votes, found.text = 1, "Who?"
    found.save()
    return {name(question): [said("update", question, text="Who?", votes=1)]}


@case
def test_an_object_from_raw_sql_is_known() -> Steps:
    question = Question.objects.create(text="Why?")
    yield
    for row in ("*", "id, text, votes, 7 AS more"):
        found = Question.objects.raw(f"SELECT {row} FROM testapp_question")[0]
        found.save()
    found.votes = 1
    found.save()
    return {name(question): [said("update", question, votes=1)]}


@case
def test_a_models_own_from_db_is_asked_and_its_objects_are_known() -> Steps:
    pk = Snapshot.objects.create(value=1).pk
    yield
    snapshot = Snapshot.objects.get(pk=pk)
    assert snapshot.loaded == ("id", "value")
    snapshot.save()
    snapshot.value = 2
    snapshot.save()
    return {name(snapshot): [said("update", snapshot, value=2)]}


@case
def test_a_change_in_place_is_a_change() -> Steps:
    question = Question.objects.create(text="Why?", meta={"a": [1]})
    yield
    question.meta["a"].append(2)
    question.save()
    loaded = Question.objects.get()
    loaded.meta["b"] = None
    loaded.save()
    loaded.save()
    fresh = Question.objects.only("meta").get()
    fresh.meta.clear()
    fresh.save()
    return {
        name(question): [
            said("update", question, meta={"a": [1, 2]}),
            said("update", question, meta={"a": [1, 2], "b": None}),
            said("update", question, meta={}),
        ]
    }


@case
def test_a_change_in_place_after_bulk_operations_is_a_change() -> Steps:
    created = Question.objects.bulk_create([Question(text="a", meta=[1])])[0]
    updated = Question.objects.create(text="b", meta=[1])
    updated.meta.append(2)
    Question.objects.bulk_update([updated], ["meta"])
    yield
    created.save()
    updated.save()
    created.meta.append(5)
    created.save()
    updated.meta.append(6)
    updated.save()
    return {
        name(created): [said("update", created, meta=[1, 5])],
        name(updated): [said("update", updated, meta=[1, 2, 6])],
    }


@case
def test_a_value_that_cant_be_pickled_is_copied() -> Steps:
    probe = Probe.objects.create(celsius=Temperature(1.0))
    yield
    probe.celsius = Temperature(2.0)
    probe.celsius.unpicklable = lambda: None
    probe.save()
    probe.save()
    probe.celsius.degrees = 3.0
    probe.save()
    return {name(probe): [said("update", probe, celsius=f"{degrees} °C") for degrees in (2.0, 3.0)]}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, roundtrip])
@pytest.mark.parametrize("how", ["created", "loaded", "deferred", "saved", "saved in a transaction", "bulk-created"])
def test_a_copy_knows_what_its_original_knew(
    recording: Recording, copied: Callable[[Question], Question], how: str
) -> None:
    if how == "bulk-created":
        question = Question.objects.bulk_create([Question(text="Why?", meta=[1])])[0]
    else:
        question = Question.objects.create(text="Why?", meta=[1])
    if how in ("loaded", "saved", "saved in a transaction"):
        question = Question.objects.get()
    elif how == "deferred":
        question = Question.objects.defer("text").get()
    if how == "saved":
        question.save()
    if how == "saved in a transaction":
        with transaction.atomic():
            question.save()
            twin = copied(question)
    else:
        twin = copied(question)
    recording.forget()
    twin.updated = question.updated
    Question._meta.get_field("updated").auto_now = False
    try:
        twin.save()
        assert recording.feeds() == {}
        twin.votes = 1
        twin.meta = [1, 2]
        twin.save()
        assert recording.feeds() == {name(question): [said("update", question, votes=1, meta=[1, 2])]}
        recording.forget()
        question.votes = 2
        question.save()
        assert recording.feeds() == {name(question): [said("update", question, votes=2)]}
    finally:
        Question._meta.get_field("updated").auto_now = True


@pytest.mark.database
def test_refreshing_makes_the_rows_values_the_known_ones(recording: Recording, still: str) -> None:
    question = Question.objects.create(text="Why?")
    Question.objects.update(text="Who?", votes=5, meta=[1])
    recording.forget()
    question.refresh_from_db()
    question.save()
    assert recording.feeds() == {}
    question.meta.append(2)
    question.save()
    assert recording.feeds() == {name(question): [said("update", question, meta=[1, 2])]}


@pytest.mark.database
def test_refreshing_some_fields_leaves_the_others_as_they_were(recording: Recording, still: str) -> None:
    question = Question.objects.create(text="Why?")
    Question.objects.update(text="Who?", votes=5)
    question.text = question.updated = "unsaved"
    recording.forget()
    question.refresh_from_db(fields=(field for field in ["votes", "updated"]))
    question.save()
    assert recording.feeds() == {name(question): [said("update", question, text="unsaved")]}


@pytest.mark.database
def test_refreshing_a_foreign_key_by_either_name_makes_it_known(recording: Recording) -> None:
    first, second = (Question.objects.create(text=text) for text in "ab")
    choice = Choice.objects.create(question=first, text="a")
    for field in ("question", "question_id"):
        Choice.objects.update(question=second if choice.question == first else first)
        choice.refresh_from_db(fields=[field])
        recording.forget()
        choice.save()
        assert recording.feeds() == {}


@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django 6.1 fetches for all objects of a queryset at once.")
def test_a_field_that_was_fetched_for_many_objects_is_reported(recording: Recording, still: str) -> None:
    """Django sets it without a word: it can't be told from one that the project has set."""
    pks = [Question.objects.create(text=text).pk for text in "ab"]
    first, second = Question.objects.fetch_mode(models.FETCH_PEERS).only("votes").order_by("pk")
    assert first.text == "a"
    recording.forget()
    second.save()
    assert recording.feeds() == {f"testapp.question:{pks[1]}": [said("update", second, text="b")]}


def undo(work: Callable[[], Any], *, savepoint: bool) -> None:
    """Do something in a transaction, or a savepoint of a transaction, that is rolled back."""
    with transaction.atomic() if savepoint else contextlib.nullcontext():
        with contextlib.suppress(Undone), transaction.atomic():
            work()
            raise Undone
        assert connection.in_atomic_block == savepoint


@pytest.mark.database
@pytest.mark.parametrize("savepoint", [False, True], ids=["transaction", "savepoint"])
class TestRolledBack:
    """P5: what was rolled back leaves no diff, and what is done again leaves one."""

    def test_p5_a_save_is_recorded_when_it_is_repeated(self, recording: Recording, still: str, savepoint: bool) -> None:
        question = Question.objects.create(text="Why?", meta=[1])
        recording.forget()
        question.votes = 1
        question.meta.append(2)
        undo(question.save, savepoint=savepoint)
        assert recording.feeds() == {}
        question.save()
        question.save()
        assert recording.feeds() == {name(question): [said("update", question, votes=1, meta=[1, 2])]}

    def test_p5_each_of_several_saves_is(self, recording: Recording, still: str, savepoint: bool) -> None:
        question = Question.objects.create(text="Why?")
        recording.forget()

        def work() -> None:
            for question.votes in (1, 2):
                question.save()
            undo(lambda: question.save(), savepoint=True)
            question.votes = 0
            question.save()

        undo(work, savepoint=savepoint)
        question.votes = 2
        question.save()
        assert recording.feeds() == {name(question): [said("update", question, votes=2)]}

    def test_p5_an_insert_is_recorded_when_it_is_repeated(
        self, recording: Recording, still: str, savepoint: bool
    ) -> None:
        author = Author(name="Ada")
        undo(author.save, savepoint=savepoint)
        author.save(force_insert=True)
        assert recording.feeds() == {name(author): [said("create", author, name="Ada")]}

    def test_p5_an_update_of_the_object_is(self, recording: Recording, still: str, savepoint: bool) -> None:
        question = Question.objects.create(text="Why?")
        recording.forget()

        def work() -> None:
            Question.objects.update(votes=5)
            question.refresh_from_db()

        undo(work, savepoint=savepoint)
        assert question.votes == 5
        question.save()
        assert recording.feeds() == {name(question): [said("update", question, votes=5)]}

    def test_p5_an_object_that_was_loaded_behind_a_change_is_unknown(
        self, recording: Recording, still: str, savepoint: bool
    ) -> None:
        pk = Author.objects.create(name="Ada").pk
        snapshot = Snapshot.objects.create(value=1)
        recording.forget()
        loaded: list[Any] = []

        def work() -> None:
            Author.objects.update(name="Bob")
            loaded.extend([Author.objects.get(pk=pk), Snapshot.objects.get(pk=snapshot.pk)])

        undo(work, savepoint=savepoint)
        for instance in loaded:
            instance.save()
        author, snapshot = loaded
        assert recording.feeds() == {
            name(author): [said("update", author, name="Bob")],
            name(snapshot): [said("update", snapshot, value=1)],
        }

    def test_p5_bulk_operations_are_recorded_when_they_are_repeated(
        self, recording: Recording, still: str, savepoint: bool
    ) -> None:
        there, new = Author.objects.create(name="a"), Author(name="new")
        recording.forget()
        there.name = "b"

        def work() -> None:
            Author.objects.bulk_update([there], ["name"])
            Author.objects.bulk_create([new])

        undo(work, savepoint=savepoint)
        assert recording.feeds() == {}
        there.save()
        new.save(force_insert=True)
        new.name = "newer"
        new.save()
        assert recording.feeds() == {
            name(there): [said("update", there, name="b")],
            name(new): [said("create", new, name="new"), said("update", new, name="newer")],
        }

    def test_p5_a_deletion_is_recorded_when_it_is_repeated(
        self, recording: Recording, still: str, savepoint: bool
    ) -> None:
        author = Author.objects.create(name="Ada")
        feed, gone = name(author), said("delete", author)
        recording.forget()
        undo(Author.objects.all().delete, savepoint=savepoint)
        assert recording.feeds() == {}
        author.delete()
        assert recording.feeds() == {feed: [gone]}

    def test_p5_what_went_before_the_savepoint_stays_known(
        self, recording: Recording, still: str, savepoint: bool
    ) -> None:
        question = Question.objects.create(text="Why?")
        recording.forget()
        with transaction.atomic():
            question.votes = 1
            question.save()
            question.votes = 2
            with contextlib.suppress(Undone), transaction.atomic():
                question.save()
                raise Undone
            question.votes = 1
            question.save()
            if not savepoint:
                transaction.set_rollback(True)
        told = [said("update", question, votes=1)]
        assert recording.feeds() == ({name(question): told} if savepoint else {})
        question.save()
        assert recording.feeds() == {name(question): told}


@pytest.mark.database
def test_what_a_transaction_read_is_known_when_it_is_committed(recording: Recording, still: str) -> None:
    question = Question.objects.create(text="Why?")
    with transaction.atomic():
        Question.objects.update(votes=5)
        loaded = Question.objects.get()
        question.refresh_from_db()
    recording.forget()
    loaded.save()
    question.save()
    assert recording.feeds() == {}


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_what_is_known_of_a_row_in_one_database_says_nothing_of_the_other() -> None:
    recording = Recording()
    archive = Archive.objects.create(title="a")
    Archive.objects.using("other").create(pk=archive.pk, title="b")
    recording.forget()
    archive.save(using="other")
    archive.save(using="default")
    archive.save()
    told = said("update", archive, title="a")
    assert recording.feeds() == {name(archive): [told, told]}
    recording.forget()
    Archive.objects.using("other").update(title="c")
    archive.refresh_from_db(using="other")
    archive.save()
    assert recording.feeds() == {name(archive): [said("update", archive, title="c")]}
    recording.forget()
    Archive.objects.get().save(using="other")
    assert recording.feeds() == {name(archive): [told]}


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_a_model_that_is_recorded_on_one_database_alone_tells_nothing_of_the_other(still: str) -> None:
    recording = Recording()
    there = Author.objects.using("other").create(name="Ada")
    there.name = "Bob"
    there.save()
    Author.objects.using("other").update(name="Eve")
    Author.objects.using("other").bulk_create([Author(name="Fay")])
    Author.objects.using("other").all().delete()
    Question.objects.using("other").create(text="Why?").tags.create(name="a")
    assert recording.feeds() == {}
    assert recording.floors() == set()


@pytest.mark.database
def test_objects_that_are_never_saved_again_leave_nothing_behind(recording: Recording) -> None:
    gc.collect()
    others = set(Handover.waiting)
    with transaction.atomic():
        Author.objects.create(name="Ada")
        assert len(Handover.waiting - others) == 1
    assert Handover.waiting <= others
    with pytest.raises(Undone), transaction.atomic():
        author = Author.objects.create(name="Bob")
        raise Undone
    assert len(Handover.waiting - others) == 1
    del author
    assert Handover.waiting <= others


@pytest.mark.database
def test_a_row_that_is_known_in_another_thread_is_known_there_too(recording: Recording) -> None:
    author = Author.objects.create(name="Ada")
    seen = []
    with transaction.atomic():
        author.name = "Bob"
        author.save()
        thread = threading.Thread(target=lambda: seen.append(tracking.known(author, "default")["name"]))
        thread.start()
        thread.join()
    assert seen == ["Bob"]


@case
def test_a_row_that_a_parents_object_was_loaded_with_serves_the_child_that_is_made_of_it() -> Steps:
    parent = Sheet.objects.create(meta={"a": [1]})
    loaded = Sheet.objects.get(pk=parent.pk)
    yield
    child = Survey(sheet_ptr=loaded)
    child.__dict__.update(loaded.__dict__)
    child.meta["a"].append(2)
    child.save()
    return {
        name(parent): [said("update", parent, meta={"a": [1, 2]})],
        name(child): [said("create", child, **row_data(require(Survey), child))],
    }


@case
def test_json_values_that_only_python_takes_for_equal_are_changes() -> Steps:
    question = Question.objects.create(text="Why?", meta={"a": [1, 0]})
    yield
    loaded = Question.objects.get()
    loaded.meta = {"a": [True, 0]}
    loaded.save()
    loaded.save()
    Question.objects.update(meta={"a": [True, 0.0]})
    Question.objects.update(meta={"a": [True, 0.0]})
    return {
        name(question): [
            said("update", question, meta={"a": [True, 0]}),
            said("update", question, meta={"a": [True, 0.0]}),
        ]
    }


@case
def test_the_order_of_a_json_objects_keys_is_no_change() -> Steps:
    question = Question.objects.create(text="Why?", meta={"a": 1, "b": 2})
    yield
    question.meta = {"b": 2, "a": 1}
    question.save()
    Question.objects.update(meta={"b": 2, "a": 1})
    return {}
