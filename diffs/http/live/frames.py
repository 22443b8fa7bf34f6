"""The lines of an event stream, as the HTML standard has them (server-sent events)."""

from __future__ import annotations

import json
import random
from typing import Any

SHORTEST_RETRY, LONGEST_RETRY = 1000, 3000
"""How long a browser waits before it connects again, milliseconds: not all that lost a server come back together."""


def opening() -> bytes:
    """Tells proxies and clients at once that the stream is there."""
    return b":\nretry: %d\n\n" % random.randint(SHORTEST_RETRY, LONGEST_RETRY)


def diff_frame(identity: str, body: bytes) -> bytes:
    """An event that is a diff.

    Args:
        identity: from where to go on behind it.
        body: the diff as JSON, which has no line breaks.
    """
    return b"id: %b\ndata: %b\n\n" % (identity.encode(), body)


def named_frame(name: str, identity: str, document: dict[str, Any]) -> bytes:
    """An event of another kind.

    Args:
        name: which.
        identity: from where to go on behind it.
        document: what it says.
    """
    data = json.dumps(document, separators=(",", ":"))
    return f"event: {name}\nid: {identity}\ndata: {data}\n\n".encode()


def identity_frame(identity: str) -> bytes:
    """An id without an event: clients keep it, and show nothing."""
    return f"id: {identity}\n\n".encode()


def with_feed(name: str, body: bytes) -> bytes:
    """A diff's document with its feed in front.

    Args:
        name: the feed's.
        body: a JSON object that isn't empty.
    """
    return b'{"feed":%b,%b' % (json.dumps(name).encode(), body[1:])
