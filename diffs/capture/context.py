"""What holds for the changes made in a block of code."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, cast

from django.db import models

from diffs.store import Floors

_actor: ContextVar[Any] = ContextVar("diffs_actor", default=None)
_disabled: ContextVar[dict[str, Floors] | None] = ContextVar("diffs_disabled", default=None)
_inside: ContextVar[Any] = ContextVar("diffs_inside", default=None)


@contextlib.contextmanager
def actor(who: Any) -> Iterator[None]:
    """Say who makes the changes in this block.

    Args:
        who: an object (its primary key is kept), or text; ``None`` for nobody. Also a function without arguments that
            returns one of them: it is called when a diff is made, and so never where nothing changes.
    """
    token = _actor.set(who if callable(who) else _actor_text(who))
    try:
        yield
    finally:
        _actor.reset(token)


def current_actor() -> str | None:
    """Who makes changes now."""
    who = _actor.get()
    if not callable(who):
        return cast("str | None", who)
    # What the function itself changes has no actor, or finding out who it is would never end.
    with actor(None):
        return _actor_text(who())


def _actor_text(who: Any) -> str | None:
    who = who.pk if isinstance(who, models.Model) else who
    return None if who is None else str(who)


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


def is_inside(model: type[models.Model]) -> bool:
    """Whether a captured operation on a model is under way, whose steps are not to be captured again."""
    return _inside.get() is model._meta.concrete_model


@contextlib.contextmanager
def inside(model: type[models.Model]) -> Iterator[None]:
    """The steps of a captured operation; what fields and signals do to other models meanwhile is captured."""
    token = _inside.set(model._meta.concrete_model)
    try:
        yield
    finally:
        _inside.reset(token)
