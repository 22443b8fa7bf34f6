"""What a case of the endpoint's table is, and what is on the server when it is tried.

Text in a path, a header or a document may name what `make_stage` made: ``{end}`` is the cursor behind the last diff.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping
from typing import Any

from diffs.cursor import Cursor
from diffs.http.tokens import make_token
from diffs.store import Floors, get_store
from tests.testapp.models import Airport, Notice

from .feeds import Feed

JSON = "application/json"
PROBLEM = "application/problem+json"
PAGE = {"Content-Type": JSON, "Cache-Control": "public, max-age=1", "Vary": "Accept"}
PRIVATE_PAGE = {
    "Content-Type": JSON,
    "Cache-Control": "private, no-cache",
    "Vary": "Accept, Authorization, Cookie",
}
ERROR = {"Content-Type": PROBLEM, "Cache-Control": "no-store"}
ALLOW = {"Allow": "GET, HEAD, OPTIONS"}
CHALLENGE = {"WWW-Authenticate": "Bearer"}
BAD_TOKEN = {"WWW-Authenticate": 'Bearer error="invalid_token"'}

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    410: "Gone",
}

EXPIRED = "This cursor is no longer honoured: fetch the object again, and go on from the cursor given here."
NO_CURSOR = "This is no cursor: hand one back exactly as it was given out, or 'now', or none."

Stage = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A request, and what is to come of it."""

    name: str
    path: str
    status: int
    document: Any
    """``None``: no body."""
    headers: Mapping[str, str | None] = dataclasses.field(default_factory=lambda: PAGE)
    """Headers that the answer must have, with these values; ``None``: must not have."""
    method: str = "GET"
    sent: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Headers that are sent."""
    ways: Container[str] = ("view", "asgi")
    """The ways into the endpoint that it concerns."""

    def on(self, stage: Stage) -> Case:
        """The case with everything filled in that `stage` made."""
        return dataclasses.replace(
            self,
            path=self.path.format(**stage),
            sent={name: text.format(**stage) for name, text in self.sent.items()},
            document=fill(self.document, stage),
        )


def fill(value: Any, stage: Stage) -> Any:
    """A document with the names of `stage` replaced: ``"{first}"`` by a whole diff, ``"{end}"`` by text."""
    if isinstance(value, dict):
        return {key: fill(item, stage) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, stage) for item in value]
    if isinstance(value, str) and value[:1] + value[-1:] == "{}":
        return stage[value[1:-1]]
    return value


def make_stage() -> Stage:
    """A public notice with three diffs, one without any, an airport's model feed, and cursors of every kind."""
    aged = Feed(Notice, 3)
    too_old = aged.aged_cursor(seconds=7200)
    notice = Feed(Notice, 1)
    first = notice.append("create", {"headline": "Fire", "body": ""}, version=2**53 - 1)
    second = notice.append("update", {"body": "In the kitchen — 火"}, version=2**53)
    third = notice.append("delete")
    end = notice.now()
    dropped = Feed(Notice, 4)
    dropped.append()
    old = dropped.now()
    get_store().raise_floors(Floors([dropped.ref]))
    airports = Feed(Airport)
    return {
        "first": first,
        "second": second,
        "third": third,
        "at_first": str(Cursor(end.epoch, first["timestamp"])),
        "at_second": str(Cursor(end.epoch, second["timestamp"])),
        "end": str(end),
        "from_the_future": str(Cursor(end.epoch, end.timestamp + 10**12)),
        "of_another_epoch": str(Cursor("0a1b2c3d", end.timestamp)),
        "too_old": too_old,
        "after_too_old": str(aged.now()),
        "dropped": str(old),
        "after_dropped": str(dropped.now()),
        "empty": str(Feed(Notice, 2).now()),
        "airport": airports.append("update", {"city": "Berlin"}, child=(Airport, 5)),
        "airports": str(airports.now()),
        "airports_token": make_token(airports.ref.name),
        "notice_token": make_token(notice.ref.name),
    }


def page(cursor: str, *diffs: str, more: bool = False) -> dict[str, Any]:
    return {"cursor": cursor, "more": more, "diffs": list(diffs)}


def problem(status: int, detail: str, **members: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": TITLES[status], "status": status, "detail": detail, **members}


def malformed(name: str, query: str, parameter: str, detail: str, path: str = "/diffs/testapp.notice/1/") -> Case:
    return Case(name, f"{path}?{query}", 400, problem(400, detail, parameter=parameter), ERROR)


def missing(name: str, path: str) -> Case:
    return Case(name, path, 404, problem(404, "There is no such feed."), ERROR)


def expired(name: str, path: str, reason: str, cursor: str) -> Case:
    return Case(name, path, 410, problem(410, EXPIRED, reason=reason, cursor=cursor), ERROR)


ALL = page("{end}", "{first}", "{second}", "{third}")
"""The notice's three diffs."""
