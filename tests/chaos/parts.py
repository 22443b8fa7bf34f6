"""What is tried, each part for a share of the time."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.faults.changing import MOVING, PROMOTING, SENTINEL
from tests.faults.injecting import EVICTING, HARMLESS, LOSING, REPLACING
from tests.faults.proof import prove_delivery, prove_refusals
from tests.order.modes import MODES
from tests.order.proof import prove_order
from tests.order.scenario import Scenario
from tests.servers import Cluster, RedisServer, Watched

Prove = Callable[..., dict[str, Any]]
"""Takes scenario, database and server, and ``seconds``."""

_happened: Counter[str] = Counter()
"""In all parts that were run, so that every fault gets its turn however short each part is."""


class Part(NamedTuple):
    """A run of a kind."""

    prove: Prove
    options: Mapping[str, Any]
    """Of its scenario."""
    serve: Callable[[str], contextlib.AbstractContextManager[Any]] = RedisServer
    """Starts a server of a kind, or several of them that have something to do with each other."""


def _order(scenario: Scenario, database: dict[str, Any], server: Any, seconds: float) -> dict[str, Any]:
    return prove_order(scenario, database, server.options, seconds)


_lossy = functools.partial(prove_refusals, faults={**HARMLESS, **LOSING, **EVICTING}, happened=_happened)
_set_back = functools.partial(prove_refusals, faults={}, happened=_happened)
_replaced = functools.partial(prove_refusals, faults=REPLACING, happened=_happened)
_delivered = functools.partial(prove_delivery, happened=_happened)
_promoted = functools.partial(prove_refusals, faults={**MOVING, **PROMOTING}, happened=_happened)
_moved = functools.partial(prove_delivery, faults=MOVING, happened=_happened)
_watched = functools.partial(prove_refusals, faults=SENTINEL, happened=_happened)

_cluster = functools.partial(Cluster, replicas=1)
"""Of three masters."""

DATABASE = {"versions": "database"}
OUTBOX = {"outbox": True}
KILLS = {**OUTBOX, "kills": 5.0}

ORDER: Mapping[str, Part] = {f"order, {name}": Part(_order, options) for name, options in MODES.items()}
# Those that take longest whatever their share come first: what is left is shared by the others.
CHAOS: Mapping[str, Part] = {
    "cluster": Part(_promoted, DATABASE, _cluster),
    "cluster, delivery": Part(_moved, {**KILLS, "journal": True}, _cluster),
    "sentinel": Part(_watched, DATABASE, Watched),
    "sentinel, outbox": Part(_watched, OUTBOX, Watched),
    "order, database": ORDER["order, database"],
    "order, outbox": ORDER["order, outbox"],
    "faults, clock": Part(_lossy, {"own_rows": True}),
    "faults": Part(_lossy, DATABASE),
    "faults, outbox, kills": Part(_lossy, KILLS),
    "clock set back": Part(_set_back, {**DATABASE, "tells_time": True}),
    "delivery": Part(_delivered, {**KILLS, "journal": True}),
    "delivery, in the background": Part(_delivered, {**KILLS, "journal": True, "flush": "background"}),
    "failovers": Part(_replaced, DATABASE),
    "failovers, outbox": Part(_replaced, OUTBOX),
}
SETS = {"chaos": CHAOS, "order": ORDER}
