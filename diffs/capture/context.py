"""What holds for the changes made in a block of code."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from django.db import models

from diffs.store import Floors

_actor: ContextVar[str | None] = ContextVar("diffs_actor", default=None)
_disabled: ContextVar[dict[str, Floors] | None] = ContextVar("diffs_disabled", default=None)
_inside: ContextVar[bool] = ContextVar("diffs_inside", default=False)


@contextlib.contextmanager
def actor(who: Any) -> Iterator[None]:
    """Say who makes the changes in this block.

    Args:
        who: an object (its primary key is kept), or text; ``None`` for nobody.
    """
    text = who.pk if isinstance(who, models.Model) else who
    token = _actor.set(None if text is None else str(text))
    try:
        yield
    finally:
        _actor.reset(token)


def current_actor() -> str | None:
    """Who makes changes now."""
    return _actor.get()


def unrecorded() -> dict[str, Floors] | None:
    """By database alias what must be refused once recording goes on; ``None`` while it does."""
    return _disabled.get()


@contextlib.contextmanager
def collecting_unrecorded() -> Iterator[dict[str, Floors]]:
    """Nothing is recorded in this block; what would have been is collected."""
    collected: dict[str, Floors] = defaultdict(Floors)
    token = _disabled.set(collected)
    try:
        yield collected
    finally:
        _disabled.reset(token)


def is_inside() -> bool:
    """Whether a captured operation is under way, whose steps are not to be captured again."""
    return _inside.get()


@contextlib.contextmanager
def inside() -> Iterator[None]:
    """The steps of a captured operation."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)
