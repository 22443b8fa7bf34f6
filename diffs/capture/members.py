"""The bytes of a change, no more of them than a diff may have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from diffs.codec import Encoder, Row, new_nonce, packed_size
from diffs.conf import settings
from diffs.diff import Action

from .context import current_actor
from .versions import provisional

NOW: Any = object()
"""In the place of an actor: whoever makes changes now."""


class TooLarge(Exception):
    """There is no room, even without any value."""


def members_of(
    action: Action,
    data: Mapping[str, Any],
    omitted: Collection[str] = (),
    row: Row | None = None,
    *,
    actor: str | None = NOW,
) -> tuple[bytes, bytes]:
    """Make the members of a change; the largest values are left out until the rest fits, and their fields named.

    Args:
        action: what happened.
        data: the changed fields' values, as `Encoder` takes them.
        omitted: fields that have changed as well.
        row: the changed object, where the change goes to other feeds than the object's own.
        actor: who did it; `NOW` unless given.

    Returns:
        What goes into the object's own feed, and what into others; that is empty without `row`.

    Raises:
        SerializationError: see `Encoder`.
        TooLarge: the names alone, with the actor and the primary key, are too much.
    """
    version, nonce = provisional(), new_nonce()
    actor = current_actor() if actor is NOW else actor
    while True:
        encoder = Encoder(action, version, nonce, data, actor, omitted)
        own, foreign = encoder.own(), b"" if row is None else encoder.foreign(row)
        excess = len(foreign or own) - settings.max_diff_bytes
        if excess <= 0:
            return own, foreign
        if not data:
            raise TooLarge
        # Another round is seldom needed: where the names' list gets a longer head than the data's becomes shorter.
        large = _largest(data, excess)
        omitted = [*omitted, *(name for name in data if name in large)]
        data = {name: value for name, value in data.items() if name not in large}


def _largest(data: Mapping[str, Any], wanted: int) -> set[str]:
    """The fewest fields whose values take so many bytes; all of them where that isn't enough."""
    chosen: set[str] = set()
    for size, name in sorted(((packed_size(value), name) for name, value in data.items()), reverse=True):
        if wanted <= 0:
            break
        chosen.add(name)
        wanted -= size
    return chosen
