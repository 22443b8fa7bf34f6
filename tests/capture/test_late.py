"""A diff that reaches Redis after a later one of its row is replaced by what the row holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F

from diffs.capture import late, sending, versions
from diffs.cursor import Cursor
from diffs.errors import CursorExpired
from diffs.feed import feed_of
from diffs.store import get_store
from diffs.store.marks import UNKNOWN
from diffs.testing import registered
from tests.testapp.models import Author, Book, Choice, Draft, Question, Score, Tag

from .held import Held
from .recorded import Recording, name, said

pytestmark = pytest.mark.database


@pytest.fixture(params=["clock", "database", "outbox"])
def order(request: pytest.FixtureRequest, settings: Any) -> str:
    """Each way to order the diffs of a row."""
    chosen = {"outbox": True} if request.param == "outbox" else {"versions": request.param}
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "flush": "commit", **chosen}
    return str(request.param)


@pytest.fixture
def held(order: str, recording: Recording, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    yield Held(monkeypatch)


def folded(subject: Any, pk: Any = None) -> dict[str, Any] | None:
    """What a client has of an object that applies the diffs of a feed in order; ``None`` where it is deleted."""
    row: dict[str, Any] | None = {}
    wanted = subject.pk if pk is None else pk
    for diff in feed_of(subject):
        if diff.pk != wanted:
            continue
        row = None if diff.action == "delete" else {**(row or {}), **diff.data}
    return row


def test_p7_of_two_changes_in_the_wrong_order_the_later_one_stands(held: Held, recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    recording.forget()
    with held:
        Question.objects.filter(pk=question.pk).update(votes=1)
    Question.objects.filter(pk=question.pk).update(votes=2)
    assert held.let_go() == {"late": 1, "replaced": 1}
    assert recording.feeds() == {name(question): [said("update", question, votes=2)] * 2}
    first, second = feed_of(question)
    assert first.id != second.id
    assert first.version < second.version
    assert recording.floors() == set()


def test_p7_a_late_diff_of_another_field_says_what_that_field_holds(held: Held, recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    recording.forget()
    with held:
        Question.objects.filter(pk=question.pk).update(text="How?")
    Question.objects.filter(pk=question.pk).update(votes=2)
    assert held.let_go() == {"late": 1, "replaced": 1}
    told = [said("update", question, votes=2), said("update", question, text="How?")]
    assert recording.feeds() == {name(question): told}


def test_what_comes_in_order_is_left_as_it_is(held: Held, recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    other = Question.objects.create(text="What?")
    recording.forget()
    with held:
        Question.objects.filter(pk=question.pk).update(votes=1)
        Question.objects.filter(pk=question.pk).update(votes=2)
    Question.objects.filter(pk=other.pk).update(votes=9)
    assert held.let_go() == {}
    assert recording.feeds()[name(question)] == [said("update", question, votes=votes) for votes in (1, 2)]


def test_p7_a_parent_s_feed_is_put_in_order_by_itself(held: Held, recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    choices = [Choice.objects.create(question=question, text=text) for text in "ab"]
    recording.forget()
    with held:
        Choice.objects.filter(pk=choices[0].pk).update(votes=F("votes") + 1)
        Choice.objects.filter(pk=choices[1].pk).update(votes=5)
    Choice.objects.filter(pk=choices[0].pk).update(votes=F("votes") + 1)
    assert held.let_go() == {"late": 2, "replaced": 1}
    assert folded(question, choices[0].pk) == {"votes": 2}
    assert folded(question, choices[1].pk) == {"votes": 5}
    assert folded(choices[0]) == {"votes": 2}


def test_p7_a_model_feed_is_put_in_order(held: Held, recording: Recording) -> None:
    with registered(Author, model_feed=True):
        author = Author.objects.create(name="a")
        with held:
            Author.objects.filter(pk=author.pk).update(name="b")
        Author.objects.filter(pk=author.pk).update(name="c")
        held.let_go()
        assert [diff.data["name"] for diff in feed_of(Author)] == ["a", "c", "c"]


def test_p7_a_deletion_that_comes_after_the_row_s_creation_anew_is_replaced_by_the_whole_row(
    held: Held, recording: Recording
) -> None:
    author = Author.objects.create(name="a")
    pk = author.pk
    recording.forget()
    with held:
        author.delete()
    Author.objects.create(pk=pk, name="b")
    assert held.let_go() == {"late": 1, "replaced": 1}
    told = [(diff.action, dict(diff.data)) for diff in Author.diffs.for_object(pk)]
    assert told == [("create", {"name": "b"})] * 2


def test_p7_what_a_row_had_before_it_was_made_anew_is_taken_back(held: Held, recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    question.tags.add(Tag.objects.create(name="t"))
    pk = question.pk
    with held:
        question.delete()
    Question.objects.create(pk=pk, text="How?")
    held.let_go()
    assert folded(Question.objects.get(pk=pk))["tags"] == []


def test_p7_a_change_that_comes_after_the_row_s_deletion_is_left_out(held: Held, recording: Recording) -> None:
    author = Author.objects.create(name="a")
    pk = author.pk
    recording.forget()
    with held:
        Author.objects.filter(pk=pk).update(name="b")
    author.delete()
    assert held.let_go() == {"late": 1, "superseded": 1}
    assert [diff.action for diff in Author.diffs.for_object(pk)] == ["delete"]


def test_p7_a_creation_that_comes_late_holds_the_whole_row(held: Held, recording: Recording) -> None:
    with held:
        author = Author.objects.create(name="a")
    Author.objects.filter(pk=author.pk).update(name="b")
    assert held.let_go() == {"late": 1, "replaced": 1}
    assert recording.feeds() == {
        name(author): [said("update", author, name="b"), said("create", author, name="b")]
    }


def test_p7_a_many_to_many_field_is_read_again(held: Held, recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    tags = [Tag.objects.create(name=text) for text in "ab"]
    recording.forget()
    with held:
        question.tags.add(tags[0])
    question.tags.add(tags[1])
    held.let_go()
    both = [tag.pk for tag in tags]
    assert recording.feeds() == {name(question): [said("update", question, tags=both)] * 2}


def test_p7_a_child_that_moved_is_told_to_both_parents(held: Held, recording: Recording) -> None:
    authors = [Author.objects.create(name=text) for text in "ab"]
    book = Book.objects.create(title="t", author=authors[0], editor=authors[0])
    recording.forget()
    with held:
        Book.objects.filter(pk=book.pk).update(title="u")
    Book.objects.filter(pk=book.pk).update(author=authors[1])
    held.let_go()
    assert folded(authors[0], book.pk) == {"author": authors[1].pk, "title": "u"}
    assert folded(book) == {"author": authors[1].pk, "title": "u"}


def test_a_hook_s_diff_is_replaced_where_it_says_the_same_of_the_row(held: Held, recording: Recording) -> None:
    score = Score.objects.create(name="a", points=1)
    recording.forget()
    with held:
        score.points = 2
        score.save()
    same = Score.objects.get(pk=score.pk)
    same.points = 3
    same.save()
    assert held.let_go() == {"late": 1, "replaced": 1}
    assert [diff.data["now"] for diff in feed_of(score)] == [{"points": 3}, {"points": 3}]


def test_p4_what_can_t_be_read_again_refuses_old_cursors(held: Held, recording: Recording) -> None:
    draft = Draft.objects.create(text="a", published=True)
    cursor = draft.diffs.cursor
    with held:
        draft.text = "b"
        draft.save()
    same = Draft.objects.get(pk=draft.pk)
    same.text = "c"
    same.save()
    Draft.objects.filter(pk=draft.pk).update(published=False)
    assert held.let_go()["refused"] == 1
    with pytest.raises(CursorExpired):
        list(draft.diffs.since(cursor))


@pytest.mark.parametrize("mark", [UNKNOWN, Cursor("another0", 10**15)], ids=["no mark", "mark of lost data"])
def test_p7_what_may_have_come_late_is_read_again(held: Held, recording: Recording, mark: Cursor) -> None:
    question = Question.objects.create(text="Why?")
    recording.forget()
    with held:
        Question.objects.filter(pk=question.pk).update(votes=1)
    assert held.let_go(mark) == {"late": 1, "replaced": 1}
    assert recording.feeds() == {name(question): [said("update", question, votes=1)]}


def test_p7_a_deletion_that_may_have_come_late_is_told_all_the_same(held: Held, recording: Recording) -> None:
    author = Author.objects.create(name="a")
    pk = author.pk
    recording.forget()
    with held:
        author.delete()
    assert held.let_go(UNKNOWN) == {"late": 1}
    (diff,) = Author.diffs.for_object(pk)
    assert (diff.action, recording.floors()) == ("delete", set())


def test_p7_a_deletion_that_may_have_come_late_is_left_out_where_the_row_is_there(
    held: Held, recording: Recording
) -> None:
    author = Author.objects.create(name="a")
    pk = author.pk
    recording.forget()
    with held:
        author.delete()
        author = Author.objects.create(pk=pk, name="b")
    assert held.let_go(UNKNOWN) == {"late": 2, "replaced": 2}
    assert [(diff.action, diff.data["name"]) for diff in Author.diffs.for_object(pk)] == [("create", "b")] * 2


def test_p7_a_deletion_that_is_told_all_the_same_comes_before_a_creation_that_overtook_it(
    held: Held, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    author = Author.objects.create(name="a")
    pk = author.pk
    with held:
        author.delete()
    original = late._gone

    def gone(*arguments: Any) -> None:
        if not Author.objects.filter(pk=pk).exists():
            Author.objects.create(pk=pk, name="b")
        original(*arguments)

    monkeypatch.setattr(late, "_gone", gone)
    assert held.let_go(UNKNOWN)["late"] == 2
    assert "delete" not in [diff.action for diff in Author.diffs.for_object(pk)]


def test_p7_after_a_floor_nobody_takes_what_was_dropped_for_absent(held: Held, recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    with held:
        Question.objects.filter(pk=question.pk).update(votes=1)
    Question.objects.filter(pk=question.pk).update(votes=2)
    question.diffs.clear()
    cursor = question.diffs.cursor
    assert held.let_go() == {"late": 1, "replaced": 1}
    assert [diff.data for diff in question.diffs.since(cursor)] == [{"votes": 2}]


def test_p7_after_lost_data_nobody_takes_what_was_lost_for_absent(
    held: Held, recording: Recording, redis_client: Any
) -> None:
    question = Question.objects.create(text="Why?")
    with held:
        Question.objects.filter(pk=question.pk).update(votes=1)
    Question.objects.filter(pk=question.pk).update(votes=2)
    redis_client.flushall()
    cursor = question.diffs.cursor
    assert held.let_go() == {"late": 1, "replaced": 1}
    assert [diff.data for diff in question.diffs.since(cursor)] == [{"votes": 2}]


def test_p5_a_transaction_keeps_what_came_in_time_together(held: Held, recording: Recording) -> None:
    questions = [Question.objects.create(text="Why?") for _ in range(3)]
    recording.forget()
    with held, transaction.atomic():
        for question in questions:
            Question.objects.filter(pk=question.pk).update(votes=1)
    Question.objects.filter(pk=questions[1].pk).update(votes=2)
    assert held.let_go() == {"late": 1, "replaced": 1}
    assert [folded(question) for question in questions] == [{"votes": 1}, {"votes": 2}, {"votes": 1}]


def test_p2_sending_again_is_no_lateness(held: Held, recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    recording.forget()
    with held:
        Question.objects.filter(pk=question.pk).update(votes=1)
    entries = held.entries
    held.let_go()
    Question.objects.filter(pk=question.pk).update(votes=2)
    assert get_store().append(entries).late == ()
    assert [diff.data for diff in question.diffs] == [{"votes": 1}, {"votes": 2}]


def test_many_late_rows_are_read_together(
    held: Held, recording: Recording, django_assert_max_num_queries: Any
) -> None:
    questions = Question.objects.bulk_create(Question(text=str(number)) for number in range(40))
    recording.forget()
    with held:
        Question.objects.update(votes=1)
    Question.objects.update(votes=2)
    with django_assert_max_num_queries(250):
        assert held.let_go() == {"late": 40, "replaced": 40}
    assert [folded(question) for question in questions] == [{"votes": 2}] * 40


def test_p4_who_is_always_late_refuses_old_cursors_in_the_end(
    held: Held, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question.objects.create(text="Why?")
    cursor = question.diffs.cursor
    original = sending.hand_over

    def overtaken(entries: Any, floors: Any, receipt: Any) -> Any:
        sent = [entry._replace(since=UNKNOWN) for entry in entries]
        return original(sent, floors, receipt)

    monkeypatch.setattr(sending, "hand_over", overtaken)
    Question.objects.filter(pk=question.pk).update(votes=1)
    with pytest.raises(CursorExpired) as refused:
        list(question.diffs.since(cursor))
    assert refused.value.reason == "reset"


def test_p6_an_error_while_rows_are_read_again_breaks_no_save(
    held: Held, recording: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    question = Question.objects.create(text="Why?")
    cursor = question.diffs.cursor
    with held:
        Question.objects.filter(pk=question.pk).update(votes=1)
    Question.objects.filter(pk=question.pk).update(votes=2)
    monkeypatch.setattr(late, "replace", lambda *_: 1 / 0)
    held.let_go()
    assert caplog.messages == ["Diffs came late, and their rows can't be read again: old cursors will be refused."]
    with pytest.raises(CursorExpired):
        list(question.diffs.since(cursor))


def test_a_commit_reads_late_rows_again_before_the_functions_that_wait_for_it(
    held: Held, recording: Recording
) -> None:
    question = Question.objects.create(text="Why?")
    stale = Question.objects.get(pk=question.pk)
    seen: list[Any] = []
    with held:
        Question.objects.filter(pk=question.pk).update(votes=1)
    (entry, *_) = held.entries
    recording.forget()
    with transaction.atomic():
        stale.text = "How?"
        stale.save(update_fields=["text"])
        get_store().append([entry._replace(member=entry.member[:1] + b"\x1e" + entry.member[2:], since=None)])
        transaction.on_commit(lambda: seen.append(folded(question)))
    assert seen == [{"votes": 1, "text": "How?"}]


def test_versions_of_the_clock_rise_above_those_of_other_servers(recording: Recording) -> None:
    ahead = versions.next_version() + 3_600_000_000
    versions.rise_above(ahead)
    assert versions.next_version() == ahead + 1


def test_a_transaction_managed_by_hand_refuses_old_cursors_for_what_comes_late(
    order: str, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question.objects.create(text="Why?")
    cursor = question.diffs.cursor
    original = sending.hand_over
    with monkeypatch.context() as patch:
        patch.setattr(
            sending,
            "hand_over",
            lambda entries, floors, receipt: original(
                [entry._replace(since=UNKNOWN) for entry in entries], floors, receipt
            ),
        )
        transaction.set_autocommit(False)
        try:
            Question.objects.filter(pk=question.pk).update(votes=1)
            connection.commit()
        finally:
            connection.rollback()
            transaction.set_autocommit(True)
    with pytest.raises(CursorExpired):
        list(question.diffs.since(cursor))
