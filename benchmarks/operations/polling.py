"""Requests to a contender's views, through Django's WSGI handler with no server before it."""

from __future__ import annotations

import datetime as dt
import io
import sys
import urllib.parse
from functools import cache
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.utils import timezone

from benchmarks.project import views
from benchmarks.project.models import contender

from . import floor, tables
from .timing import stopwatch

ROWS = 500
UP_TO_DATE = '"up to date"'


@cache
def _handler() -> WSGIHandler:
    return WSGIHandler()


def prepare_feed() -> dict[str, Any]:
    """Save one object many times.

    Returns:
        The path of its feed, a cursor with a page of diffs behind it, one with none, and the ETag of its answer.
    """
    item = tables.model_of("Item").objects.create(**tables.values_of("Item", 1))
    for number in range(ROWS):
        item.votes, item.status = number, f"status {number % 7}"
        item.save()
    diffs = list(item.diffs)
    path = f"/diffs/{item._meta.label_lower}/{item.pk}/"
    end = diffs[-1].cursor
    _, headers, _ = _get(path, {"since": end}, None)
    return {"path": path, "since": diffs[-1 - views.PAGE].cursor, "end": end, "etag": dict(headers)["ETag"]}


def prepare_floor() -> dict[str, Any]:
    """Store as many members, and what a client that is up to date knows."""
    client = floor.client()
    client.set(views.NEWEST, UP_TO_DATE)
    client.zadd(views.FEED, {floor.member(): number for number in range(ROWS)})
    return {"since": ROWS - 1 - views.PAGE}


def prepare_list() -> dict[str, Any]:
    """Insert rows that were updated one after the other."""
    now = timezone.now()
    contender.Stamped.objects.bulk_create(
        contender.Stamped(**tables.values_of("Item", number), updated_at=now + dt.timedelta(seconds=number))
        for number in range(ROWS)
    )
    moments = [now + dt.timedelta(seconds=ROWS - 1 - back) for back in (views.PAGE, 0)]
    return {"since": moments[0].isoformat(), "end": moments[1].isoformat()}


def request(*, path: str, parameters: dict[str, str], etag: str | None = None) -> dict[str, Any]:
    """Ask once.

    Returns:
        The status and the length of the body, in bytes.
    """
    status, _, body = _get(path, parameters, etag)
    return {"status": int(status.split()[0]), "bytes": len(body)}


def repeat(*, path: str, parameters: dict[str, str], etag: str | None = None, count: int) -> dict[str, float]:
    """Ask many times; microseconds for each."""
    with stopwatch() as watch:
        for _ in range(count):
            _get(path, parameters, etag)
    return watch.per(count)


def count_renderings(*, path: str, since: str, clients: int, polls: int) -> dict[str, int]:
    """Let many clients ask for the same page again and again, in turns.

    Returns:
        How many diffs all answers held together, and how many were rendered for them.
    """
    from diffs.http import recent

    rendered = 0
    module: Any = recent
    original = module.render

    def counting(*arguments: Any) -> Any:
        nonlocal rendered
        rendered += 1
        return original(*arguments)

    module.recent.clear()
    module.render = counting
    try:
        for _ in range(polls):
            for _ in range(clients):
                _get(path, {"since": since}, None)
    finally:
        module.render = original
    return {"sent": clients * polls * views.PAGE, "rendered": rendered}


def _get(path: str, parameters: dict[str, str], etag: str | None) -> tuple[str, list[tuple[str, str]], bytes]:
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": urllib.parse.urlencode(parameters),
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "testserver",
        "HTTP_ACCEPT": "*/*",
        "HTTP_ACCEPT_ENCODING": "gzip, deflate",
        "HTTP_USER_AGENT": "a client",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if etag is not None:
        environ["HTTP_IF_NONE_MATCH"] = etag
    answered: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        answered.append((status, headers))

    response: Any = _handler()(environ, start_response)
    body = b"".join(response)
    response.close()
    status, headers = answered[0]
    return status, headers, body
