"""Instances that are out of date, or name another row than they were read from."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from tests.testapp.models import Airline, Choice, Comment, Question, Topic

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def test_a_deletion_goes_to_the_parent_that_the_row_names_and_not_to_the_one_remembered() -> None:
    here, there = (Question.objects.create(text=text) for text in ("here", "there"))
    stale = Choice.objects.create(question=here, text="moved", votes=0)
    Choice.objects.filter(pk=stale.pk).update(question=there)
    cursors = here.diffs.cursor, there.diffs.cursor
    pk = stale.pk
    stale.delete()
    assert [list(here.diffs.since(cursors[0])), [(diff.action, diff.pk) for diff in there.diffs.since(cursors[1])]] == [
        [],
        [("delete", pk)],
    ]


def test_a_deletion_doesn_t_go_to_a_parent_that_was_never_saved() -> None:
    here, there = (Question.objects.create(text=text) for text in ("here", "there"))
    choice = Choice.objects.create(question=here, text="stays", votes=0)
    choice.question = there
    cursor = there.diffs.cursor
    choice.delete()
    assert list(there.diffs.since(cursor)) == []
    assert here.diffs[-1].action == "delete"


def test_the_parents_of_many_deleted_objects_are_read_in_one_query(django_assert_num_queries) -> None:
    question = Question.objects.create(text="many")
    Choice.objects.bulk_create(Choice(question=question, text=str(number), votes=0) for number in range(20))
    chosen = Choice.objects.filter(pk__in=list(Choice.objects.values_list("pk", flat=True)))
    # On SQLite two statements that write no row: before the objects are looked for, and before the parents are.
    queries = 3 + 2 * (connection.vendor == "sqlite")
    with transaction.atomic(), django_assert_num_queries(queries):
        chosen.delete()


def test_a_row_written_over_by_an_object_that_took_its_key_is_told_whole() -> None:
    one = Question.objects.create(text="one", votes=1)
    two = Question.objects.create(text="two", votes=2)
    cursor = two.diffs.cursor
    loaded = Question.objects.get(pk=one.pk)
    loaded.pk = two.pk
    loaded.save()
    (diff,) = two.diffs.since(cursor)
    assert diff.action == "update"
    assert (diff.data["text"], diff.data["votes"]) == ("one", 1)
    assert set(diff.data) == {"text", "votes", "pub_date", "meta", "updated"}


def test_a_copy_made_by_clearing_the_key_is_a_creation() -> None:
    question = Question.objects.create(text="copied", votes=5)
    copy = Question.objects.get(pk=question.pk)
    copy.pk = None
    copy._state.adding = True
    copy.save()
    assert [(diff.action, diff.data["votes"]) for diff in copy.diffs] == [("create", 5)]
    copy.votes = 6
    copy.save(update_fields=["votes"])
    assert copy.diffs[-1].data == {"votes": 6}


def test_the_hooks_of_a_bulk_update_see_whole_objects_where_those_at_hand_are_bare() -> None:
    here, there = (Topic.objects.create() for _ in range(2))
    comment = Comment.objects.create(topic=there)
    cursors = here.diffs.cursor, there.diffs.cursor
    Comment.objects.bulk_update([Comment(pk=comment.pk, text="changed")], ["text"])
    assert [diff.pk for diff in here.diffs.since(cursors[0])] == []
    assert [diff.pk for diff in there.diffs.since(cursors[1])] == [comment.pk]


def test_what_a_field_does_to_other_models_during_a_bulk_operation_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    question = Question.objects.create(text="beside")
    field = Airline._meta.get_field("name")

    def busy(instance: Airline, add: bool) -> str:
        Question.objects.filter(pk=question.pk).update(votes=9)
        return instance.name

    monkeypatch.setattr(field, "pre_save", busy)
    Airline.objects.bulk_create([Airline(name="busy")])
    assert question.diffs[-1].data == {"votes": 9}
