"""One line of the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was measured for one comparison, and whether that is good enough."""

    goal: str
    """The goal's name: ``"W1"``."""
    what: str
    """What was done."""
    where: str = ""
    """With which Django and database."""
    value: float | None = None
    """The median; ``None`` where nothing was measured."""
    low: float | None = None
    """The lower quartile, where there were several rounds."""
    high: float | None = None
    """The upper quartile."""
    unit: str = "x"
    """``"x"`` for ratios."""
    limit: float | None = None
    """What the goal allows; ``None``: the row is for information."""
    at_least: bool = False
    """The goal is a lower bound."""
    note: str = ""
    """Why nothing was measured, or what has to be known beside the value."""
    error: str = ""
    """What went wrong, its last line; the run fails then."""
    details: dict[str, Any] = field(default_factory=dict)
    """Figures of the contenders, and whatever else explains the value."""

    @property
    def name(self) -> str:
        """What tells this row from others, in this result and in another."""
        return " | ".join(part for part in (self.goal, self.what, self.where) if part)

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; ``None`` where there is none, or nothing was measured."""
        if self.value is None or self.limit is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit
