"""Several writers at once: nobody fails who wouldn't without capture, and what is told is what happened."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F

from diffs.capture import links
from diffs.feed import feed_of
from diffs.registration import registrations, require
from tests.testapp.models import Author, Choice, Question, Tag, Ticker

from .recorded import Recording, name, said

PATIENCE = 20.0

on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="Only PostgreSQL locks rows.")
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="Only SQLite has one writer.")

Start = Callable[..., "Future[Any]"]


@pytest.fixture
def start(recording: Recording) -> Iterator[Start]:
    """Let another thread do something, with a connection of its own."""

    def done(work: Callable[[], Any]) -> Any:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        yield lambda work: threads.submit(done, work)


BLOCKED = """
    SELECT count(DISTINCT pid) FROM pg_locks
    WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))
"""


def wait_until_blocked() -> None:
    """Return when another transaction waits for a lock that this one holds."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with connection.cursor() as cursor:
            cursor.execute(BLOCKED)
            if cursor.fetchone()[0]:
                return
        assert time.monotonic() < deadline, "Nobody waits."
        time.sleep(0.01)


@pytest.mark.database
@on_postgresql
def test_of_two_optimistic_updates_one_wins(recording: Recording, start: Start, still: str) -> None:
    question = Question.objects.create(text="Why?", votes=3)
    recording.forget()

    def win() -> int:
        return Question.objects.filter(pk=question.pk, votes=3).update(votes=4)

    with transaction.atomic():
        assert win() == 1
        other = start(win)
        wait_until_blocked()
    assert other.result(PATIENCE) == 0
    assert recording.feeds() == {name(question): [said("update", question, votes=4)]}


@pytest.mark.database
def test_of_many_optimistic_updates_one_wins_each_round(recording: Recording, start: Start, still: str) -> None:
    question = Question.objects.create(text="Why?")
    recording.forget()
    barrier = threading.Barrier(3)

    def race() -> list[int]:
        won = []
        for votes in range(10):
            barrier.wait(PATIENCE)
            won.append(Question.objects.filter(pk=question.pk, votes=votes).update(votes=F("votes") + 1))
        return won

    races = [start(race) for _ in range(3)]
    results = [each.result(PATIENCE) for each in races]
    assert [sum(each) for each in zip(*results, strict=True)] == [1] * 10
    assert recording.feeds() == {name(question): [said("update", question, votes=votes) for votes in range(1, 11)]}


@pytest.mark.database
@on_postgresql
def test_a_row_that_leaves_a_join_while_it_is_waited_for_is_neither_written_nor_told(
    recording: Recording, start: Start, still: str
) -> None:
    question = Question.objects.create(text="Why?")
    choice = Choice.objects.create(question=question, text="a", votes=1)
    recording.forget()
    with transaction.atomic():
        Question.objects.update(votes=1)
        Choice.objects.update(votes=0)
        other = start(lambda: Question.objects.filter(choices__votes=1).update(text="Who?"))
        wait_until_blocked()
    assert other.result(PATIENCE) == 0
    changed = said("update", choice, votes=0)
    assert recording.feeds() == {name(question): [said("update", question, votes=1), changed], name(choice): [changed]}


@pytest.mark.database
@on_postgresql
def test_an_expression_is_told_as_it_came_out_behind_another_writer(
    recording: Recording, start: Start, still: str
) -> None:
    question = Question.objects.create(text="Why?")
    recording.forget()
    with transaction.atomic():
        Question.objects.update(votes=F("votes") + 1)
        others = [start(lambda: Question.objects.update(votes=F("votes") + 1)) for _ in range(2)]
        wait_until_blocked()
    assert [other.result(PATIENCE) for other in others] == [1, 1]
    assert recording.feeds() == {name(question): [said("update", question, votes=votes) for votes in (1, 2, 3)]}


@pytest.mark.database
@on_postgresql
def test_two_transactions_that_add_to_one_field_end_with_both(recording: Recording, start: Start, still: str) -> None:
    question = Question.objects.create(text="Why?")
    first, second = (Tag.objects.create(name=letter) for letter in "ab")
    recording.forget()
    with transaction.atomic():
        question.tags.add(first)
        other = start(lambda: Question.objects.get().tags.add(second))
        wait_until_blocked()
    other.result(PATIENCE)
    assert recording.feeds() == {
        name(question): [
            said("update", question, tags=[first.pk]),
            said("update", question, tags=[first.pk, second.pk]),
        ]
    }


