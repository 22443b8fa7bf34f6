"""Where a reader stands: an epoch and a timestamp, as text that clients hand back unread."""

from __future__ import annotations

import re
from typing import NamedTuple

from .errors import CursorError

_TEXT = re.compile(r"([0-9a-z]{8})_(0|[1-9a-f][0-9a-f]{0,12})", re.ASCII)


class Cursor(NamedTuple):
    """A reader's place in a shard."""

    epoch: str
    """The random name that the shard got when its data began: eight characters of ``[0-9a-z]``."""
    timestamp: int
    """Microseconds since the Unix epoch: everything up to here has been read."""

    def __str__(self) -> str:
        return f"{self.epoch}_{self.timestamp:x}"


def parse(text: str) -> Cursor:
    """Read a cursor's text.

    Args:
        text: what ``str(cursor)`` gave.

    Raises:
        CursorError: it is anything else.
    """
    match = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise CursorError("Not a cursor: hand one back exactly as it was given out, or leave it out.")
    return Cursor(match[1], int(match[2], 16))
