"""P5: what is rolled back leaves no diff; what is committed together enters the feeds together, in its order."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.test import Client, TestCase, TransactionTestCase
from django.urls import path

from diffs.feed import feed_of
from diffs.keys import parse_feed
from diffs.store import get_store
from tests.servers import RedisServer
from tests.testapp.models import Archive, Author, Choice, Currency, Position, Question

from .conftest import NOW
from .recorded import Recording, name, said

ON_POSTGRESQL = connection.vendor == "postgresql"

# Its name up to Django 6.0 was another.
make_savepoint = getattr(transaction, "savepoint_create", transaction.savepoint)


class Undone(Exception):
    """Rolls a transaction back."""


def rename(request: HttpRequest) -> HttpResponse:
    author = Author.objects.get()
    author.name = request.GET["name"]
    author.save()
    assert len(feed_of(author)) == 0
    if request.GET.get("fail"):
        raise Undone
    return HttpResponse()


urlpatterns = [path("rename/", rename)]


@pytest.fixture
def author(recording: Recording) -> Author:
    """An author; of its creation nothing is left in Redis."""
    author = Author.objects.create(name="Ada")
    recording.forget()
    return author


def save(author: Author, new_name: str) -> None:
    author.name = new_name
    author.save()


def renamed(author: Author, *names: str) -> dict[str, Any]:
    return {name(author): [said("update", author, name=each) for each in names]} if names else {}


@pytest.mark.database
def test_p5_diffs_leave_with_the_commit(recording: Recording, author: Author) -> None:
    with transaction.atomic():
        save(author, "Bob")
        with transaction.atomic():
            save(author, "Eve")
        assert recording.feeds() == {}
    assert recording.feeds() == renamed(author, "Bob", "Eve")


@pytest.mark.database
def test_p5_without_a_transaction_diffs_leave_at_once(recording: Recording, author: Author) -> None:
    save(author, "Bob")
    assert recording.feeds() == renamed(author, "Bob")


@pytest.mark.database
@pytest.mark.parametrize("durable", [False, True])
def test_p5_a_transaction_that_is_rolled_back_leaves_nothing(
    recording: Recording, author: Author, durable: bool
) -> None:
    with contextlib.suppress(Undone), transaction.atomic(durable=durable):
        save(author, "Bob")
        Author.objects.update(name="Eve")
        Author.objects.bulk_create([Author(name="Fay")])
        Question.objects.create(text="Why?").tags.create(name="a")
        author.delete()
        raise Undone
    assert recording.feeds() == {}
    with transaction.atomic(durable=durable):
        save(Author.objects.get(), "Gus")
    assert recording.feeds() == renamed(Author.objects.get(), "Gus")


@pytest.mark.database
def test_p5_a_transaction_that_is_marked_for_rollback_leaves_nothing(recording: Recording, author: Author) -> None:
    with transaction.atomic():
        save(author, "Bob")
        transaction.set_rollback(True)
    assert recording.feeds() == {}


@pytest.mark.database
def test_p5_savepoints_that_are_rolled_back_leave_nothing_and_the_rest_stays(
    recording: Recording, author: Author
) -> None:
    with transaction.atomic():
        save(author, "a")
        with contextlib.suppress(Undone), transaction.atomic():
            save(author, "lost")
            with transaction.atomic():
                save(author, "lost, too")
            raise Undone
        with transaction.atomic():
            save(author, "b")
            with contextlib.suppress(Undone), transaction.atomic():
                save(author, "lost again")
                raise Undone
        save(author, "c")
    assert recording.feeds() == renamed(author, "a", "b", "c")


@pytest.mark.database
def test_p5_a_block_without_savepoint_takes_the_outer_one_along(recording: Recording, author: Author) -> None:
    with transaction.atomic():
        save(author, "a")
        with contextlib.suppress(Undone), transaction.atomic():
            save(author, "lost")
            with contextlib.suppress(Undone), transaction.atomic(savepoint=False):
                save(author, "lost, too")
                raise Undone
        author.refresh_from_db()
        save(author, "b")
    assert recording.feeds() == renamed(author, "a", "b")


@pytest.mark.database
def test_p5_savepoints_made_by_hand_are_savepoints(recording: Recording, author: Author) -> None:
    with transaction.atomic():
        save(author, "a")
        first = make_savepoint()
        save(author, "lost")
        with transaction.atomic():
            save(author, "lost, too")
        transaction.savepoint_rollback(first)
        save(author, "b")
        second = make_savepoint()
        save(author, "c")
        transaction.savepoint_commit(second)
        save(author, "d")
    assert recording.feeds() == renamed(author, "a", "b", "c", "d")


@pytest.mark.database
def test_p5_what_a_savepoint_made_by_hand_takes_back_is_a_change_again(recording: Recording, author: Author) -> None:
    with transaction.atomic():
        savepoint = make_savepoint()
        save(author, "Bob")
        transaction.savepoint_rollback(savepoint)
        author.save()
    assert recording.feeds() == renamed(author, "Bob")


@pytest.mark.database
def test_p5_an_error_in_the_midst_leaves_nothing(recording: Recording) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Currency.objects.create(code="EUR", name="Euro")
        Currency.objects.create(code="EUR", name="Euro")
    assert recording.feeds() == {}


@pytest.mark.database
@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no deferred unique constraints.")
def test_p5_a_commit_that_fails_leaves_nothing(recording: Recording) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        for letter in "ab":
            Position.objects.create(name=letter, place=1)
    assert recording.feeds() == {}
    with transaction.atomic():
        position = Position.objects.create(name="c", place=2)
    assert recording.feeds() == {name(position): [said("create", position, name="c", place=2)]}


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_p5_each_database_has_its_own_transaction() -> None:
    recording = Recording()
    with transaction.atomic(using="other"):
        there = Archive.objects.using("other").create(pk=1, title="there")
        here = Archive.objects.create(pk=2, title="here")
        made = [said("create", here, title="here")]
        assert recording.feeds() == {name(here): made}
        with contextlib.suppress(Undone), transaction.atomic():
            Archive.objects.create(pk=3, title="lost")
            raise Undone
    assert recording.feeds() == {name(here): made, name(there): [said("create", there, title="there")]}


@pytest.fixture
def by_hand(author: Author) -> Iterator[None]:
    """The project commits and rolls back itself."""
    transaction.set_autocommit(False)
    yield
    transaction.rollback()
    transaction.set_autocommit(True)


@pytest.mark.database
def test_p5_transactions_managed_by_hand_are_transactions(recording: Recording, author: Author, by_hand: None) -> None:
    save(author, "a")
    assert recording.feeds() == {}
    transaction.commit()
    assert recording.feeds() == renamed(author, "a")
    save(author, "lost")
    transaction.rollback()
    save(author, "b")
    Author.objects.update(name="c")
    transaction.commit()
    assert recording.feeds() == renamed(author, "a", "b", "c")
    save(author, "c")
    transaction.commit()
    assert recording.feeds() == renamed(author, "a", "b", "c", "c")


@pytest.mark.database
def test_p5_an_object_saved_in_vain_by_hand_is_saved_again(recording: Recording, author: Author, by_hand: None) -> None:
    save(author, "Bob")
    transaction.rollback()
    author.save()
    author.save()
    transaction.commit()
    assert recording.feeds() == renamed(author, "Bob")


@pytest.mark.database
def test_p5_atomic_blocks_in_a_transaction_managed_by_hand(recording: Recording, author: Author, by_hand: None) -> None:
    with transaction.atomic():
        save(author, "a")
        with contextlib.suppress(Undone), transaction.atomic():
            save(author, "lost")
            raise Undone
    assert recording.feeds() == {}
    transaction.commit()
    assert recording.feeds() == renamed(author, "a")


@pytest.mark.skipif(ON_POSTGRESQL, reason="PostgreSQL's driver refuses to leave a transaction open so.")
def test_p5_what_sqlite_commits_when_autocommit_begins_again_is_committed(recording: Recording, author: Author) -> None:
    transaction.set_autocommit(False)
    save(author, "Bob")
    transaction.set_autocommit(True)
    assert recording.feeds() == renamed(author, "Bob")
    assert Author.objects.get().name == "Bob"


@pytest.mark.database
def test_p5_a_connection_that_is_lost_loses_its_diffs(recording: Recording, author: Author) -> None:
    with contextlib.suppress(Exception), transaction.atomic():
        save(author, "lost")
        connection.close()
    author.save()
    assert recording.feeds() == renamed(author, "lost")


@pytest.mark.database
@pytest.mark.parametrize("fails", [False, True])
def test_p5_a_request_may_be_a_transaction(
    recording: Recording, author: Author, settings: Any, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    settings.ROOT_URLCONF = __name__
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    response = Client(raise_request_exception=False).get("/rename/", {"name": "Bob", "fail": "1" * fails})
    assert (response.status_code, recording.feeds()) == ((500, {}) if fails else (200, renamed(author, "Bob")))


@pytest.mark.database
def test_without_use_transactions_diffs_dont_wait(recording: Recording, author: Author, settings: Any) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "use_transactions": False}
    with contextlib.suppress(Undone), transaction.atomic():
        save(author, "Bob")
        assert recording.feeds() == renamed(author, "Bob")
        raise Undone
    author.save()
    assert recording.feeds() == renamed(author, "Bob", "Bob")


@pytest.mark.database
def test_p6_functions_that_wait_for_the_commit_and_raise_take_no_diffs_along(
    recording: Recording, author: Author
) -> None:
    seen = []

    def fail() -> None:
        seen.append(recording.feeds())
        raise Undone

    with pytest.raises(Undone), transaction.atomic():
        save(author, "a")
        transaction.on_commit(fail)
        save(author, "b")
    assert recording.feeds() == renamed(author, "a", "b")
    assert seen == [renamed(author, "a", "b")]
    with transaction.atomic():
        save(author, "c")
    assert recording.feeds() == renamed(author, "a", "b", "c")


@pytest.mark.database
def test_functions_that_wait_for_the_commit_may_change_something(recording: Recording, author: Author) -> None:
    def again() -> None:
        save(author, "b")
        with transaction.atomic():
            save(author, "c")

    with transaction.atomic():
        transaction.on_commit(again)
        save(author, "a")
    assert recording.feeds() == renamed(author, "a", "b", "c")


@pytest.fixture
def scripts_run(redis_server: RedisServer) -> Callable[[], int]:
    """How many scripts the server has run since it was asked last."""

    def count() -> int:
        stats = redis_server.client.info("commandstats")
        redis_server.cli("CONFIG", "RESETSTAT")
        return sum(stats.get(f"cmdstat_{command}", {}).get("calls", 0) for command in ("evalsha", "eval"))

    return count


@pytest.mark.database
def test_p5_one_transactions_diffs_enter_a_feed_by_one_script(
    recording: Recording, author: Author, scripts_run: Callable[[], int]
) -> None:
    save(author, "known to the server")
    scripts_run()
    with transaction.atomic():
        for number in range(300):
            save(author, str(number))
    assert scripts_run() == 1
    assert [diff.data["name"] for diff in feed_of(author)][1:] == [str(number) for number in range(300)]


@pytest.mark.database
def test_p5_one_transactions_diffs_leave_in_one_trip_a_script_for_each_shard(
    recording: Recording, scripts_run: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question.objects.create(text="Why?")
    Choice.objects.create(question=question, text="a")
    recording.forget()
    trips = []
    run = type(get_store()).run
    monkeypatch.setattr(type(get_store()), "run", lambda store, calls: trips.append(calls) or run(store, calls))
    scripts_run()
    with transaction.atomic():
        for letter in "bcdefgh":
            Choice.objects.create(question=question, text=letter)
        Choice.objects.update(votes=F("votes") + 1)
    scripts = scripts_run()
    (calls,) = trips
    feeds = recording.feeds()
    shards = {parse_feed(feed).shard for feed in feeds}
    assert len(calls) == scripts == len(shards)
    assert [action for action, *_ in feeds[name(question)]] == ["create"] * 7 + ["update"] * 8
    assert len(feeds) == 9


@pytest.mark.database
def test_a_transaction_that_changes_nothing_asks_redis_nothing(
    recording: Recording, author: Author, scripts_run: Callable[[], int]
) -> None:
    scripts_run()
    with transaction.atomic():
        author.save()
    assert scripts_run() == 0


@pytest.mark.database
def test_p6_a_store_that_raises_breaks_no_save(
    recording: Recording, author: Author, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    position = feed_of(author).cursor

    def fail(self: Any, entries: Any) -> None:
        raise Undone

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR, "diffs"):
        patch.setattr(type(get_store()), "append", fail)
        with transaction.atomic():
            save(author, "Bob")
    assert [record.getMessage() for record in caplog.records] == [
        "Diffs could not be handed to Redis; old cursors will be refused."
    ]
    assert Author.objects.get().name == "Bob"
    assert recording.floors() == {name(author)}
    assert position != feed_of(author).cursor


@pytest.mark.database
def test_p6_settings_that_name_no_server_break_no_save(
    recording: Recording, author: Author, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "redis": 5}
    with caplog.at_level(logging.ERROR, "diffs"), transaction.atomic():
        save(author, "Bob")
    assert caplog.messages == ["There is no server for diffs: changes get none."]
    assert Author.objects.get().name == "Bob"


@pytest.mark.database
def test_a_savepoint_outside_a_transaction_is_none(recording: Recording, author: Author) -> None:
    connection.savepoint_rollback("s1_x1")
    save(author, "Bob")
    assert recording.feeds() == renamed(author, "Bob")


class TestInTestCase(TestCase):
    """Django's own test case: its transaction never commits."""

    @classmethod
    def setUpTestData(cls) -> None:
        cls.author = Author.objects.create(name="Ada")
        cls.question = Question.objects.create(text="Why?", updated=NOW)

    def setUp(self) -> None:
        self.recording = Recording()

    def test_what_isnt_committed_isnt_told(self) -> None:
        save(self.author, "Bob")
        self.assertEqual(self.recording.feeds(), {})

    def test_captured_functions_tell_it(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            save(self.author, "Bob")
            Author.objects.update(name="Eve")
            with contextlib.suppress(Undone), transaction.atomic():
                save(self.author, "lost")
                raise Undone
        self.assertEqual(self.recording.feeds(), renamed(self.author, "Bob", "Eve"))

    def test_objects_of_the_class_are_as_they_were(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            self.author.save()
            self.question.meta["a"] = 1
            self.question.save(update_fields=["meta"])
        self.assertEqual(self.recording.feeds(), {name(self.question): [said("update", self.question, meta={"a": 1})]})

    def test_functions_that_are_captured_but_not_called_tell_nothing(self) -> None:
        with self.captureOnCommitCallbacks() as callbacks:
            save(self.author, "Bob")
        self.assertEqual(self.recording.feeds(), {})
        for callback in callbacks:
            callback()
        self.assertEqual(self.recording.feeds(), renamed(self.author, "Bob"))


class TestInTransactionTestCase(TransactionTestCase):
    """Here commits are real."""

    def test_what_is_committed_is_told(self) -> None:
        recording = Recording()
        author = Author.objects.create(name="Ada")
        self.assertEqual(recording.feeds(), {name(author): [said("create", author, name="Ada")]})
