"""What is tried, each part for a share of the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.faults.injecting import HARMLESS, LOSING, REPLACING
from tests.faults.proof import prove_delivery, prove_refusals
from tests.order.modes import MODES
from tests.order.proof import prove_order
from tests.order.scenario import Scenario
from tests.servers import RedisServer

Prove = Callable[[Scenario, dict[str, Any], RedisServer, float], dict[str, Any]]


class Part(NamedTuple):
    """A run of a kind."""

    prove: Prove
    options: Mapping[str, Any]
    """Of its scenario."""


def _order(scenario: Scenario, database: dict[str, Any], server: RedisServer, seconds: float) -> dict[str, Any]:
    return prove_order(scenario, database, server.options, seconds)


def _lossy(scenario: Scenario, database: dict[str, Any], server: RedisServer, seconds: float) -> dict[str, Any]:
    return prove_refusals(scenario, database, server, {**HARMLESS, **LOSING}, seconds)


def _replaced(scenario: Scenario, database: dict[str, Any], server: RedisServer, seconds: float) -> dict[str, Any]:
    return prove_refusals(scenario, database, server, REPLACING, seconds)


def _delivered(scenario: Scenario, database: dict[str, Any], server: RedisServer, seconds: float) -> dict[str, Any]:
    return prove_delivery(scenario, database, server, seconds)


DATABASE = {"versions": "database"}
KILLS = {"outbox": True, "kills": 5.0}

ORDER: Mapping[str, Part] = {f"order, {name}": Part(_order, options) for name, options in MODES.items()}
CHAOS: Mapping[str, Part] = {
    "order, database": ORDER["order, database"],
    "order, outbox": ORDER["order, outbox"],
    "order, narrow": ORDER["order, narrow"],
    "faults, clock": Part(_lossy, {"own_rows": True}),
    "faults": Part(_lossy, DATABASE),
    "faults, outbox, kills": Part(_lossy, KILLS),
    "delivery": Part(_delivered, {**KILLS, "journal": True}),
    "delivery, in the background": Part(_delivered, {**KILLS, "journal": True, "flush": "background"}),
    "failovers": Part(_replaced, DATABASE),
    "failovers, outbox": Part(_replaced, {"outbox": True}),
}
SETS = {"chaos": CHAOS, "order": ORDER}
