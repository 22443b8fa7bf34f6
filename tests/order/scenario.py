"""What a run is to be like; it reaches the run's processes by their environment."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

VARIABLE = "ORDER_SCENARIO"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenario:
    """One run of writers and clients."""

    seed: int
    """Of what the writers do; which of them comes first is the machine's choice."""
    versions: str = "clock"
    outbox: bool = False
    flush: str = "commit"
    register: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Options with which the rows' model is registered on top of its own."""
    moves: bool = True
    """Whether rows go from parent to parent; if not, they are saved without a lock."""
    stale: bool = False
    """Whether whole instances are saved long after they were read; only where no row moves."""
    own_rows: bool = False
    """Whether each row has one writer only, and the parents none."""
    journal: bool = False
    """Whether each change is noted in the database, in its transaction."""
    tells_time: bool = False
    """Whether Redis goes by a time that can be set back, instead of its own."""
    kills: float = 0.0
    """How many writers are killed in a second; others take their place."""
    writers: int = 8
    rows: int = 20
    delay: float = 0.05
    """The longest time between a commit and its way to Redis, in seconds; now and then it is six times as long."""

    @property
    def settings(self) -> dict[str, Any]:
        """Of ``DIFFS_SETTINGS``, what isn't as it is by default."""
        chosen = {"versions": self.versions, "outbox": self.outbox, "flush": self.flush}
        default = {"versions": "clock", "outbox": False, "flush": "commit"}
        return {name: value for name, value in chosen.items() if value != default[name]}

    @property
    def mode(self) -> str:
        """What is proved, in a few words."""
        words = ["outbox" if self.outbox else self.versions, self.flush]
        return " ".join([*words, *(f"{name}={value}" for name, value in self.register.items())])

    def to_text(self) -> str:
        """For the environment."""
        return json.dumps(dataclasses.asdict(self))


def from_environment() -> Scenario:
    """The scenario that this process belongs to."""
    return Scenario(**json.loads(os.environ[VARIABLE]))
