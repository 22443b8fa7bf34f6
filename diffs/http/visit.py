"""A request that is answered later, or for a while."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from .pull import Grant
from .query import Asked, Query
from .rules import Rules

Scope = MutableMapping[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclasses.dataclass(frozen=True, slots=True)
class Visit:
    """A client that waits for news."""

    asked: Asked
    query: Query
    """What it asks for; in a stream with the cursors of ``Last-Event-ID``."""
    grants: list[Grant]
    rules: Rules
    """To be asked what a grant lets its reader see: ``await visit.rules.ask(lambda: grant.sees(rendered))``."""
    receive: Receive
    """Of ASGI."""

    async def gone(self) -> None:
        """Return when the client has gone; to be called once at a time."""
        # What comes before that is the request's body, which says nothing.
        while (await self.receive())["type"] != "http.disconnect":
            pass
