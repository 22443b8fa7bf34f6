"""L1: what a registered model costs when it is read."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.harness.environments import Environment
from benchmarks.harness.row import Row
from benchmarks.harness.runs import SQLITE, Run

GOALS = ("L1",)
DJANGOS = ("5.2", "6.1")
ROWS = 5000
LIMITS = {"Item": 1.08, "Document": 1.15}
WHAT = {"Item": f"load {ROWS}", "Document": f"load {ROWS} with a JSON field"}


def measure(run: Run) -> Iterator[Row]:
    """Compare ``list(queryset)`` of registered and of plain models, on each Django."""
    for label, environment, why in run.environments(*DJANGOS):
        where = f"{label}, {SQLITE}"
        for model, what in WHAT.items():
            if environment is None:
                yield run.row("L1", what, where, limit=LIMITS[model], note=why)
            else:
                yield from run.attempt("L1", what, where, partial(_load, run, environment, model, where))


def _load(run: Run, environment: Environment, model: str, where: str) -> Iterator[Row]:
    with (
        run.worker("plain", environment=environment) as plain,
        run.worker("registered", environment=environment, apps=["diffs"]) as registered,
    ):
        for worker in (plain, registered):
            worker.ask("loading.prepare", model=model, rows=ROWS)
        samples = run.interleave(
            {
                worker.name: partial(worker.ask, "loading.load", model=model, rows=ROWS)
                for worker in (plain, registered)
            },
            run.rounds(11, 75),
        )
    ratio = samples.ratio("registered", "plain")
    yield run.row("L1", WHAT[model], where, ratio, limit=LIMITS[model], samples=samples)
