"""The process's own store, and the way by which it gets what was committed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django.core.signals import setting_changed

from diffs.conf import NAME, settings

from .batch import Entry, Floors
from .connection import connect
from .store import Store


class _Own(NamedTuple):
    """What the settings of a moment made; resolved once, so that a save looks nothing up."""

    store: Store
    put: Callable[[Sequence[Entry], Floors | None], None]


_own: _Own | None = None
_lock = threading.Lock()


def get_store() -> Store:
    """The process's store, made from the settings at its first use.

    Raises:
        ConfigurationError: the settings don't describe a server.
    """
    return (_own or _make()).store


def hand_over(entries: Sequence[Entry], floors: Floors | None = None) -> None:
    """Give what was committed to the server; never raises for what the server does.

    Args:
        entries: diffs, those of one transaction together; not to be changed afterwards.
        floors: what old cursors are to be refused for, before that.

    Raises:
        ConfigurationError: the settings don't describe a server.
    """
    (_own or _make()).put(entries, floors)


def close_store() -> None:
    """Drop the process's store; the next use makes another, from the settings of then."""
    global _own
    with _lock:
        own, _own = _own, None
    if own is not None:
        own.store.close()


def _make() -> _Own:
    global _own
    with _lock:
        own = _own
        if own is None:
            store = Store(connect(), settings.prefix)
            _own = own = _Own(store, store.write)
        return own


def _forget_store(*, setting: str, **_: Any) -> None:
    if setting == NAME:
        close_store()


def _renew_lock() -> None:
    """In a forked child: the lock may have been held by a thread that isn't here."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
setting_changed.connect(_forget_store, dispatch_uid="diffs.store")
