"""Follow a site's diffs from another program, which needs no Django settings.

For this the extra ``client`` is installed. The command ``python -m diffs.client`` shows what happens on a terminal.
"""

from __future__ import annotations

try:
    from .clients import AsyncClient, AsyncFollowing, Client, Following
except ModuleNotFoundError as error:
    if error.name != "httpx":
        raise
    raise ImportError("The client needs httpx: install django-diffs[client].") from None
from .errors import BadRequest, ClientError, Forbidden, NotDiffs, NotFound, Unauthorized, Unavailable
from .rows import Rows
from .values import Diff, Event, Idle, Page, Reset, Snapshot

__all__ = [
    "AsyncClient",
    "AsyncFollowing",
    "BadRequest",
    "Client",
    "ClientError",
    "Diff",
    "Event",
    "Following",
    "Forbidden",
    "Idle",
    "NotDiffs",
    "NotFound",
    "Page",
    "Reset",
    "Rows",
    "Snapshot",
    "Unauthorized",
    "Unavailable",
]
