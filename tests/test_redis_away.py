"""P6: saves go on while Redis is away, and nothing is lost silently."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

import diffs
from diffs.errors import CursorExpired, StoreUnavailable
from tests.servers import RedisServer
from tests.testapp.models import Question

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 30.0
SAVES = 300


@pytest.fixture
def question(server: RedisServer) -> Question:
    return Question.objects.create(text="Still there?")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the log of the package says, a line each."""
    caplog.set_level(logging.INFO, logger="diffs")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "diffs"]


def save_often(question: Question) -> float:
    """Save many times; how many seconds that took."""
    begin = time.monotonic()
    for number in range(SAVES):
        question.votes = number + 1
        question.save(update_fields=["votes"])
    return time.monotonic() - begin


def until_answered(read: Callable[[], Any]) -> Any:
    """What `read` gives once the server counts as back."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return read()
        except StoreUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def is_refused(question: Question, cursor: str) -> bool:
    try:
        list(question.diffs.since(cursor))
    except CursorExpired:
        return True
    return False


def wait_until_refused(question: Question, cursor: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not until_answered(lambda: is_refused(question, cursor)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


AWAY = "Redis is away"
BACK = "Redis is back."


def test_p6_saves_succeed_quickly_while_connections_are_refused(question, server, lines):
    server.kill()
    seconds = save_often(question)
    question.refresh_from_db()
    assert question.votes == SAVES
    assert seconds < 10, f"{SAVES} saves took {seconds:.1f} s"
    assert [line for line in lines() if line.startswith(AWAY)] == lines()
    assert len(lines()) == 1


def test_p6_saves_wait_once_and_briefly_while_the_server_hangs(question, server, lines):
    server.pause()
    try:
        seconds = save_often(question)
    finally:
        server.resume()
    question.refresh_from_db()
    assert question.votes == SAVES
    assert seconds < 10, f"{SAVES} saves took {seconds:.1f} s"
    assert len([line for line in lines() if line.startswith(AWAY)]) == 1


def test_p6_old_cursors_are_refused_once_a_server_that_hung_goes_on(question, server):
    cursor = question.diffs.cursor
    server.pause()
    question.votes = 5
    question.save()
    server.resume()
    wait_until_refused(question, cursor)
    fresh = question.diffs.cursor
    question.votes = 6
    question.save()
    (diff,) = question.diffs.since(fresh)
    assert diff.data["votes"] == 6


def test_p6_other_feeds_are_read_on_after_an_outage(question, server):
    other = Question.objects.create(text="Not concerned")
    cursor, untouched = question.diffs.cursor, other.diffs.cursor
    server.pause()
    question.votes = 5
    question.save()
    server.resume()
    wait_until_refused(question, cursor)
    assert list(other.diffs.since(untouched)) == []


def test_p6_nothing_is_written_by_this_process_before_the_floors_are_raised(question, server):
    cursor = question.diffs.cursor
    server.kill()
    question.votes = 5
    question.save()
    server.restart()
    until_answered(lambda: len(question.diffs))
    assert is_refused(question, cursor)


def test_p6_a_full_server_refuses_diffs_and_old_cursors_but_no_save(question, server, lines):
    cursor = question.diffs.cursor
    server.cli("CONFIG", "SET", "maxmemory", "1mb")
    seconds = save_often(question)
    assert seconds < 10, f"{SAVES} saves took {seconds:.1f} s"
    question.refresh_from_db()
    assert question.votes == SAVES
    assert is_refused(question, cursor)
    assert len(lines()) == 1
    assert lines()[0].startswith("Redis takes no diffs (command not allowed when used memory > 'maxmemory'.")
    server.cli("CONFIG", "SET", "maxmemory", "0")
    cursor = question.diffs.cursor
    question.votes = 1000
    question.save(update_fields=["votes"])
    assert [diff.data for diff in question.diffs.since(cursor)] == [{"votes": 1000}]
    assert lines()[1:] == ["Redis takes diffs again."]


def test_p6_a_transaction_commits_while_redis_is_away(question, server):
    server.kill()
    with transaction.atomic():
        question.votes = 7
        question.save()
        Question.objects.filter(pk=question.pk).update(text="changed")
    question.refresh_from_db()
    assert (question.votes, question.text) == (7, "changed")


def test_the_endpoint_answers_503_at_once_and_says_when_to_come_back(question, server, settings):
    token = diffs.feed_token(question)
    server.pause()
    try:
        client = Client(headers={"authorization": f"Bearer {token}"})
        first = client.get(f"/diffs/testapp.question/{question.pk}/")
        begin = time.monotonic()
        replies = [client.get(f"/diffs/testapp.question/{question.pk}/") for _ in range(50)]
        seconds = time.monotonic() - begin
    finally:
        server.resume()
    for reply in (first, *replies):
        assert reply.status_code == 503
        assert int(reply["Retry-After"]) >= 1
        assert reply["Cache-Control"] == "no-store"
        assert reply["Content-Type"] == "application/problem+json"
    assert seconds < 5


def test_reading_says_that_redis_is_away(question, server):
    server.kill()
    with pytest.raises(StoreUnavailable) as caught:
        len(question.diffs)
    assert caught.value.retry_after >= 1


SAVE_AND_END = """
import django
django.setup()
from tests.testapp.models import Question
Question.objects.filter(pk={pk}).update(votes=9)
print("saved", flush=True)
"""


def test_p6_a_process_that_missed_a_write_tries_once_more_when_it_ends(question, server, process_env):
    """The server hangs while the row is saved, and goes on before the process ends."""
    cursor = question.diffs.cursor
    environment = {**process_env, "DIFFS_TEST_REDIS_SOCKET": str(server.socket)}
    code = SAVE_AND_END.format(pk=question.pk) + "import sys; sys.stdin.read()"
    server.pause()
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "saved\n"
        server.resume()
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert is_refused(question, cursor)
