"""Processes that are killed between commit and write, and others that write all the time."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from diffs.management.verify import Baseline, Verification
from diffs.registration import require
from diffs.store import get_store
from tests.testapp.models import Choice, Invoice, Question

from .conftest import Verify, is_refused

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

KILLED = """
import os, signal
import django
django.setup()
from diffs.capture import sending
from tests.testapp.models import Choice
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
choice = Choice.objects.get(pk={pk})
sending.hand_over = die
{change}
"""

WRITER = """
import random, sys
import django
django.setup()
from django.db import transaction
from tests.testapp.models import Choice, Invoice, Question
question, choose = Question.objects.get(pk={pk}), random.Random({pk})
mine, written = list(Choice.objects.filter(question=question)), 0
print("ready", flush=True)
while True:
    with transaction.atomic():
        choice = choose.choice(mine)
        action = choose.randrange(6)
        if action == 0:
            Choice.objects.filter(pk=choice.pk).update(votes=choose.randrange(3))
        elif action == 1:
            mine.append(Choice.objects.create(question=question, text="New"))
        elif action == 2 and len(mine) > 3:
            mine.remove(choice)
            choice.delete()
        elif action == 3:
            question.votes = choose.randrange(2)
            question.save(update_fields=["votes"])
        elif action == 4:
            Invoice.objects.filter(pk={pk}).update(total=choose.randrange(3))
        else:
            choice.text = choose.choice("ab")
            choice.save(update_fields=["text"])
    written += 1
    if written % 10 == 0:
        print(written, flush=True)
"""

Program = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def program(process_env: dict[str, str]) -> Iterator[Program]:
    """Start programs that change this test's database."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code], env={**process_env, **environment}, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("choice.votes = 5; choice.save()", "missing update"),
        ("Choice.objects.filter(pk=choice.pk).update(votes=5)", "missing update"),
        ("choice.delete()", "missing deletion"),
    ],
)
def test_p6_what_a_killed_process_has_not_sent_is_found_and_refused(
    verify: Verify, program: Program, state: str, change: str, kind: str
) -> None:
    question = Question.objects.create(text="What is life?")
    choice, sibling = (Choice.objects.create(question=question, text=text) for text in ("42", "43"))
    other = Question.objects.create(text="Not concerned")
    objects = {"question": question, "choice": choice, "sibling": sibling, "other": other}
    feeds = {name: one.diffs for name, one in objects.items()}
    cursors = {name: feed.cursor for name, feed in feeds.items()}
    verify("--state", state)
    process = program(KILLED.format(pk=choice.pk, change=change))
    assert process.wait() == -signal.SIGKILL
    # Nothing shows: cursors are honoured, and there is nothing new.
    assert {name: list(feed.since(cursors[name])) for name, feed in feeds.items()} == dict.fromkeys(feeds, [])
    votes = ": votes" if kind == "missing update" else ""
    for arguments in ((), ("--state", state), ("--repair", "--state", state)):
        ran = verify(*arguments)
        assert ran.lines[:2] == [
            f"testapp.choice:{choice.pk}: {kind}{votes}",
            f"testapp.question:{question.pk}: {kind} of testapp.choice:{choice.pk}{votes}",
        ]
    assert ran.error is None
    refused = {name for name, feed in feeds.items() if is_refused(feed, cursors[name])}
    assert refused == {"choice", "question"}
    assert verify("--state", state).error is None


@pytest.mark.slow
@pytest.mark.parametrize("flush", ["commit", "background"])
def test_objects_that_are_written_at_full_speed_are_in_order(
    verify: Verify, program: Program, state: str, flush: str
) -> None:
    writers = []
    for _ in range(2):
        question = Question.objects.create(text="What is life?")
        Invoice.objects.create(pk=question.pk, title="One")
        Choice.objects.bulk_create(Choice(question=question, text=str(number)) for number in range(5))
        writers.append(program(WRITER.format(pk=question.pk), DIFFS_TEST_FLUSH=flush))
    verify("--state", state)
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    counts = []
    for _ in range(3):
        for arguments in ((), ("--state", state)):
            # A busy machine takes its time.
            ran = verify("--settle", "3s", "--batch-size", "3", *arguments)
            assert ran.error is None, ran.out
            counts.append(int(ran.out.split()[0].replace(",", "")))
    assert min(counts) >= 4
    written = []
    for writer in writers:
        assert writer.poll() is None
        writer.kill()
        written.append(int(writer.communicate()[0].split()[-1]))
    assert min(written) > 50


class Watched:
    """Runs over objects whose feeds and rows are many."""

    def __init__(self, count: int, path: Any) -> None:
        Invoice.objects.all().delete()
        Invoice.objects.bulk_create(Invoice(title=f"Invoice {number}", total=number) for number in range(count))
        self._path = path

    def peak(self) -> int:
        """Bytes that two runs took at their worst."""
        tracemalloc.start()
        try:
            for _ in range(2):
                with contextlib.closing(Baseline(self._path)) as baseline:
                    run = Verification(get_store(), [require(Invoice)], settle=0.05, batch_size=200, baseline=baseline)
                    assert [found for found in run.run() if found is not None] == []
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_objects(tmp_path: Any, settings: Any) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "max_bulk_diffs": 100_000}
    few = Watched(1_000, tmp_path / "few").peak()
    many = Watched(8_000, tmp_path / "many").peak()
    assert many < few * 1.3 + 2_000_000, f"{few:,} and {many:,} bytes"
