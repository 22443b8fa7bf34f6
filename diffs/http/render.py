"""Stored diffs as they go over the wire, each rendered once per process."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from typing import Any, NamedTuple

from diffs import codec
from diffs.codec import MAX_SAFE_INTEGER, Change, Row
from diffs.diff import DELETE, Diff
from diffs.errors import MemberError
from diffs.keys import FeedName
from diffs.store import Stored

from .documents import Form

logger = logging.getLogger("diffs")

MAX_ENTRIES = 20_000
MAX_BYTES = 16 * 1024 * 1024
_ENTRY_BYTES = 600
"""About what an entry takes besides its texts."""


class Rendered(NamedTuple):
    """A diff in one form."""

    row: Row
    """Whose change it is."""
    is_deletion: bool
    body: bytes
    body_with_actor: bytes | None
    """``None`` where no actor was recorded."""


class _Key(NamedTuple):
    feed: FeedName
    stored: Stored
    form: str


class RenderCache:
    """The diffs that were rendered last, by all that decides how they look: nothing in it can be out of date.

    Args:
        max_entries: how many to keep.
        max_bytes: how much memory to take, roughly.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[_Key, Rendered | None] = OrderedDict()
        self.size = 0
        """Bytes, roughly."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, feed: FeedName, own: Row | None, stored: Stored, form: Form) -> Rendered | None:
        """Render a stored diff, unless that has been done.

        Args:
            feed: where it stands.
            own: the object that the feed is named after; ``None`` for a model feed.
            stored: the diff.
            form: what to render.

        Returns:
            The diff, or ``None`` where it is damaged: that is logged once.
        """
        key = _Key(feed, stored, form.media_type)
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        try:
            rendered = _render(own, stored, form)
        except MemberError as error:
            logger.error("A diff of the feed %r at %d is left out: %s", str(feed), stored.position, error)
            rendered = None
        with self._lock:
            if key not in self._entries:
                self._entries[key] = rendered
                self.size += _size(key, rendered)
            while len(self._entries) > self._max_entries or self.size > self._max_bytes:
                self.size -= _size(*self._entries.popitem(last=False))
        return rendered

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self.size = 0

    def forget_all(self) -> None:
        """Begin anew in a forked child, where the lock may have been held by a thread that isn't here."""
        self._lock = threading.Lock()
        self.clear()


def _size(key: _Key, rendered: Rendered | None) -> int:
    bodies = () if rendered is None else (rendered.body, rendered.body_with_actor or b"")
    return _ENTRY_BYTES + len(key.stored.member) + sum(map(len, bodies))


def wire_members(source: Change | Diff, row: Row, position: int) -> dict[str, Any]:
    """A diff as it goes over the wire, without its actor.

    Args:
        source: the change.
        row: whose.
        position: its timestamp, microseconds.
    """
    return {
        "id": source.id,
        "action": source.action,
        "model": row.model,
        "pk": row.pk,
        "timestamp": position,
        # JavaScript holds no larger number.
        "version": source.version if source.version <= MAX_SAFE_INTEGER else str(source.version),
        "data": dict(source.data),
    }


def _render(own: Row | None, stored: Stored, form: Form) -> Rendered:
    change = codec.decode(stored.member)
    row = change.row or own
    if row is None:
        raise MemberError("A model feed holds a diff that doesn't say whose it is.")
    try:
        members = [(name, form.value(value)) for name, value in wire_members(change, row, stored.position).items()]
        actor = None if change.actor is None else ("actor", form.value(change.actor))
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise MemberError(f"It holds a value that {form.media_type} can't.") from None
    with_actor = None if actor is None else form.document([*members, actor])
    return Rendered(row, change.action == DELETE, form.document(members), with_actor)


cache = RenderCache()
os.register_at_fork(after_in_child=cache.forget_all)
