"""Where a change can't be told, readers are refused instead: nothing passes for "nothing new"."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, models, transaction
from django.db.migrations import Migration
from django.db.models.signals import post_migrate

import diffs
from diffs.errors import CursorExpired
from diffs.feed import Feed
from tests.testapp.models import Airport, Choice, Draft, Everything, Flight, Question, Score, Token

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def is_refused(feed: Feed, cursor: str) -> bool:
    try:
        list(feed.since(cursor))
    except CursorExpired:
        return True
    return False


def feed_of(model: type[models.Model], pk: Any) -> Feed:
    return model.diffs.for_object(pk)  # type: ignore[attr-defined, no-any-return]


def test_p6_an_emptied_database_refuses_all_cursors() -> None:
    question = Question.objects.create(text="Gone?")
    cursor = question.diffs.cursor
    call_command("flush", interactive=False, verbosity=0)
    assert is_refused(feed_of(Question, question.pk), cursor)


MIGRATE = """
import django
django.setup()
from django.apps import apps
from django.db.migrations import Migration
from django.db.models.signals import post_migrate
plan = {plan}
for config in apps.get_app_configs():
    post_migrate.send(sender=config, app_config=config, using="default", plan=plan, verbosity=0, interactive=False)
"""


@pytest.mark.parametrize(("plan", "refused"), [("[(Migration('0002_data', 'testapp'), False)]", True), ("[]", False)])
def test_migrations_refuse_all_cursors_if_there_were_any(plan: str, refused: bool, process_env: dict[str, str]) -> None:
    question = Question.objects.create(text="Moved?")
    cursor = question.diffs.cursor
    subprocess.run([sys.executable, "-c", MIGRATE.format(plan=plan)], env=process_env, check=True, timeout=60)
    assert is_refused(question.diffs, cursor) is refused


def test_making_a_test_database_refuses_nobody_who_shares_the_server() -> None:
    question = Question.objects.create(text="Still?")
    cursor = question.diffs.cursor
    config = apps.get_app_config("diffs")
    post_migrate.send(sender=config, app_config=config, using="default", plan=[(Migration("0002", "testapp"), False)])
    assert not is_refused(question.diffs, cursor)


def test_touching_a_child_refuses_its_own_feed_and_those_of_its_parents() -> None:
    here, there, other = (Question.objects.create(text=text) for text in ("here", "there", "other"))
    choice = Choice.objects.create(question=here, text="moves", votes=0)
    cursors = {feed: feed.cursor for feed in (choice.diffs, here.diffs, there.diffs, other.diffs)}
    with connection.cursor() as sql:
        sql.execute("UPDATE testapp_choice SET question_id = %s WHERE id = %s", [there.pk, choice.pk])
    diffs.touch(choice)
    assert [is_refused(feed, cursor) for feed, cursor in cursors.items()] == [True, True, True, False]


def test_touching_an_object_refuses_the_feed_of_its_model() -> None:
    airport = Airport.objects.create(code="JFK")
    cursor = diffs.feed_of(Airport).cursor
    diffs.touch(airport)
    assert is_refused(diffs.feed_of(Airport), cursor)


def failing(*_: Any, **__: Any) -> None:
    raise RuntimeError("The hook fails.")


@pytest.mark.parametrize(("model", "hook"), [(Draft, "send_diff"), (Score, "serialize_diff")])
def test_a_hook_that_fails_behind_the_write_refuses_old_cursors(
    model: type[models.Model], hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = model._default_manager.create()
    cursor = instance.diffs.cursor  # type: ignore[attr-defined]
    monkeypatch.setattr(model, hook, failing)
    name = next(field.attname for field in model._meta.concrete_fields if not field.primary_key)
    setattr(instance, name, "7")
    with pytest.raises(RuntimeError, match="The hook fails"):
        instance.save()
    assert is_refused(feed_of(model, instance.pk), cursor)


def test_a_comparison_that_fails_behind_the_write_refuses_old_cursors(monkeypatch: pytest.MonkeyPatch) -> None:
    question = Question.objects.create(text="Equal?")
    cursor = question.diffs.cursor
    monkeypatch.setattr("diffs.capture.tracking.changed", failing)
    question.votes = 13
    with pytest.raises(RuntimeError, match="The hook fails"):
        question.save()
    monkeypatch.undo()
    question.refresh_from_db()
    assert question.votes == 13
    assert is_refused(question.diffs, cursor)


def test_a_value_that_no_diff_can_hold_refuses_old_cursors_and_breaks_no_save(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    question = Question.objects.create(text="Deep")
    cursor = question.diffs.cursor
    deep: list[Any] = ["secret"]
    for _ in range(400):
        deep = [deep]
    limit = sys.getrecursionlimit()
    monkeypatch.setattr("diffs.capture.values.plain", failing)
    question.meta = {"deep": deep}
    question.save()
    monkeypatch.undo()
    question.refresh_from_db()
    assert question.meta == {"deep": deep}
    assert is_refused(question.diffs, cursor)
    assert [record.getMessage() for record in caplog.records] == [
        "testapp.question: no diff can be made (RuntimeError)."
    ]
    assert sys.getrecursionlimit() == limit


def test_a_row_that_no_diff_can_hold_refuses_old_cursors_and_breaks_no_bulk_operation(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = Everything.objects.bulk_create([Everything(integer=1), Everything(integer=2)])
    cursors = [feed_of(Everything, each.pk).cursor for each in (good, bad)]
    monkeypatch.setattr("diffs.capture.members.current_actor", failing)
    Everything.objects.update(integer=3)
    monkeypatch.undo()
    assert list(Everything.objects.values_list("integer", flat=True)) == [3, 3]
    assert all(is_refused(feed_of(Everything, each.pk), at) for each, at in zip((good, bad), cursors, strict=True))
    assert {record.getMessage() for record in caplog.records} == {
        "testapp.everything: no diff can be made (RuntimeError)."
    }


def test_more_deletions_at_once_than_get_diffs_refuse_the_model_and_its_parents(settings: Any) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "max_bulk_diffs": 3}
    question = Question.objects.create(text="Many")
    few = [Choice.objects.create(question=question, text=str(number), votes=0) for number in range(5)]
    cursors = {feed: feed.cursor for feed in (question.diffs, few[0].diffs)}
    Choice.objects.filter(pk__in=[choice.pk for choice in few]).delete()
    assert [is_refused(feed, cursor) for feed, cursor in cursors.items()] == [True, True]
    assert [diff.action for diff in question.diffs] == []


def test_as_many_deletions_as_get_diffs_are_told_one_by_one(settings: Any) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "max_bulk_diffs": 3}
    question = Question.objects.create(text="Few")
    few = [Choice.objects.create(question=question, text=str(number), votes=0) for number in range(3)]
    cursor = question.diffs.cursor
    Choice.objects.filter(question=question).delete()
    assert sorted((diff.action, diff.pk) for diff in question.diffs.since(cursor)) == [
        ("delete", choice.pk) for choice in few
    ]


def test_p5_refusals_of_a_deletion_that_is_rolled_back_are_not_made(settings: Any) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "max_bulk_diffs": 1}
    Token.objects.create()
    token = Token.objects.create()
    cursor = token.diffs.cursor
    with pytest.raises(RuntimeError), transaction.atomic():
        Token.objects.all().delete()
        raise RuntimeError
    assert not is_refused(token.diffs, cursor)
    assert Flight.objects.count() == 0
