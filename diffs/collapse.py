"""The net change per object."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable

from .diff import CREATE, DELETE, Diff


def collapse(diffs: Iterable[Diff]) -> list[Diff]:
    """Fold diffs into one per object.

    Fields take their last value; one whose last value was too large for a diff is named in ``omitted``. What was
    created and deleted again is left out; what was deleted and created again counts as created, because its data is
    whole. Each result stands where the object's last diff stood.

    Args:
        diffs: in the order of their feed.
    """
    folded: dict[tuple[str, str], tuple[bool, Diff | None]] = {}
    for diff in diffs:
        key = (diff.model, json.dumps(diff.pk))
        was_there, before = folded.pop(key, (diff.action != CREATE, None))
        folded[key] = was_there, _fold(was_there, before, diff)
    return [diff for _, diff in folded.values() if diff is not None]


def _fold(was_there: bool, before: Diff | None, diff: Diff) -> Diff | None:
    """One diff of two; ``None`` where the object neither was there nor is."""
    if diff.action == DELETE:
        return diff if was_there else None
    if before is None or diff.action == CREATE:
        return diff
    data = {**before.data, **diff.data}
    omitted = before.omitted
    if omitted or diff.omitted:
        # In a diff that is the last word, no older value may look like it.
        data = {name: value for name, value in data.items() if name not in diff.omitted}
        omitted = tuple(dict.fromkeys([*(name for name in omitted if name not in data), *diff.omitted]))
    return dataclasses.replace(diff, action=before.action, data=data, omitted=omitted)
