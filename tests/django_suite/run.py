#!/usr/bin/env python
"""Put Django's own tests through models that are all registered with django-diffs, and account for each failure."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django
from suite import account, evidence, servers, source

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent

LABELS = [
    "basic",
    "bulk_create",
    "update",
    "delete",
    "expressions",
    "many_to_many",
    "many_to_one",
    "m2m_regress",
    "m2m_through",
    "m2m_signals",
    "model_inheritance",
    "proxy_models",
    "defer",
    "transactions",
    "transaction_hooks",
    "get_or_create",
    "signals",
    "serializers",
    "fixtures",
    "force_insert_update",
    "custom_pk",
    "composite_pk",
    "generic_relations",
    "custom_managers",
    "async",
    "prefetch_related",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One call of Django's runtests.py."""

    settings: str
    """Module in the package `suite`: `"plain"` or `"registered"`."""
    labels: tuple[str, ...]
    folder: Path
    """Its own: outcomes and output go there."""


def main() -> int:
    """Run, judge and print; the exit code is 0 where nothing failed."""
    options = parse_arguments()
    started = time.monotonic()
    tests = source.django_tests(PROJECT / ".cache" / "django-suite")
    accounted = account.load(
        HERE / "expected.toml",
        django=".".join(map(str, django.VERSION[:2])),
        database=options.database,
        labels=options.labels,
    )
    with (
        tempfile.TemporaryDirectory(prefix="django_suite_") as scratch,
        servers.valkey(Path(scratch)) as redis_socket,
        servers.databases(options.database) as databases,
    ):
        jobs = plan(options.labels, options.parallel, Path(scratch))
        with ThreadPoolExecutor(options.parallel) as pool:
            results = list(pool.map(lambda job: run(job, tests, databases, redis_socket), jobs))
        proof = evidence.collect(redis_socket)
    plain, registered = (merge(jobs, results, settings) for settings in ("plain", "registered"))
    judgement = account.judge(plain, registered, accounted)
    judgement.failed.update(proof.missing(options.labels))
    run_of = f"Django {django.get_version()}, {options.database}, {time.monotonic() - started:.0f} s"
    rows = f"{sum(registered.compared.values())} rows compared with their diffs"
    report(judgement, (f"{run_of}; {proof}", rows))
    return 1 if judgement.failed else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", nargs="+", default=LABELS, help="Django's test apps, or parts of them")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--parallel", type=int, default=os.cpu_count() or 1, metavar="N", help="processes at once")
    return parser.parse_args()


def plan(labels: Iterable[str], processes: int, scratch: Path) -> list[Job]:
    """Deal the labels to as many jobs as keep `processes` busy, the same ones with and without registration."""
    apps = list(labels)
    jobs: list[Job] = []
    for settings in ("registered", "plain"):
        for number in range(min(len(apps), max(1, processes // 2))):
            folder = scratch / f"{settings}_{number}"
            folder.mkdir()
            share = tuple(apps[number :: max(1, processes // 2)])
            jobs.append(Job(settings=settings, labels=share, folder=folder))
    return jobs


def run(job: Job, tests: Path, databases: dict[str, dict[str, Any]], redis_socket: Path) -> dict[str, Any]:
    """Run the job's labels and return what came of each test, in the form of `account.Run`.

    Raises:
        RuntimeError: Django's runner ended without outcomes, so there is nothing to judge.
    """
    own = {alias: {**it, "TEST": {"NAME": f"test_{alias}_{job.folder.name}"}} for alias, it in databases.items()}
    if databases["default"]["ENGINE"].endswith("sqlite3"):
        own = databases
    outcomes = job.folder / "outcomes.json"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(HERE), str(PROJECT))),
        "DJANGO_SUITE_DATABASES": json.dumps(own),
        "DJANGO_SUITE_OUTCOMES": str(outcomes),
        "DJANGO_SUITE_REDIS": str(redis_socket),
    }
    command = [sys.executable, "runtests.py", "--noinput", "--parallel", "1", "--settings", f"suite.{job.settings}"]
    done = subprocess.run(
        [*command, *job.labels],
        cwd=tests,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if not outcomes.exists():
        raise RuntimeError(f"Django's tests with the settings suite.{job.settings} did not run:\n{done.stdout}")
    return json.loads(outcomes.read_text())


def merge(jobs: Iterable[Job], results: Iterable[dict[str, Any]], settings: str) -> account.Run:
    """Put together what the jobs with the same settings gave."""
    whole: dict[str, dict[str, Any]] = {"outcomes": {}, "divergences": {}, "logs": {}, "compared": {}}
    for job, result in zip(jobs, results, strict=True):
        if job.settings == settings:
            for kind, found in result.items():
                whole[kind].update(found)
    return account.Run(**whole)


def report(judgement: account.Judgement, lines: Iterable[str]) -> None:
    """Print what failed, what the run rests on, and the summary as the last line."""
    for test, wrong in judgement.failed.items():
        print(f"FAILED {test}\n{wrong.rstrip()}\n")
    for test in judgement.unjudged:
        print(f"not judged, unsteady or fails without registration too: {test}")
    for line in lines:
        print(line)
    print(f"differ as accounted for: {len(judgement.accounted)}")
    print(f"{len(judgement.passed)} passed, {len(judgement.failed)} failed")


if __name__ == "__main__":
    sys.exit(main())
