"""What is done about stored diffs that can't be read: damaged ones, and those of a later release's format.

Such a diff is passed over, with one line in the log, and its feed's floor is raised: every cursor from before is
refused, so that nobody goes on as if there had been nothing, and nobody reads it again.
"""

from __future__ import annotations

import logging
import os
import threading

from .errors import MemberError, StoreUnavailable
from .keys import FeedName
from .store import FeedRef, Floors, Read, Store

logger = logging.getLogger("diffs")

MAX_NOTED = 10_000
"""How many are remembered, so that none is told of again."""

_noted: dict[tuple[FeedName, int], None] = {}
_lock = threading.Lock()


def note(feed: FeedName, position: int, error: MemberError) -> None:
    """Tell in the log, once, of a diff that can't be read.

    Args:
        feed: where it stands.
        position: its timestamp, microseconds.
        error: why it can't.
    """
    with _lock:
        if (feed, position) in _noted:
            return
        _noted[feed, position] = None
        if len(_noted) > MAX_NOTED:
            del _noted[next(iter(_noted))]
    logger.error(
        "A diff of the feed %r at %d is passed over, and old cursors of the feed are refused: %s",
        str(feed),
        position,
        error,
    )


def distrust(store: Store, feed: FeedRef, position: int) -> None:
    """Refuse the cursors of a feed that holds a diff which can't be read; never raises for what the server does.

    Args:
        store: where the feed is.
        feed: which.
        position: up to where it was read, a timestamp in microseconds. Where nothing of that is given out any more,
            another process was here first, and readers who have begun anew since are left in peace.
    """
    try:
        if not store.count(Read(feed=feed, upper=position)):
            return
    except StoreUnavailable:
        # The floor is raised as soon as the server is back.
        pass
    store.raise_floors(Floors([feed]))


def _begin_in_child() -> None:
    """The lock may have been held by a thread that isn't here."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_begin_in_child)
