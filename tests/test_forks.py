"""Forks that Python isn't told of, as uWSGI makes them: each worker has connections and a sender of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.testapp.models import Question

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 3
SAVES = 200
PROGRAM = """
import ctypes, os, time
import django
django.setup()
from diffs.store import drain, process
from tests.testapp.models import Question
questions = list(Question.objects.order_by("pk"))
for question in questions:
    question.votes = -1
    question.save()
assert drain()
django.db.connections.close_all()
# A fork in C is no fork for a process whose other threads are at work.
own = process._own.sender
while own is not None and own._threshold != 1:
    time.sleep(0.01)
fork = ctypes.PyDLL(None).fork
workers = []
for question in questions:
    worker = fork()
    if worker == 0:
        status = 1
        try:
            for number in range({saves}):
                question.votes = number
                question.save()
                found = Question.diffs.get_by_object_id(question.pk)
                assert {{diff.pk for diff in found}} == {{question.pk}}, found
            assert drain()
            status = 0
        finally:
            os._exit(status)
    workers.append(worker)
codes = [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]
assert codes == [0] * len(workers), codes
"""


@pytest.mark.parametrize("flush", ["commit", "background"])
def test_workers_that_are_forked_past_python_neither_mix_up_nor_lose_diffs(
    process_env: dict[str, str], flush: str
) -> None:
    questions = [Question.objects.create(text=f"Number {number}") for number in range(WORKERS)]
    program = PROGRAM.format(saves=SAVES)
    environment = {**process_env, "DIFFS_TEST_FLUSH": flush}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for question in questions:
        votes = [diff.data["votes"] for diff in question.diffs if diff.action == "update"]
        assert votes == [-1, *range(SAVES)]
