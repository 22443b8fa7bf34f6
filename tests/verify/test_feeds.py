"""What is found by what feeds tell alone, and what is refused then."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.db import connection

import diffs
from diffs.store import Entry
from tests.testapp.models import (
    Archive,
    Choice,
    Comment,
    Country,
    Currency,
    Draft,
    HotQuestion,
    Invoice,
    Note,
    Question,
    Rate,
    Restaurant,
    Score,
    Seat,
    SelfAware,
    Tag,
    Token,
    Topic,
)

from .conftest import Verify, is_refused, untold

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


BOTH = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def in_feed(name: str) -> Callable[[Entry], bool]:
    return lambda entry: str(entry.feed.name) == name


@pytest.fixture
def question() -> Question:
    made: Question = Question.objects.create(text="What is life?")
    return made


@BOTH
def test_objects_whose_feeds_were_told_everything_are_in_order(verify: Verify) -> None:
    question = Question.objects.create(
        text="What is life?",
        meta={"b": 1.0, "a": [True, None, 1e20], "": 2**60},
        pub_date=dt.datetime(2026, 11, 28, 12, 0, 0, 1234, tzinfo=dt.timezone.utc),
    )
    question.tags.add(Tag.objects.create(name="deep"), Tag.objects.create(name="old"))
    choice = Choice.objects.create(question=question, text="42")
    Choice.objects.filter(pk=choice.pk).update(votes=7)
    Choice.objects.create(question=question, text="43").delete()
    Seat.objects.create(row=1, letter="a", passenger="Ada")
    Country.objects.create(code="a:b,{c}~ /", name="Somewhere")
    Token.objects.create(label="one")
    Rate.objects.create(currency=Currency.objects.create(code="EUR", name="Euro"), value="1.5")
    Restaurant.objects.create(name="Ada's", stars=2)
    HotQuestion.objects.create(text="A proxy")
    Archive.objects.using("default").create(title="Here")
    ran = verify("--verbosity", "1")
    assert ran.error is None
    assert ran.out == "12 objects compared, 0 with differences.\n"


def test_missed_update_is_found(verify: Verify, question: Question) -> None:
    with untold():
        Question.objects.update(votes=5)
    ran = verify()
    assert ran.lines == [
        f"testapp.question:{question.pk}: missing update: votes",
        "1 object compared, 1 with differences.",
    ]
    assert str(ran.error) == (
        "The readers of 1 object have something else. With --repair, old cursors of their feeds are refused."
    )
    assert ran.error is not None
    assert ran.error.returncode == 1


def test_values_are_shown_only_if_asked_for_and_excluded_ones_never(verify: Verify, question: Question) -> None:
    with untold():
        Question.objects.update(text="Secretly", secret="hidden")
    assert "Secretly" not in verify().out
    assert verify("--show-values").lines[0] == (
        f'testapp.question:{question.pk}: missing update: text is "Secretly", the last diff says "What is life?"'
    )


def test_change_of_an_excluded_field_is_none(verify: Verify, question: Question) -> None:
    with untold():
        Question.objects.update(secret="hidden")
    assert verify().error is None


def test_missed_deletion_is_found_in_the_object_s_feed_and_its_parent_s(verify: Verify, question: Question) -> None:
    choice = Choice.objects.create(question=question, text="42")
    pk = choice.pk
    with untold():
        choice.delete()
    assert verify().lines[:-1] == [
        f"testapp.choice:{pk}: missing deletion",
        f"testapp.question:{question.pk}: missing deletion of testapp.choice:{pk}",
    ]


def test_missed_re_creation_is_found(verify: Verify) -> None:
    country = Country.objects.create(code="at", name="Austria")
    country.delete()
    with untold():
        Country.objects.create(code="at", name="Austria")
    assert verify().lines[0] == "testapp.country:at: missing creation"


def test_diff_that_only_the_parent_s_feed_lacks_is_found_there(verify: Verify, question: Question) -> None:
    choice = Choice.objects.create(question=question, text="42")
    with untold(in_feed(f"testapp.question:{question.pk}")):
        Choice.objects.update(votes=1)
    assert verify().lines[0] == (f"testapp.question:{question.pk}: missing update of testapp.choice:{choice.pk}: votes")
    assert len(verify().lines) == 2


def test_field_that_one_feed_was_never_told_is_found_there(
    verify: Verify, question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = Choice.objects.create(question=question, text="42")
    question.diffs.clear()
    Choice.objects.update(text="43")
    with untold(in_feed(f"testapp.question:{question.pk}")):
        Choice.objects.update(votes=1)
    # The clocks of two shards can't be compared to the microsecond.
    assert verify().error is None
    monkeypatch.setattr("diffs.management.verify.verification.MARGIN", 0)
    assert verify().lines[0] == f"testapp.question:{question.pk}: missing update of testapp.choice:{choice.pk}: votes"


def test_diff_that_only_the_model_feed_lacks_is_found_there(verify: Verify) -> None:
    invoice = Invoice.objects.create(title="One", total=1)
    with untold(in_feed("testapp.invoice")):
        Invoice.objects.update(total=2)
    assert verify().lines[0] == f"testapp.invoice: missing update of testapp.invoice:{invoice.pk}: total"


def test_child_that_moved_is_compared_with_its_parent_of_now(verify: Verify, question: Question) -> None:
    choice = Choice.objects.create(question=question, text="42")
    other = Question.objects.create(text="Another")
    choice.question = other
    choice.save()
    Choice.objects.update(votes=3)
    assert verify().error is None
    choice.delete()
    assert verify().error is None


def test_missed_move_is_found_in_the_feed_of_the_parent_before(verify: Verify, question: Question) -> None:
    choice = Choice.objects.create(question=question, text="42")
    other = Question.objects.create(text="Another")
    with untold():
        Choice.objects.update(question=other)
    before, after = question.diffs.cursor, other.diffs.cursor
    assert verify("--repair").lines == [
        f"testapp.choice:{choice.pk}: missing update: question",
        f"testapp.question:{question.pk}: missing update of testapp.choice:{choice.pk}: question",
        "3 objects compared, 1 with differences, 1 repaired.",
    ]
    assert is_refused(question.diffs, before)
    assert is_refused(other.diffs, after)


def test_repair_refuses_the_cursors_of_the_feeds_concerned_and_no_others(verify: Verify, question: Question) -> None:
    choice = Choice.objects.create(question=question, text="42")
    sibling = Choice.objects.create(question=question, text="43")
    other = Question.objects.create(text="Not concerned")
    feeds = {name: one.diffs for name, one in locals().items() if isinstance(one, Question | Choice)}
    cursors = {name: feed.cursor for name, feed in feeds.items()}
    with untold():
        Choice.objects.filter(pk=choice.pk).update(votes=1)
    ran = verify("--repair")
    assert ran.error is None
    assert ran.lines[-1] == "4 objects compared, 1 with differences, 1 repaired."
    refused = {name for name, feed in feeds.items() if is_refused(feed, cursors[name])}
    assert refused == {"choice", "question"}
    assert sibling.pk and other.pk
    assert verify().error is None


def test_of_a_child_that_is_gone_the_parents_that_diffs_name_are_refused(verify: Verify, question: Question) -> None:
    other = Question.objects.create(text="Another")
    choice = Choice.objects.create(question=question, text="42")
    with untold():
        choice.delete()
    before, after = question.diffs.cursor, other.diffs.cursor
    verify("--repair")
    assert is_refused(question.diffs, before)
    assert not is_refused(other.diffs, after)


def test_where_nobody_knows_whose_child_is_gone_all_of_the_parents_model_are_refused(
    verify: Verify, question: Question
) -> None:
    choice = Choice.objects.create(question=question, text="42")
    choice.diffs.clear()
    question.diffs.clear()
    Choice.objects.update(votes=1)
    question.diffs.clear()
    with untold():
        choice.delete()
    cursor = question.diffs.cursor
    verify("--repair")
    assert is_refused(question.diffs, cursor)


def test_what_touch_or_disabled_refused_is_no_difference(verify: Verify, question: Question) -> None:
    with diffs.disabled():
        Question.objects.update(votes=9)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_question SET votes = 10")
    diffs.touch(question)
    assert verify().error is None


def test_hook_s_data_is_compared_as_far_as_it_doesn_t_depend_on_the_change(verify: Verify) -> None:
    score = Score.objects.create(name="Ada", points=1)
    score.points = 2
    score.save()
    assert verify().error is None
    with untold():
        score.points = 3
        score.save()
    assert verify().lines[0] == f"testapp.score:{score.pk}: missing update: now"


def test_object_whose_hook_holds_diffs_back_is_not_compared(verify: Verify) -> None:
    draft = Draft.objects.create(text="First", published=True)
    draft.published = False
    draft.save()
    ran = verify()
    assert ran.error is None
    assert ran.out == (
        "0 objects compared, 0 with differences.\n"
        "1 object could not be compared: hooks hold its diffs back, or fail, or another database has it, too.\n"
    )


def test_hook_that_fails_leaves_its_object_out(verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    Comment.objects.create(topic=Topic.objects.create(name="Life"), text="Hm")
    monkeypatch.setattr(Comment, "get_diff_parent", lambda self: 1 / 0)
    assert verify().lines[0] == "1 object compared, 0 with differences."


def test_changes_that_a_model_s_own_detection_passes_over_are_none(verify: Verify) -> None:
    aware, note = SelfAware.objects.create(text="Hm"), Note.objects.create(text="Hm")
    aware.mood = "cheerful"
    aware.save()
    assert verify().error is None
    with untold():
        note.text = "Oh"
        note.save()
        aware.delete()
    assert len(verify().lines) == 3


def test_children_of_hooks_are_compared_in_the_feeds_of_their_parents(verify: Verify) -> None:
    topic = Topic.objects.create(name="Life")
    comment = Comment.objects.create(topic=topic, text="Hm")
    with untold(in_feed(f"testapp.topic:{topic.pk}")):
        Comment.objects.update(text="Oh")
    assert verify().lines[0] == f"testapp.topic:{topic.pk}: missing update of testapp.comment:{comment.pk}: text"


def test_only_the_models_named_are_compared(verify: Verify, question: Question) -> None:
    choice = Choice.objects.create(question=question, text="42")
    Invoice.objects.create(title="One")
    with untold():
        Choice.objects.update(votes=1)
        Question.objects.update(votes=1)
    # Children are compared in their parents' feeds, parents not in those of their children.
    assert verify("testapp.Choice").lines == [
        f"testapp.choice:{choice.pk}: missing update: votes",
        f"testapp.question:{question.pk}: missing update of testapp.choice:{choice.pk}: votes",
        "1 object compared, 1 with differences.",
    ]
    assert verify("testapp.HotQuestion").lines == [
        f"testapp.question:{question.pk}: missing update: votes",
        f"testapp.question:{question.pk}: missing update of testapp.choice:{choice.pk}: votes",
        "2 objects compared, 2 with differences.",
    ]
    assert verify("testapp.invoice").error is None


@BOTH
def test_object_that_another_database_has_is_not_compared(verify: Verify) -> None:
    there = Archive.objects.using("other").create(title="There", pk=7)
    here = Archive.objects.create(title="Here", pk=8)
    with untold():
        there.delete(using="other")
        Archive.objects.using("other").create(title="Another", pk=8)
        Archive.objects.update(title="Changed")
    assert verify("testapp.archive").lines[0] == f"testapp.archive:{7}: missing deletion"
    for alias, compared in {"default": 1, "other": 1}.items():
        ran = verify("--database", alias)
        assert ran.lines[1] == f"{compared} object compared, 1 with differences."
        assert ran.lines[2].startswith("1 object could not be compared")
    assert here.pk == 8


@BOTH
def test_objects_of_the_database_that_is_named_are_compared(verify: Verify) -> None:
    Archive.objects.using("other").create(title="There", pk=7)
    assert verify("testapp.archive", "--database", "other").out == "1 object compared, 0 with differences.\n"
    with untold():
        Archive.objects.using("other").update(title="Changed")
    assert verify("--database", "other").lines[0] == "testapp.archive:7: missing update: title"
    # Seen from the other one, it is somebody else's.
    assert verify("--database", "default").error is None


def test_feed_of_many_pages_is_folded_in_order(
    verify: Verify, question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffs.management.verify.feeds.MAX_PAGE", 3)
    for number in range(20):
        Choice.objects.create(question=question, text="Hm", votes=number)
        Question.objects.update(votes=number)
    assert verify("--batch-size", "2").error is None
    with untold():
        Question.objects.update(votes=100)
    assert verify("--batch-size", "2").lines == [
        f"testapp.question:{question.pk}: missing update: votes",
        "21 objects compared, 1 with differences.",
    ]
