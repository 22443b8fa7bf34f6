"""Runs in which things go wrong."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

from tests.order.proof import Run, add_rounds
from tests.order.scenario import Scenario
from tests.servers import RedisServer

from .injecting import Fault, inject

ROUND = 5.0
"""How long things go wrong between comparisons, in seconds."""


def prove_refusals(
    scenario: Scenario, database: dict[str, Any], server: RedisServer, faults: dict[str, Fault], seconds: float
) -> dict[str, Any]:
    """A run during which a server fails; whenever it is well, the clients are compared with the database.

    Args:
        scenario: what it is to be like.
        database: an empty one, as ``DATABASES`` takes it.
        server: the one that fails.
        faults: what happens to it.
        seconds: how long, more or less.

    Returns:
        What was done, what happened to the server as ``faults``, and for each client the rows that it had wrong.
    """
    rng = random.Random(scenario.seed)
    deadline = time.monotonic() + seconds
    happened: Counter[str] = Counter()
    with Run(scenario, database, server.options) as run:
        rounds = []
        while not rounds or time.monotonic() < deadline:
            happened += inject(server, faults, rng, ROUND)
            rounds.append(run.compare())
        return {**add_rounds(run.finish(), rounds), "faults": dict(happened)}
