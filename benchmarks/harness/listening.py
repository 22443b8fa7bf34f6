"""Contenders that are listened to: a web server on one core, and on another a process that listens to it and writes."""

from __future__ import annotations

import importlib.util
import select
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from .runs import Run
from .servers import pin
from .web import WebServer
from .workers import Worker

TAKES = ("uvicorn", "httptools", "uvloop")
APPLICATION = "benchmarks.project.asgi:application"
DJANGO_ONLY = "benchmarks.project.asgi:django_only"
WSGI = "benchmarks.project.wsgi:application"
FLOOR = "benchmarks.live.floor:application"

# Nothing but diffs is told, and streams don't end.
QUIET = {"heartbeat": 86_400, "stream_age": 86_400}


@dataclass(frozen=True, slots=True)
class Contender:
    """A server, and a process that listens to it and writes."""

    worker: Worker
    server: WebServer
    paths: Sequence[str]
    """Of the feeds; of a floor the only one."""
    operation: str
    """What it writes by."""
    arguments: dict[str, Any] = field(default_factory=dict)

    def listen(self, count: int) -> float:
        """Have more listeners, spread evenly over the feeds; the seconds until all have begun."""
        reply = self.worker.ask("live.listen", port=self.server.port, paths=self.paths, count=count)
        return float(reply["seconds"])

    def turn(self, **arguments: Any) -> dict[str, Any]:
        """Write, and wait until all were told.

        Returns:
            What the operation did, and for how many seconds the server was at work.
        """
        before = self.server.processor_seconds()
        reply = self.worker.ask(self.operation, **self.arguments, **arguments)
        return {**reply, "seconds": self.server.processor_seconds() - before}


def reason_not_to_listen() -> str:
    """Why nothing can be measured here; empty: it can."""
    missing = [name for name in TAKES if importlib.util.find_spec(name) is None]
    if missing:
        return f"it takes {', '.join(missing)}"
    return "" if hasattr(select, "epoll") else "it takes Linux"


def diffs(
    run: Run,
    stack: ExitStack,
    *,
    feeds: int = 1,
    application: str = APPLICATION,
    kind: str = "uvicorn",
    apps: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> Contender:
    """Start a contender that serves feeds.

    Args:
        run: which it belongs to.
        stack: ends it.
        feeds: how many there are.
        application: which is served.
        kind: by which server.
        apps, settings: of Django, besides.
    """
    worker = stack.enter_context(
        run.worker("registered", apps=["diffs", *apps], diffs=QUIET, settings=settings, redis_apart=True)
    )
    paths = worker.ask("live.prepare", feeds=feeds)["paths"]
    server = _serve(run, stack, worker, application, worker.environment, kind)
    return Contender(worker, server, paths, "live.fan_out")


def floor(run: Run, stack: ExitStack, name: str, event_bytes: int) -> Contender:
    """Start one that only passes on what is published.

    Args:
        run: which it belongs to.
        stack: ends it.
        name: which of the applications of `benchmarks.live.floor`.
        event_bytes: how long what it passes on is.
    """
    worker = stack.enter_context(run.worker("plain", redis_apart=True, migrate=False))
    variables = {**worker.environment, "DIFFS_BENCH_FLOOR": name}
    server = _serve(run, stack, worker, FLOOR, variables, "uvicorn")
    return Contender(worker, server, ["/"], "live.publish", {"event_bytes": event_bytes})


def _serve(
    run: Run, stack: ExitStack, worker: Worker, application: str, environment: Mapping[str, str], kind: str
) -> WebServer:
    # The server has a core to itself; Redis, and what writes and listens, share the other.
    pin(worker.pid, run.server_cpu)
    return stack.enter_context(WebServer(application, environment, run.worker_cpu, kind=kind))
