"""Contenders' processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from benchmarks.harness.runs import Run
from benchmarks.harness.workers import WorkerError

pytestmark = pytest.mark.slow


@pytest.fixture
def run() -> Iterator[Run]:
    with Run(pinned=False) as run:
        yield run


def test_contender_measures_in_a_process_and_a_database_of_its_own(run: Run) -> None:
    with run.worker("plain") as plain, run.worker("registered", apps=["diffs"]) as registered:
        assert plain.pid != registered.pid
        for worker in (plain, registered):
            worker.ask("saving.prepare", model="Item", rows=3)
            assert worker.ask("saving.update")["microseconds"] > 0
        plain.ask("saving.create", model="Item", rows=2, evalsha=True)
        assert registered.ask("saving.recorded") == {"count": 3}
        assert registered.ask("loading.load", model="Item", rows=3)["microseconds"] > 0


def test_error_of_an_operation_comes_with_its_traceback_and_the_process_goes_on(run: Run) -> None:
    with run.worker("plain") as worker:
        with pytest.raises(WorkerError, match=r"(?s)plain, loading\.load.*Traceback.*There are 0 rows"):
            worker.ask("loading.load", model="Item", rows=3)
        assert worker.ask("tables.settle") == {}


def test_contender_that_has_died_is_an_error(run: Run) -> None:
    with run.worker("plain") as worker:
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match=r"plain (has ended|ended in tables\.settle)"):
            worker.ask("tables.settle")


def test_faulty_settings_are_an_error_and_no_figure(run: Run) -> None:
    with pytest.raises(WorkerError, match="unknown key 'flash'"):
        run.worker("registered", apps=["diffs"], diffs={"flash": "background"})
