"""R1, R2, R3: what a poll costs under Django, beside the least that a view can do, and beside a list of rows."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks.harness import environments
from benchmarks.harness.row import Row
from benchmarks.harness.runs import SQLITE, Run
from benchmarks.harness.workers import Worker

GOALS = ("R1", "R2", "R3")
FLOOR_LIMIT = 0.85
LIST_LIMITS = {"page of 100": 8.0, "empty": 2.5}
CLIENTS = 50
PAGE = 100
REQUESTS = 40
# Of a hundred stored diffs.
SMALLEST_PAGE = 4000
UP_TO_DATE = '"up to date"'

# What `startproject` puts into the settings.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
APPS = ["django.contrib.sessions", "django.contrib.messages"]

Request = Mapping[str, Any]


def measure(run: Run) -> Iterator[Row]:
    """Poll through the middleware of a new project, and without any."""
    where = f"{environments.current().label}, {SQLITE}"
    for told, middleware in (("", MIDDLEWARE), (", no middleware", [])):
        if middleware or not run.quick:
            part = partial(_polls, run, told, middleware, where)
            yield from run.attempt("R1", f"polls{told}", where, part)


def _polls(run: Run, told: str, middleware: list[str], where: str) -> Iterator[Row]:
    with ExitStack() as stack:

        def start(contender: str, *apps: str) -> Worker:
            return stack.enter_context(run.worker(contender, apps=[*APPS, *apps], settings={"MIDDLEWARE": middleware}))

        workers = {"diffs": start("registered", "diffs"), "floor": start("plain")}
        requests = {"diffs": _of_diffs(workers["diffs"]), "floor": _of_floor(workers["floor"])}
        if importlib.util.find_spec("rest_framework") is not None:
            workers["list"] = start("stamped", "rest_framework")
            requests["list"] = _of_list(workers["list"])
        for what in LIST_LIMITS:
            turns = {name: _turn(workers[name], each[what]) for name, each in requests.items()}
            samples = run.interleave(turns, run.rounds(15, 60))
            ratio = samples.ratio("floor", "diffs")
            limit = None if told else FLOOR_LIMIT
            row = partial(run.row, where=where, at_least=True, samples=samples)
            yield row("R1", f"polls a second, {what}{told} / the least view", value=ratio, limit=limit)
            if "list" in requests:
                ratio = samples.ratio("list", "diffs")
                limit = None if told else LIST_LIMITS[what]
                yield row("R2", f"polls a second, {what}{told} / a list by updated_at", value=ratio, limit=limit)
            elif not told:
                yield run.row("R2", f"polls a second, {what}", where, note="not measured: no djangorestframework here")
        if not told:
            yield _count(run, workers["diffs"], requests["diffs"]["page of 100"], where)


def _of_diffs(worker: Worker) -> dict[str, Request]:
    feed = worker.ask("polling.prepare_feed")
    page = {"path": feed["path"], "parameters": {"since": feed["since"]}}
    empty = {"path": feed["path"], "parameters": {"since": feed["end"]}, "etag": feed["etag"]}
    return _checked(worker, page, empty, 304)


def _of_floor(worker: Worker) -> dict[str, Request]:
    since = worker.ask("polling.prepare_floor")["since"]
    page = {"path": "/floor/page/", "parameters": {"since": str(since)}}
    empty: dict[str, Any] = {"path": "/floor/empty/", "parameters": {}, "etag": UP_TO_DATE}
    return _checked(worker, page, empty, 304)


def _of_list(worker: Worker) -> dict[str, Request]:
    rows = worker.ask("polling.prepare_list")
    page, empty = ({"path": "/list/", "parameters": {"since": rows[name]}} for name in ("since", "end"))
    return _checked(worker, page, empty, 200)


def _checked(worker: Worker, page: Request, empty: Request, status_of_empty: int) -> dict[str, Request]:
    """The requests of a contender, after it has answered them as it should.

    Raises:
        ValueError: it hasn't.
    """
    answers = [worker.ask("polling.request", **request) for request in (page, empty)]
    if [answer["status"] for answer in answers] != [200, status_of_empty] or answers[0]["bytes"] < SMALLEST_PAGE:
        raise ValueError(f"The contender answers {answers}.")
    return {"page of 100": page, "empty": empty}


def _turn(worker: Worker, request: Request) -> Callable[[], dict[str, Any]]:
    return partial(worker.ask, "polling.repeat", **request, count=REQUESTS)


def _count(run: Run, worker: Worker, page: Request, where: str) -> Row:
    counted = worker.ask(
        "polling.count_renderings", path=page["path"], since=page["parameters"]["since"], clients=CLIENTS, polls=20
    )
    rendered = counted["rendered"] / PAGE
    what = f"times that a diff is rendered for {CLIENTS} clients, {counted['sent'] // PAGE} pages"
    return run.row("R3", what, where, rendered, unit="", limit=1.0, **counted)
