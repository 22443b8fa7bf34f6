"""Runs in which things go wrong."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.order.proof import PATIENCE, Run, add_rounds
from tests.order.scenario import Scenario
from tests.servers import RedisServer

from .injecting import HARMLESS, Fault, inject

ROUND = 5.0
"""How long things go wrong between comparisons, in seconds."""


def prove_refusals(
    scenario: Scenario, database: dict[str, Any], server: RedisServer, faults: Mapping[str, Fault], seconds: float
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


def prove_delivery(
    scenario: Scenario, database: dict[str, Any], server: RedisServer, seconds: float, kills: int = 1
) -> dict[str, Any]:
    """A run with the outbox during which writers are killed and a server fails without losing data.

    Args:
        scenario: what it is to be like.
        database: an empty one, as ``DATABASES`` takes it.
        server: the one that fails.
        seconds: how long, at least.
        kills: how many writers have to be killed; on a busy machine that takes longer.

    Returns:
        What `prove_refusals` does, and as ``account`` what became of each committed change.
    """
    rng = random.Random(scenario.seed)
    began = time.monotonic()
    happened: Counter[str] = Counter()
    with Run(scenario, database, server.options) as run:
        rounds = []
        while time.monotonic() < began + seconds or run.count()["killed"] < kills:
            assert time.monotonic() < began + seconds + PATIENCE, "Too few are killed."
            happened += inject(server, HARMLESS, rng, ROUND)
            rounds.append(run.compare())
        account = run.account()
        return {**add_rounds(run.finish(), rounds), "faults": dict(happened), "account": account}
