"""Capture locks rows no more than Django's own statements do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import close_old_connections, connection, models, transaction

from diffs.capture import late, sending
from diffs.store import Entry
from diffs.store.marks import UNKNOWN
from tests.testapp.models import Choice, Question, Tag

from .held import Held

PATIENCE = 20.0

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _only_where_rows_are_locked() -> None:
    if not connection.features.has_select_for_no_key_update:
        pytest.skip("The database locks no single rows.")


def elsewhere(work: Callable[[], object]) -> list[BaseException]:
    """Do something on another connection; the errors that it ended with."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '2s'")
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            close_old_connections()
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    return errors


@pytest.mark.parametrize("change", ["update", "expression", "tags"])
def test_children_can_be_added_while_their_parent_is_changed(change: str) -> None:
    question = Question.objects.create(text="parent")
    tag = Tag.objects.create(name="tag")
    changes: dict[str, Callable[[], object]] = {
        "update": lambda: Question.objects.filter(pk=question.pk).update(votes=1),
        "expression": lambda: Question.objects.filter(pk=question.pk).update(votes=models.F("votes") + 1),
        "tags": lambda: question.tags.add(tag),
    }
    with transaction.atomic():
        changes[change]()
        errors = elsewhere(lambda: Choice.objects.create(question=question, text="child", votes=0))
    assert errors == []
    assert Choice.objects.count() == 1


def test_two_transactions_that_change_a_row_and_add_to_the_other_s_both_succeed() -> None:
    questions = [Question.objects.create(text=text) for text in "ab"]
    changed = threading.Barrier(2, timeout=PATIENCE)
    errors: list[BaseException] = []

    def work(mine: Question, other: Question) -> None:
        try:
            with transaction.atomic():
                Question.objects.filter(pk=mine.pk).update(votes=models.F("votes") + 1)
                changed.wait()
                Choice.objects.create(question=other, text="child", votes=0)
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=pair) for pair in (questions, questions[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert errors == []
    assert Choice.objects.count() == 2


def test_rows_read_again_in_a_transaction_leave_it_as_patient_as_it_was(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "flush": "commit", "use_transactions": False}
    question = Question.objects.create(text="parent")
    hand_over = sending.hand_over

    def overtaken(entries: list[Entry], floors: Any, receipt: Any) -> Any:
        sent = [entry._replace(since=UNKNOWN) for entry in entries] if not receipt.tries else entries
        return hand_over(sent, floors, receipt)

    monkeypatch.setattr(sending, "hand_over", overtaken)
    before = late.counts["replaced"]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '7s'")
        Question.objects.filter(pk=question.pk).update(votes=1)
        assert late.counts["replaced"] == before + 1
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("7s",)


def test_rows_that_stay_locked_are_waited_for_once_when_they_are_to_be_read_again(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "flush": "commit", "versions": "database"}
    monkeypatch.setattr(late, "LOCK_MILLISECONDS", 500)
    questions = [Question.objects.create(text="parent") for _ in range(20)]
    held = Held(monkeypatch)
    with held:
        Question.objects.update(votes=1)
    with transaction.atomic():
        list(Question.objects.select_for_update())
        found: list[dict[str, int]] = []
        begin = time.monotonic()
        assert elsewhere(lambda: found.append(held.let_go(UNKNOWN))) == []
        assert time.monotonic() - begin < 20 * 0.5 / 2
    assert found == [{"late": len(questions), "refused": len(questions)}]
