"""Stored diffs as they go over the wire."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from diffs import codec
from diffs.codec import MAX_SAFE_INTEGER, Change, Row
from diffs.diff import DELETE, Diff
from diffs.errors import MemberError
from diffs.store import Stored

from .documents import Form


class Part(NamedTuple):
    """A part of a document, and what tells it from others."""

    body: bytes
    digest: bytes


class Rendered(NamedTuple):
    """A diff in one form."""

    stored: Stored
    row: Row
    """Whose change it is."""
    is_own: bool
    """Whether that is the object which the feed is named after."""
    is_deletion: bool
    part: Part
    part_with_actor: Part | None
    """``None`` where no actor was recorded."""
    is_plain: bool
    """Whether it looks the same to everybody who may pull the feed."""


def render(own: Row | None, stored: Stored, form: Form) -> Rendered:
    """Render a stored diff.

    Args:
        own: the object that the feed is named after; ``None`` for a model feed.
        stored: the diff.
        form: what to render.

    Raises:
        MemberError: it is damaged, or `form` can't hold it.
    """
    change = codec.decode(stored.member)
    row = change.row or own
    if row is None:
        raise MemberError("A model feed holds a diff that doesn't say whose it is.")
    try:
        members = [(name, form.value(value)) for name, value in wire_members(change, row, stored.position).items()]
        actor = None if change.actor is None else ("actor", form.value(change.actor))
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise MemberError(f"It holds a value that {form.media_type} can't.") from None
    is_own = row == own
    return Rendered(
        stored=stored,
        row=row,
        is_own=is_own,
        is_deletion=change.action == DELETE,
        part=part(form.document(members)),
        part_with_actor=None if actor is None else part(form.document([*members, actor])),
        is_plain=is_own and actor is None,
    )


def wire_members(source: Change | Diff, row: Row, position: int) -> dict[str, Any]:
    """A diff as it goes over the wire, without its actor.

    Args:
        source: the change.
        row: whose.
        position: its timestamp, microseconds.
    """
    members = {
        "id": source.id,
        "action": source.action,
        "model": row.model,
        "pk": row.pk,
        "timestamp": position,
        # JavaScript holds no larger number.
        "version": source.version if source.version <= MAX_SAFE_INTEGER else str(source.version),
        "data": dict(source.data),
    }
    if source.omitted:
        members["omitted"] = list(source.omitted)
    return members


def part(body: bytes) -> Part:
    """A part of a document."""
    return Part(body, digest(body))


def digest(content: bytes) -> bytes:
    """Twelve bytes that tell contents apart."""
    return hashlib.blake2b(content, digest_size=12).digest()
