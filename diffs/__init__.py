"""A Redis-backed cache of what changed in Django models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from .capture.context import actor
    from .capture.touching import touch
    from .capture.transaction import disabled
    from .diff import Diff
    from .errors import CursorError, CursorExpired, DiffsError, NoModelFeed, NotRegistered, StoreUnavailable
    from .feed import Feed, FeedManager, feed_of, snapshot
    from .http.tokens import feed_token
    from .registry import register, unregister

_HOMES = {
    "actor": "capture.context",
    "touch": "capture.touching",
    "disabled": "capture.transaction",
    "Diff": "diff",
    "CursorError": "errors",
    "CursorExpired": "errors",
    "DiffsError": "errors",
    "NoModelFeed": "errors",
    "NotRegistered": "errors",
    "StoreUnavailable": "errors",
    "Feed": "feed",
    "FeedManager": "feed",
    "feed_of": "feed",
    "snapshot": "feed",
    "feed_token": "http.tokens",
    "register": "registry",
    "unregister": "registry",
}

__all__ = [
    "CursorError",
    "CursorExpired",
    "Diff",
    "DiffsError",
    "Feed",
    "FeedManager",
    "NoModelFeed",
    "NotRegistered",
    "StoreUnavailable",
    "actor",
    "disabled",
    "feed_of",
    "feed_token",
    "register",
    "snapshot",
    "touch",
    "unregister",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that the package imports before the apps are ready."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