@pytest.mark.database
@on_postgresql
def test_a_target_that_goes_while_another_comes_leaves_the_field_whole(
    recording: Recording, start: Start, still: str
) -> None:
    question = Question.objects.create(text="Why?")
    first, second = (Tag.objects.create(name=letter) for letter in "ab")
    question.tags.add(first)
    recording.forget()
    with transaction.atomic():
        question.tags.add(second)
        other = start(lambda: Tag.objects.filter(name="a").delete())
        wait_until_blocked()
    other.result(PATIENCE)
    assert feed_of(question)[-1].data == {"tags": [second.pk]}


@pytest.mark.database
@on_postgresql
def test_an_update_keeps_nobody_from_inserting_children(recording: Recording, start: Start) -> None:
    question = Question.objects.create(text="Why?")
    tag = Tag.objects.create(name="a")
    with transaction.atomic():
        Question.objects.update(votes=1)
        question.tags.add(tag)
        choice = start(lambda: Choice.objects.create(question=question, text="a")).result(PATIENCE)
        assert name(choice) in recording.feeds()


# None of them reads before it writes: what does has to expect it of SQLite, with and without capture.
WRITES: dict[str, Callable[[int], Any]] = {
    "save": lambda number: Author(pk=1, name=str(number)).save(),
    "save of a child": lambda number: Choice(pk=1, votes=number).save(update_fields=["votes"]),
    "update": lambda number: Author.objects.update(name=str(number)),
    "update by an expression": lambda number: Question.objects.update(votes=F("votes") + 1),
    "bulk_update": lambda number: Choice.objects.bulk_update([Choice(pk=1, votes=number)], ["votes"]),
    "upsert": lambda number: Choice.objects.bulk_create(
        [Choice(pk=1, question_id=1, text=str(number))],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["question", "text"],
    ),
    "ignore": lambda number: Author.objects.bulk_create([Author(pk=1, name="x")], ignore_conflicts=True),
    "add": lambda number: Question(pk=1).tags.add(1 + number % 2),
    "remove": lambda number: Question(pk=1).tags.remove(1 + number % 2),
    "through rows": lambda number: Question.tags.through.objects.update(tag=1 + number % 2),
    "delete": lambda number: Ticker.objects.filter(symbol="A").delete(),
    "delete of a child": lambda number: Choice.objects.create(question_id=1, text="a").delete(),
    "delete of a target": lambda number: Tag.objects.filter(name="x").delete(),
}


@on_sqlite
@pytest.mark.parametrize("transactions", [False, True], ids=["autocommit", "in transactions"])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_no_writer_finds_sqlite_locked(
    recording: Recording, start: Start, write: Callable[[int], Any], transactions: bool
) -> None:
    Author.objects.create(pk=1, name="Ada")
    question = Question.objects.create(pk=1, text="Why?")
    Choice.objects.create(pk=1, question=question, text="a")
    Tag.objects.bulk_create([Tag(pk=1, name="a"), Tag(pk=2, name="b")])
    barrier = threading.Barrier(3)

    def work() -> None:
        barrier.wait(PATIENCE)
        for number in range(8):
            if transactions:
                with transaction.atomic():
                    write(number)
                    write(number + 1)
            else:
                write(number)

    for thread in [start(work) for _ in range(3)]:
        thread.result(60)


def test_which_tables_belong_to_many_to_many_fields_is_never_half_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first two writers of a process work it out at the same time."""
    halfway, finish = threading.Event(), threading.Event()

    def slowly() -> Iterator[Any]:
        halfway.set()
        finish.wait(PATIENCE)
        yield from registrations()

    links.forget_links()
    with monkeypatch.context() as patch:
        patch.setattr(links, "registrations", slowly)
        slow = threading.Thread(target=links.links_of, args=(Author, "default"))
        slow.start()
        assert halfway.wait(PATIENCE)
    found = links.links_of(Question.tags.through, "default")
    finish.set()
    slow.join()
    assert [link.registration for link in found] == [require(Question)]
    assert links.links_of(Question.tags.through, "default") == found
