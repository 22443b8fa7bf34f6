"""The process's own store, and the way by which it gets what was committed."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django.core.signals import setting_changed

from diffs.conf import NAME, settings
from diffs.cursor import Cursor
from diffs.errors import StoreUnavailable
from diffs.keys import FeedName

from . import lines, outage, sender
from .batch import Entry, Floors, Outcome, Receipt
from .connection import connect
from .sender import DRAIN_SECONDS, Sender
from .store import Store


class _Own(NamedTuple):
    """What the settings of a moment made; resolved once, so that a save looks nothing up."""

    store: Store
    put: Callable[[Sequence[Entry], Floors | None, Receipt | None], Outcome | None]
    sender: Sender | None


_own: _Own | None = None
# A signal's handler may save in the middle of anything.
_lock = threading.RLock()
_pid = os.getpid()
_noticing = threading.Lock()


def get_store() -> Store:
    """The process's store, made from the settings at its first use.

    Raises:
        ConfigurationError: the settings don't describe a server.
    """
    return _current().store


def hand_over(
    entries: Sequence[Entry], floors: Floors | None = None, receipt: Receipt | None = None
) -> Outcome | None:
    """Give what was committed to the server, at once or in the background; never raises for what the server does.

    Args:
        entries: diffs, those of one transaction together; not to be changed afterwards.
        floors: what old cursors are to be refused for, before that.
        receipt: what to tell of it. Without one, old cursors are refused for diffs that come late.

    Returns:
        What became of it; ``None`` where that isn't known yet: then the receipt's `settle` is called.

    Raises:
        ConfigurationError: the settings don't describe a server.
    """
    return _current().put(entries, floors, receipt)


def mark(feed: FeedName) -> Cursor | None:
    """Where a feed's shard stands, as far as this process knows; for `Entry.since`.

    Never raises.
    """
    try:
        store = _current().store
        try:
            return store.mark(feed.shard)
        except StoreUnavailable:
            return store.marks.of(feed.shard)
    except Exception:  # whatever is wrong with the settings, the diff's own way tells
        return None


def drain(seconds: float = DRAIN_SECONDS) -> bool:
    """Wait until what this process has handed over is sent; at once where nothing is sent in the background.

    Args:
        seconds: how long to wait for it, more or less; the server's timeouts come on top.

    Returns:
        Whether nothing of it is left: it is stored, or its floors are raised, or will be when Redis is back.
    """
    own = _own
    return own is None or own.sender is None or own.sender.drain(seconds)


def close_store() -> None:
    """Drop the process's store; the next use makes another, from the settings of then."""
    global _own
    with _lock:
        own, _own = _own, None
    if own is not None:
        if own.sender is not None:
            own.sender.close()
        own.store.close()


def _current() -> _Own:
    if os.getpid() != _pid:
        _notice_fork()
    return _own or _make()


def _make() -> _Own:
    global _own
    with _lock:
        own = _own
        if own is None:
            store = Store(connect(), settings.prefix, has_outbox=settings.outbox)
            sender = Sender(store) if settings.flush == "background" else None
            _own = own = _Own(store, sender.put if sender else functools.partial(_write, store), sender)
        return own


def _write(store: Store, entries: Sequence[Entry], floors: Floors | None, receipt: Receipt | None) -> Outcome:
    outcome = store.write(entries, floors, keeps=receipt is not None and bool(receipt.rows))
    if outcome.late and receipt is None:
        store.raise_floors(Floors(late.entry.feed for late in outcome.late))
    return outcome


def _forget_store(*, setting: str, **_: Any) -> None:
    if setting == NAME:
        close_store()


def _notice_fork() -> None:
    """In a child that was forked past Python, as uWSGI does it: what Python's hooks would have done."""
    with _noticing:
        if os.getpid() != _pid:
            lines.forget_all()
            outage.forget_all()
            sender.reset_all()
            _begin_in_child()


def _begin_in_child() -> None:
    """The lock may have been held by a thread that isn't here."""
    global _lock, _pid
    _lock = threading.RLock()
    _pid = os.getpid()


os.register_at_fork(after_in_child=_begin_in_child)
setting_changed.connect(_forget_store, dispatch_uid="diffs.store")
