"""Answers that are not the one that was asked for, as RFC 9457 has them."""

from __future__ import annotations

import http
import json
from typing import Any

from diffs.errors import DiffsError

from .protocol import MAX_ECHO, NO_CACHE, PROBLEM
from .replies import Header, Reply


class Problem(DiffsError):
    """The endpoint can't answer as asked: `status` and `detail` say why.

    Args:
        status: of HTTP.
        detail: a sentence for whoever reads the client's log.
        headers: that the answer carries besides those of every problem.
        members: what else the document holds; long text in it is cut.
    """

    def __init__(self, status: int, detail: str, headers: tuple[Header, ...] = (), **members: str) -> None:
        self.status = status
        self.detail = detail
        self.headers = headers
        self.members = {name: text[:MAX_ECHO] for name, text in members.items()}
        super().__init__(detail)

    def of_feed(self, name: str) -> Problem:
        """The same problem, naming the feed that it is about."""
        return Problem(self.status, self.detail, self.headers, **{**self.members, "feed": name})

    def document(self) -> dict[str, Any]:
        """What a problem's document holds; of general kinds, so that the status is the type."""
        phrase = http.HTTPStatus(self.status).phrase
        return {"type": "about:blank", "title": phrase, "status": self.status, "detail": self.detail, **self.members}

    def reply(self) -> Reply:
        """The problem as an answer of its own."""
        headers = (("Content-Type", PROBLEM), ("Cache-Control", NO_CACHE), *self.headers)
        return Reply(self.status, headers, json.dumps(self.document()).encode())
