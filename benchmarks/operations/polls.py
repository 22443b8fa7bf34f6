"""Polls over connections to a web server, answered at once or when there is something to say."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.live.events import Broken
from benchmarks.live.listeners import most
from benchmarks.live.polls import Answer, Polls

from . import live

_polls: list[Polls] = []
_cursors: list[str] = []
_path: list[str] = []


def connect(*, port: int, path: str, count: int) -> None:
    """Connect, and find out from where to go on.

    Args:
        port: of the server.
        path: of the feed.
        count: how many connections.
    """
    most()
    with_one = Polls(port, 1)
    with_one.ask(_request(f"{path}?since=now"))
    ((_, answer),) = with_one.answers()
    with_one.close()
    _polls[:] = [Polls(port, count)]
    _path[:] = [path]
    _cursors[:] = [_cursor(answer)]


def leave() -> None:
    """Ask no more."""
    while _polls:
        _polls.pop().close()


def repeat(*, seconds: float) -> dict[str, float]:
    """Ask again and again for what isn't there, as one who knows the answer.

    Returns:
        Microseconds for each answer.
    """
    path = f"{_path[0]}?since={_cursors[0]}"
    _polls[0].ask(_request(path))
    ((_, answer), *_) = _polls[0].answers()
    etag = next(line for line in answer.head.split(b"\r\n") if line.lower().startswith(b"etag: "))[6:].decode()
    request = _request(path, f"If-None-Match: {etag}\r\n")
    _polls[0].ask(request)
    if {answer.status for _, answer in _polls[0].answers()} != {304}:
        raise Broken("One who knows the answer is told it again.")
    return {"microseconds": 1e6 / _polls[0].repeat(request, seconds)}


def wait(*, seconds: int) -> None:
    """Ask, over each connection, and let the server wait with the answer."""
    _polls[0].ask(_request(f"{_path[0]}?since={_cursors[0]}&wait={seconds}"))


def answer() -> dict[str, float]:
    """Write, and read the answers that waited for it; milliseconds from the commit."""
    start = live.save()
    answers = _polls[0].answers()
    first = answers[0][1]
    if any(answer.status != 200 or answer.body != first.body for _, answer in answers):
        raise Broken("Some are answered otherwise than the first.")
    if len(json.loads(first.body)["diffs"]) != 1:
        raise Broken(f"There was one diff, and the answer is {first.body!r}.")
    _cursors[0] = _cursor(first)
    return live.percentiles(sorted((moment - start) / 1e6 for moment, _ in answers))


def _cursor(answer: Answer) -> str:
    if answer.status != 200:
        raise Broken(f"A poll is answered {answer}.")
    document: dict[str, Any] = json.loads(answer.body)
    return str(document["cursor"])


def _request(path: str, fields: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n{fields}\r\n".encode()
