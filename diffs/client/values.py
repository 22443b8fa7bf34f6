"""What the client gives; nothing of it can be changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from diffs import diff


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Diff(diff.Diff):
    """One committed change of one object, and the feed that told of it."""

    feed: str
    """As it was asked for: ``"polls.question:42"``."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """What is known of a feed may be wrong from here on: fetch its objects again, now that this was given."""

    feed: str
    """As it was asked for."""
    reason: str
    """``"window"``: the reader was away for too long; ``"reset"``: changes were dropped or lost; ``"unknown"``: the
    cursor was never handed out."""
    cursor: str
    """From where it goes on: keep it once the objects are fetched, not before."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Nothing new; given only where it is asked for."""


Event = Diff | Reset | Idle


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a single question gave."""

    events: tuple[Diff | Reset, ...]
    """Refusals, then diffs by their time."""
    cursors: Mapping[str, str]
    """From where each feed goes on."""
    more: bool
    """Whether there is more already."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An object as it is now, and from where its feed goes on."""

    feed: str
    """As it was asked for."""
    cursor: str
    """Taken before the object was read, so that nothing falls between."""
    model: str
    """``"polls.question"``."""
    pk: Any
    """As in diffs."""
    data: Mapping[str, Any]
    """What a diff of the object's creation would hold, and many-to-many fields."""
