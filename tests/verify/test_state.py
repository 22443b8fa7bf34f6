"""What is found since the run before, also where feeds hold nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from diffs.capture import values
from diffs.errors import SerializationError
from diffs.management.verify import Baseline, BaselineError
from diffs.testing import registered
from tests.testapp.models import Choice, Country, Draft, Invoice, Question, Seat

from .conftest import Verify, is_refused, untold

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def question() -> Question:
    """Whose feed holds nothing."""
    made: Question = Question.objects.create(text="What is life?")
    made.diffs.clear()
    return made


def test_missed_changes_are_found_where_feeds_hold_nothing(verify: Verify, state: str, question: Question) -> None:
    choice = Choice.objects.create(question=question, text="42")
    choice.diffs.clear()
    question.diffs.clear()
    assert verify("--state", state).out == "2 objects compared, 0 with differences.\n"
    with untold():
        Question.objects.update(votes=5)
        made = Choice.objects.create(question=question, text="43")
        Choice.objects.filter(pk=choice.pk).delete()
    assert verify().error is None
    ran = verify("--state", state)
    # In the order in which the suspects settled.
    assert sorted(ran.lines[:-1]) == sorted(
        [
            f"testapp.question:{question.pk}: missing update: votes",
            f"testapp.choice:{made.pk}: missing creation",
            f"testapp.question:{question.pk}: missing creation of testapp.choice:{made.pk}",
            f"testapp.choice:{choice.pk}: missing deletion",
            f"testapp.question:{question.pk}: missing deletion of testapp.choice:{choice.pk}",
        ]
    )
    assert ran.lines[-1] == "3 objects compared, 3 with differences."
    assert ran.error is not None


def test_what_is_not_repaired_is_found_again_and_what_is_repaired_is_not(
    verify: Verify, state: str, question: Question
) -> None:
    other = Question.objects.create(text="Not concerned")
    cursor, theirs = question.diffs.cursor, other.diffs.cursor
    verify("--state", state)
    with untold():
        Question.objects.filter(pk=question.pk).update(votes=5)
    first = verify("--state", state)
    assert first.lines[0] == f"testapp.question:{question.pk}: missing update: votes"
    assert verify("--state", state).lines == first.lines
    assert not is_refused(question.diffs, cursor)
    assert verify("--state", state, "--repair").lines[-1] == "2 objects compared, 1 with differences, 1 repaired."
    assert is_refused(question.diffs, cursor)
    assert not is_refused(other.diffs, theirs)
    assert verify("--state", state).error is None


def test_what_feeds_were_told_since_is_no_difference(verify: Verify, state: str, question: Question) -> None:
    verify("--state", state)
    seat = Seat.objects.create(row=1, letter="a")
    verify("--state", state)
    Question.objects.update(votes=5)
    Choice.objects.create(question=question, text="42").delete()
    Country.objects.create(code="a,b~", name="Somewhere")
    seat.passenger = "Ada"
    seat.save()
    for _ in range(2):
        assert verify("--state", state).lines == ["4 objects compared, 0 with differences."]


def test_readers_who_are_refused_anyhow_miss_nothing(verify: Verify, state: str, question: Question) -> None:
    verify("--state", state)
    with untold():
        Question.objects.update(votes=5)
    question.diffs.clear()
    assert verify("--state", state).error is None
    assert verify("--state", state).error is None


def test_state_from_before_a_flush_begins_anew(
    verify: Verify, state: str, question: Question, redis_client: Any
) -> None:
    verify("--state", state)
    redis_client.flushall()
    with untold():
        Question.objects.update(votes=5)
    assert verify("--state", state).error is None
    with untold():
        Question.objects.update(votes=6)
    assert verify("--state", state).lines[0] == f"testapp.question:{question.pk}: missing update: votes"


def test_run_that_was_stopped_leaves_no_false_creations(
    verify: Verify, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        Invoice.objects.create(title=f"{number}").diffs.clear()
    Invoice.diffs.all().clear()
    with monkeypatch.context() as patch:
        put, calls = Baseline.put, []

        def stop(*arguments: Any) -> None:
            put(*arguments)
            calls.append(arguments)
            if len(calls) == 2:
                raise KeyboardInterrupt

        patch.setattr(Baseline, "put", stop)
        ran = verify("testapp.invoice", "--state", state, "--batch-size", "1")
    assert ran.error is not None
    assert ran.error.returncode == 130
    assert verify("testapp.invoice", "--state", state).lines == ["4 objects compared, 0 with differences."]


def test_feed_that_a_model_gets_only_now_lacks_nothing(verify: Verify, state: str, question: Question) -> None:
    verify("--state", state, "testapp.question")
    with registered(Question, model_feed=True, exclude=["secret"]):
        assert verify("--state", state, "testapp.question").error is None
        Question.objects.update(votes=1)
        assert verify("--state", state, "testapp.question").error is None


def test_object_that_could_not_be_compared_is_not_taken_for_new(
    verify: Verify, state: str, question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = Draft.objects.create(text="First")
    with monkeypatch.context() as patch:
        patch.setattr(values, "stored", lambda field, value: (_ for _ in ()).throw(SerializationError("No form.")))
        assert "2 objects could not be compared" in verify("--state", state).out
    draft.published = True
    draft.save()
    assert verify("--state", state).error is None


def test_state_holds_no_values(verify: Verify, state: str) -> None:
    Question.objects.create(text="Something private")
    verify("--state", state)
    content = Path(state).read_bytes()
    assert b"testapp.question" in content
    assert b"private" not in content
    # And of cursors only those that are needed.
    verify("--state", state)
    with sqlite3.connect(state) as database:
        assert database.execute("SELECT COUNT(DISTINCT generation) FROM cursor").fetchone() == (1,)
    database.close()


def test_models_that_are_not_named_keep_their_state(verify: Verify, state: str, question: Question) -> None:
    verify("--state", state)
    with untold():
        Question.objects.update(votes=5)
    assert verify("--state", state, "testapp.choice").error is None
    assert verify("--state", state, "testapp.question").lines[0].endswith("missing update: votes")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            b"This is no database at all, but some text that goes on and on and on, beyond a hundred bytes. " * 2,
            "isn't a file",
        ),
        ("CREATE TABLE mine (id)", "is a database of something else"),
        ("PRAGMA application_id = 0x64696666; PRAGMA user_version = 99", "another release"),
    ],
)
def test_file_of_something_else_is_left_alone(verify: Verify, state: str, content: Any, why: str) -> None:
    path = Path(state)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        database = sqlite3.connect(path)
        database.executescript(content)
        database.close()
    before = path.read_bytes()
    ran = verify("--state", state)
    assert ran.error is not None
    assert str(ran.error).startswith(f"--state: {state} can't keep the state: it ")
    assert why in str(ran.error)
    assert path.read_bytes() == before


def test_file_that_another_run_uses_is_refused(verify: Verify, state: str) -> None:
    other = Baseline(Path(state))
    try:
        assert "another run is using it" in str(verify("--state", state).error)
    finally:
        other.close()
    assert verify("--state", state).error is None


def test_file_that_can_t_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="can't be opened"):
        Baseline(tmp_path / "nowhere" / "state.sqlite3")
