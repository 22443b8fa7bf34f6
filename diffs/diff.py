"""One committed change of one object."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any, Literal

Action = Literal["create", "update", "delete"]

CREATE: Action = "create"
UPDATE: Action = "update"
DELETE: Action = "delete"

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """One committed change of one object, as it stands in a feed."""

    id: str
    """Unique: 22 hexadecimal digits, the same in every feed that holds the diff."""
    action: Action
    """``"create"``, ``"update"`` or ``"delete"``."""
    data: Mapping[str, Any]
    """The changed fields' new values, in the form of Django's serializers; empty for a deletion."""
    position: int
    """Microseconds since the Unix epoch, given by Redis; strictly increasing in a feed."""
    cursor: str
    """Where a reader stands who has read up to and including this diff."""
    model: str
    """The changed object's model: ``"polls.question"``."""
    pk: Any
    """The changed object's primary key, as Django's serializers give it (a list where it is composite)."""
    version: int
    """Orders the diffs of one row by commit."""
    actor: str | None = None
    """Who did it, where that was recorded and may be shown."""
    omitted: tuple[str, ...] = ()
    """Fields that have changed as well, whose values are too large for a diff: read the object to have them."""

    @property
    def created(self) -> bool:
        """Whether this change made the object."""
        return self.action == CREATE

    @property
    def timestamp(self) -> dt.datetime:
        """`position` as an aware UTC ``datetime``."""
        return _EPOCH + dt.timedelta(microseconds=self.position)
