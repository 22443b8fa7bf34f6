"""The net change per object."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable

from .diff import CREATE, DELETE, Diff


def collapse(diffs: Iterable[Diff]) -> list[Diff]:
    """Fold diffs into one per object.

    Fields take their last value. What was created and deleted again is left out; what was deleted and created again
    counts as created, because its data is whole. Each result stands where the object's last diff stood.

    Args:
        diffs: in the order of their feed.
    """
    folded: dict[tuple[str, str], Diff | None] = {}
    for diff in diffs:
        key = (diff.model, json.dumps(diff.pk))
        folded[key] = _fold(folded.pop(key, None), diff)
    return [diff for diff in folded.values() if diff is not None]


def _fold(before: Diff | None, diff: Diff) -> Diff | None:
    if before is None or diff.action == CREATE:
        return diff
    if diff.action == DELETE:
        return None if before.action == CREATE else diff
    return dataclasses.replace(diff, action=before.action, data={**before.data, **diff.data})
