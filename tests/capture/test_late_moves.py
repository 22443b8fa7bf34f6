"""Objects that go from parent to parent while the diffs of that overtake each other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from diffs.capture import sending
from diffs.errors import CursorExpired
from tests.testapp.models import Choice, Question

from .recorded import saying

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

Postponing = Callable[[], contextlib.AbstractContextManager[Callable[[], None]]]


@pytest.fixture(autouse=True, params=["versions", "outbox"])
def by_the_database(request: pytest.FixtureRequest, settings: Any) -> None:
    chosen = {"versions": "database"} if request.param == "versions" else {"outbox": True}
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, **chosen}


@pytest.fixture
def postponing(monkeypatch: pytest.MonkeyPatch) -> Postponing:
    """In its context nothing that is committed leaves; it does when what that gives is called."""

    @contextlib.contextmanager
    def postponing() -> Iterator[Callable[[], None]]:
        kept: list[tuple[Any, ...]] = []

        def send() -> None:
            for arguments in kept:
                sending.send(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr("diffs.capture.transaction.send", lambda *arguments: kept.append(arguments))
            yield send

    return postponing


@pytest.fixture
def parents() -> tuple[Question, Question]:
    here, there = (Question.objects.create(text=text) for text in ("here", "there"))
    return here, there


def whole(choice: Choice) -> dict[str, Any]:
    return {"question": choice.question_id, "text": choice.text, "votes": choice.votes}


def test_p7_object_that_came_back_is_told_whole_as_others_changed_it_meanwhile(
    parents: tuple[Question, Question], postponing: Postponing
) -> None:
    here, there = parents
    choice = Choice.objects.create(question=here, text="stays", votes=0)
    cursor = here.diffs.cursor
    with postponing() as send:
        Choice.objects.filter(pk=choice.pk).update(question=there)
    Choice.objects.filter(pk=choice.pk).update(votes=7)
    Choice.objects.filter(pk=choice.pk).update(question=here)
    send()
    choice.refresh_from_db()
    *_, last = here.diffs.since(cursor)
    assert (last.action, last.data) == ("update", whole(choice))


def test_p7_object_that_left_and_is_gone_refuses_the_readers_of_the_parent_that_it_left(
    parents: tuple[Question, Question], postponing: Postponing
) -> None:
    here, there = parents
    choice = Choice.objects.create(question=here, text="goes", votes=0)
    here_cursor, there_cursor = here.diffs.cursor, there.diffs.cursor
    with postponing() as send:
        Choice.objects.filter(pk=choice.pk).update(question=there)
    with postponing() as send_later:
        Choice.objects.filter(pk=choice.pk).update(question=here)
        Choice.objects.filter(pk=choice.pk).update(question=there)
        Choice.objects.filter(pk=choice.pk).delete()
    send_later()
    send()
    with pytest.raises(CursorExpired):
        list(here.diffs.since(here_cursor))
    with pytest.raises(CursorExpired):
        list(there.diffs.since(there_cursor))
    assert [diff.action for diff in Choice.diffs.get_by_object_id(choice.pk)][-1] == "delete"


def test_p7_deletion_that_came_late_is_made_up_for_by_the_object_that_has_its_key_now(
    parents: tuple[Question, Question], postponing: Postponing
) -> None:
    here, there = parents
    choice = Choice.objects.create(question=here, text="old", votes=9)
    pk = choice.pk
    with postponing() as send:
        choice.delete()
    Choice.objects.create(pk=pk, question=there, text="new")
    Choice.objects.filter(pk=pk).update(question=here)
    send()
    expected = ("create", "testapp.choice", pk, whole(Choice.objects.get(pk=pk)))
    assert saying(f"testapp.question:{here.pk}")[-1] == expected
    assert saying(f"testapp.choice:{pk}")[-1] == expected


def test_late_change_of_an_object_that_never_moved_is_told_by_its_fields_alone(
    parents: tuple[Question, Question], postponing: Postponing
) -> None:
    here, _ = parents
    choice = Choice.objects.create(question=here, text="stays", votes=0)
    with postponing() as send:
        Choice.objects.filter(pk=choice.pk).update(votes=1)
    Choice.objects.filter(pk=choice.pk).update(votes=2, text="later")
    send()
    assert saying(f"testapp.question:{here.pk}")[-1] == ("update", "testapp.choice", choice.pk, {"votes": 2})
