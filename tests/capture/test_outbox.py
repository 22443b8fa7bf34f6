"""What is committed stands in a table of the database until Redis has it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.db.models.signals import post_delete, post_save, pre_save

import diffs
from diffs.capture import late, outbox, relay, sending, versions
from diffs.errors import ConfigurationError, CursorExpired, MemberError, StoreUnavailable
from diffs.feed import feed_of
from diffs.models import OutboxItem
from diffs.store import Entry, Floors, Store, close_store, drain, outage
from diffs.store.sender import Sender
from diffs.testing import registered
from tests.servers import RedisServer
from tests.testapp.models import Author, Choice, Question, Tag

from .held import Held
from .recorded import Recording, name, said

pytestmark = pytest.mark.database


@pytest.fixture(autouse=True)
def with_outbox(settings: Any) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "outbox": True, "flush": "commit"}


@pytest.fixture
def held(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(monkeypatch)


def rows() -> int:
    return OutboxItem.objects.count()


def made_older(seconds: float) -> None:
    """Let what waits have been written so long ago."""
    OutboxItem.objects.update(created=Now() - dt.timedelta(seconds=seconds))


def test_what_redis_has_is_removed(recording: Recording, still: str) -> None:
    question = Question.objects.create(text="Why?")
    recording.forget()
    question.votes = 3
    question.save()
    Question.objects.update(votes=F("votes") + 1)
    assert rows() == 0
    assert recording.feeds() == {name(question): [said("update", question, votes=votes) for votes in (3, 4)]}


def test_p6_what_a_killed_process_left_is_sent_later(held: Held, recording: Recording, still: str) -> None:
    with held:
        question = Question.objects.create(text="Why?")
        Question.objects.update(votes=F("votes") + 1)
        with transaction.atomic():
            choice = Choice.objects.create(question=question, text="a")
            question.tags.add(Tag.objects.create(name="t"))
    assert recording.feeds() == {}
    assert rows() == 4
    relayed = relay.relay("default")
    assert (relayed.rows, relayed.sent, relayed.late, relayed.refused, relayed.left) == (4, 5, 0, 0, 0)
    assert rows() == 0
    told = [(diff.action, diff.model) for diff in feed_of(question)]
    assert told == [
        ("create", "testapp.question"),
        ("update", "testapp.question"),
        ("create", "testapp.choice"),
        ("update", "testapp.question"),
    ]
    assert [diff.action for diff in feed_of(choice)] == ["create"]


def test_p5_what_is_rolled_back_leaves_no_row(recording: Recording) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Question.objects.create(text="Why?")
        assert rows() == 1
        raise ZeroDivisionError
    question = Question.objects.create(text="Why?")
    with transaction.atomic():
        Question.objects.update(votes=1)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Question.objects.update(votes=2)
            raise ZeroDivisionError
    relay.relay("default")
    assert [dict(diff.data) for diff in feed_of(question)][1:] == [{"votes": 1}]
    assert rows() == 0


def test_p2_what_was_sent_but_not_removed_is_not_shown_twice(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "delete", lambda *_: 1 / 0)
        question = Question.objects.create(text="Why?")
        Question.objects.update(votes=1)
    assert caplog.messages == ["What Redis has could not be removed from the outbox."] * 2
    assert rows() == 2
    ids = [diff.id for diff in feed_of(question)]
    assert relay.relay("default").rows == 2
    assert [diff.id for diff in feed_of(question)] == ids
    assert rows() == 0


def test_p7_what_was_overtaken_while_it_waited_is_read_again(held: Held, recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    recording.forget()
    with held:
        Question.objects.update(votes=1)
        Question.objects.update(text="How?")
    Question.objects.update(votes=2)
    relayed = relay.relay("default")
    assert (relayed.rows, relayed.late, relayed.left, rows()) == (2, 2, 0, 0)
    folded: dict[str, Any] = {}
    for diff in feed_of(question):
        folded.update(diff.data)
    assert (folded["votes"], folded["text"]) == (2, "How?")


def test_p6_a_late_diff_stays_until_the_floors_in_its_place_are_raised(
    held: Held, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question.objects.create(text="Why?")
    cursor = question.diffs.cursor
    with held:
        Question.objects.update(votes=1)
    Question.objects.update(votes=2)
    with monkeypatch.context() as patch:
        patch.setattr(late, "visible_data", lambda *_: None)
        patch.setattr(Store, "_repair", _is_away)
        patch.setattr(outage.Outage, "begin", lambda *_: None)
        held.let_go()
    assert rows() == 1
    assert [diff.data for diff in question.diffs.since(cursor)] == [{"votes": 2}]
    assert relay.relay("default").late == 1
    assert rows() == 0


def test_p6_diffs_of_a_key_of_another_type_stay_until_floors_are_raised(
    recording: Recording, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = Question.objects.create(text="Why?")
    (key,) = redis_client.scan_iter(f"*feed:{name(question)}")
    redis_client.delete(key)
    redis_client.set(key, "something else")
    with monkeypatch.context() as patch:
        patch.setattr(Store, "_repair", _is_away)
        patch.setattr(outage.Outage, "begin", lambda *_: None)
        Question.objects.update(votes=1)
    assert rows() == 1
    assert relay.relay("default").left == 0
    assert rows() == 0


def _is_away(*_: Any) -> None:
    raise StoreUnavailable("Redis can't be reached.")


def test_p7_a_deletion_that_was_put_back_behind_the_row_s_creation_anew_is_sent_before_it(
    held: Held, recording: Recording
) -> None:
    author = Author.objects.create(name="a")
    pk = author.pk
    with held:
        author.delete()
        (deletion,) = held.entries
        OutboxItem.objects.all().delete()
        Author.objects.create(pk=pk, name="b")
    outbox.put("default", [deletion], None)
    assert relay.relay("default").late == 0
    assert [diff.action for diff in Author.diffs.for_object(pk)] == ["create", "delete", "create"]


def test_p7_after_lost_data_what_waits_is_read_again(held: Held, recording: Recording, redis_client: Any) -> None:
    question = Question.objects.create(text="Why?")
    with held:
        Question.objects.update(votes=1)
    Question.objects.update(votes=2)
    redis_client.flushall()
    cursor = question.diffs.cursor
    assert relay.relay("default").late == 1
    assert [diff.data for diff in question.diffs.since(cursor)] == [{"votes": 2}]


def test_p7_a_deletion_that_keeps_its_version_is_sent_before_what_came_after_it(
    held: Held, recording: Recording
) -> None:
    author = Author.objects.create(name="a")
    pk = author.pk
    with held:
        author.delete()
        (entry,) = held.entries
        OutboxItem.objects.all().delete()
        Author.objects.create(pk=pk, name="b")
        # As if it had been sent without knowing what the feed holds.
        outbox.put("default", [entry], None)
    recording.forget()
    relay.relay("default")
    assert [diff.action for diff in Author.diffs.for_object(pk)] == ["delete", "create"]


def test_p6_what_waited_for_half_a_window_refuses_old_cursors_instead(held: Held, recording: Recording) -> None:
    with registered(Author, max_element_age=100):
        author = Author.objects.create(name="a")
        question = Question.objects.create(text="Why?")
        cursors = [author.diffs.cursor, question.diffs.cursor]
        with held:
            Author.objects.update(name="b")
            Question.objects.update(votes=1)
        made_older(51)
        relayed = relay.relay("default")
        assert (relayed.rows, relayed.sent, relayed.refused, relayed.left) == (2, 1, 1, 0)
        with pytest.raises(CursorExpired):
            list(author.diffs.since(cursors[0]))
        assert [diff.data for diff in question.diffs.since(cursors[1])] == [{"votes": 1}]
        assert rows() == 0


def test_p6_floors_of_a_killed_process_are_raised_later(held: Held, recording: Recording, settings: Any) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "max_bulk_diffs": 1}
    Question.objects.bulk_create([Question(text="a"), Question(text="b")])
    question = Question.objects.first()
    assert question is not None
    cursor = question.diffs.cursor
    recording = Recording()
    with held:
        Question.objects.update(votes=1)
        diffs.touch(question)
    assert recording.floors() == set()
    assert relay.relay("default").refused == 2
    assert recording.floors() == {"testapp.question:*", name(question)}
    with pytest.raises(CursorExpired):
        list(question.diffs.since(cursor))


def test_p7_floors_are_raised_behind_the_diffs_of_earlier_rows(held: Held, recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    with held:
        Question.objects.update(votes=1)
        diffs.touch(question)
        Question.objects.update(votes=2)
    recording.forget()
    relay.relay("default")
    assert [diff.data for diff in feed_of(question)] == [{"votes": 2}]


@pytest.fixture
def away(server: RedisServer, monkeypatch: pytest.MonkeyPatch, settings: Any, transactional_db: None) -> RedisServer:
    monkeypatch.setattr(outage, "FIRST_PAUSE", 600.0)
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "outbox": True}
    return server


def test_p6_while_redis_is_away_diffs_wait_and_no_cursor_is_refused(
    away: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    question = Question.objects.create(text="Why?")
    cursor = question.diffs.cursor
    away.pause()
    for votes in range(1, 4):
        Question.objects.update(votes=votes)
    assert caplog.messages == ["Redis is away (TimeoutError): changes are saved and their diffs wait in the outbox."]
    assert rows() == 3
    assert relay.relay("default").left == 3
    away.resume()
    close_store()
    assert relay.relay("default")[:3] == (3, 3, 0)
    assert [diff.data["votes"] for diff in question.diffs.since(cursor)] == [1, 2, 3]
    assert rows() == 0


def test_p6_what_a_full_server_refuses_waits(away: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    question = Question.objects.create(text="Why?")
    cursor = question.diffs.cursor
    away.cli("CONFIG", "SET", "maxmemory", "1")
    Question.objects.update(votes=1)
    assert rows() == 1
    (message,) = caplog.messages
    assert message.endswith("changes are saved and their diffs wait in the outbox.")
    away.cli("CONFIG", "SET", "maxmemory", "0")
    assert relay.relay("default").sent == 1
    assert [diff.data["votes"] for diff in question.diffs.since(cursor)] == [1]


def test_the_next_commit_sends_what_others_left(
    held: Held, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_next_sweep", {})
    with held:
        author = Author.objects.create(name="a")
    made_older(relay.SWEEP_GRACE + 1)
    monkeypatch.setattr(relay, "_next_sweep", {})
    question = Question.objects.create(text="Why?")
    assert [diff.action for diff in feed_of(author)] == ["create"]
    assert [diff.action for diff in feed_of(question)] == ["create"]
    assert rows() == 0


def test_a_commit_leaves_what_is_young_to_those_who_send_it(
    held: Held, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held:
        author = Author.objects.create(name="a")
    monkeypatch.setattr(relay, "_next_sweep", {})
    Question.objects.create(text="Why?")
    assert list(feed_of(author)) == []
    assert rows() == 1


def test_an_operation_writes_one_row_however_many_it_changes(held: Held, recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    feed = question.diffs
    with held:
        Choice.objects.bulk_create(Choice(question=question, text=str(number)) for number in range(20))
        Choice.objects.update(votes=1)
        question.delete()
    assert rows() == 3
    relay.relay("default")
    assert len(feed) == 1 + 20 + 20 + 20 + 1


def test_what_a_receiver_does_in_the_middle_of_a_deletion_keeps_its_place(recording: Recording) -> None:
    authors = [Author.objects.create(name=text) for text in "ab"]
    pks = [author.pk for author in authors]

    def again(instance: Author, **_: Any) -> None:
        Author.objects.create(pk=instance.pk, name="again")

    post_delete.connect(again, sender=Author)
    try:
        Author.objects.all().delete()
    finally:
        post_delete.disconnect(again, sender=Author)
    for pk in pks:
        assert [diff.action for diff in Author.diffs.for_object(pk)] == ["create", "delete", "create"]


def test_the_row_s_number_is_the_version(recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    Question.objects.update(votes=1)
    first, second = feed_of(question)
    assert versions.DATABASE < first.version < second.version < 2**53


def test_no_receiver_sees_the_table(recording: Recording) -> None:
    seen: list[Any] = []

    def noted(sender: Any, **_: Any) -> None:
        seen.append(sender)

    for signal in (pre_save, post_save):
        signal.connect(noted)
    try:
        Question.objects.create(text="Why?")
    finally:
        for signal in (pre_save, post_save):
            signal.disconnect(noted)
    assert set(seen) == {Question}


def test_a_database_that_was_not_migrated_is_told_so(recording: Recording) -> None:
    with connection.schema_editor() as editor:
        editor.delete_model(OutboxItem)
    try:
        with pytest.raises(ConfigurationError, match="run manage.py migrate diffs"):
            Question.objects.create(text="Why?")
        assert not Question.objects.exists()
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(OutboxItem)


def test_a_damaged_row_refuses_everything_and_goes(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    question = Question.objects.create(text="Why?")
    cursor = question.diffs.cursor
    OutboxItem.objects.create(payload=b"\xc1 damaged")
    assert relay.relay("default").refused == 1
    assert caplog.messages == ["A row of the outbox is damaged. Old cursors will be refused."]
    with pytest.raises(CursorExpired):
        list(question.diffs.since(cursor))
    assert rows() == 0


@pytest.mark.parametrize(
    "floors", [None, Floors(models=["a.b", "c.d"]), Floors(everything=True)], ids=["none", "models", "everything"]
)
def test_a_row_holds_what_was_put_into_it(recording: Recording, floors: Floors | None) -> None:
    question = Question.objects.create(text="Why?")
    feed = diffs.feed_of(question)._read.feed
    entries = [Entry(feed, b"\x11member"), Entry(feed, b"\x19member", since=sending.late.mark(feed.name), row=4)]
    found, raised = outbox.decode(outbox.encode(entries, floors))
    assert found == entries
    wanted = floors or Floors()
    assert (raised.feeds, raised.models, raised.everything) == (wanted.feeds, wanted.models, wanted.everything)


@pytest.mark.parametrize("payload", [b"", b"\x93\x02\x90\xc0", b"\x93\x01\x91\x90\xc0", b"\x01", b"\x93\x01\x90"])
def test_bytes_that_are_no_row_are_an_error(payload: bytes) -> None:
    with pytest.raises(MemberError):
        outbox.decode(payload)


def test_without_the_outbox_nothing_is_written_and_no_query_is_made(
    recording: Recording, settings: Any, django_assert_num_queries: Any
) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "outbox": False}
    question = Question.objects.create(text="Why?")
    question.votes = 1
    with django_assert_num_queries(1):
        question.save(update_fields=["votes"])


def test_backlog_tells_how_much_waits_and_since_when(held: Held, recording: Recording) -> None:
    assert outbox.backlog("default") == (0, dt.timedelta())
    with held:
        Question.objects.create(text="Why?")
        Question.objects.create(text="How?")
    made_older(90)
    count, lag = outbox.backlog("default")
    assert count == 2
    assert dt.timedelta(seconds=89) < lag < dt.timedelta(seconds=120)


def test_p6_a_commit_that_sends_by_itself_uses_the_database_when_it_is_done(
    recording: Recording, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "outbox": True, "flush": "background"}
    question = Question.objects.create(text="Why?")
    # As at the process's end, or where no thread can be had.
    monkeypatch.setattr(Sender, "_start", lambda _: False)
    close_store()
    states: list[bool] = []
    delete = outbox.delete

    def deleted(*arguments: Any) -> None:
        states.append(connection.get_autocommit())
        delete(*arguments)

    monkeypatch.setattr(outbox, "delete", deleted)
    with transaction.atomic():
        Question.objects.filter(pk=question.pk).update(votes=1)
    assert (states, rows()) == ([True], 0)
    assert [dict(diff.data) for diff in feed_of(question)][1:] == [{"votes": 1}]


def test_diffs_in_the_background_leave_the_outbox_too(recording: Recording, settings: Any) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "outbox": True, "flush": "background"}
    questions = [Question.objects.create(text="Why?") for _ in range(20)]
    Question.objects.update(votes=1)
    assert drain()
    assert rows() == 0
    assert [[diff.action for diff in feed_of(question)] for question in questions] == [["create", "update"]] * 20


def test_p6_a_commit_that_sends_what_others_left_reads_what_came_late_together(
    held: Held, recording: Recording, redis_client: Any, django_assert_max_num_queries: Any
) -> None:
    questions = [Question.objects.create(text="Why?") for _ in range(100)]
    with held:
        for question in questions:
            Question.objects.filter(pk=question.pk).update(votes=1)
    redis_client.flushall()
    with django_assert_max_num_queries(250):
        assert relay.relay("default").late == 100
    assert rows() == 0
    assert [[dict(diff.data) for diff in feed_of(question)] for question in questions] == [[{"votes": 1}]] * 100
