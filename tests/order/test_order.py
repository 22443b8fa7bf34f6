"""Several processes write the same rows, and their diffs overtake each other on the way to Redis."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection

from tests.order.modes import MODES
from tests.order.proof import ROUND, Run, prove_order
from tests.order.scenario import Scenario
from tests.servers import RedisServer

SECONDS = 1.5
PATIENCE = 90.0
INVERSIONS = 10
WRITERS = {"postgresql": 8, "sqlite": 3}
# `make order` runs each of them on each database, and for longer.
CHOSEN = {
    "postgresql": ("clock", "database", "database, in the background", "outbox", "narrow"),
    "sqlite": ("database", "outbox, in the background", "full_saves"),
}

pytestmark = pytest.mark.slow


def scenario(**options: Any) -> Scenario:
    return Scenario(seed=1, writers=WRITERS[connection.vendor], **options)


def test_each_mode_is_tried_somewhere() -> None:
    assert {mode for modes in CHOSEN.values() for mode in modes} == {*MODES}


@pytest.mark.database
@pytest.mark.parametrize("mode", CHOSEN[connection.vendor])
def test_p7_clients_that_apply_diffs_in_order_end_with_the_rows_that_many_wrote_at_once(
    mode: str, own_database: dict[str, Any], server: RedisServer
) -> None:
    found = prove_order(scenario(**MODES[mode]), own_database, server.options, SECONDS, INVERSIONS)
    assert [client["wrong"] for client in found["clients"]] == [[], [], []]
    assert [client["versioned"] for client in found["clients"]] == [[], [], []]
    assert [client["twice"] for client in found["clients"]] == [0, 0, 0]
    assert found["late"] > 0


def test_full_saves_of_stale_objects_leave_wrong_rows_unless_the_model_asks_for_more(
    own_database: dict[str, Any], server: RedisServer
) -> None:
    """What the options ``narrow`` and ``full_saves`` are for; also shows that wrong rows are noticed."""
    deadline = time.monotonic() + PATIENCE
    wrong: list[str] = []
    with Run(scenario(versions="database", stale=True, moves=False), own_database, server.options) as run:
        while not wrong and time.monotonic() < deadline:
            time.sleep(ROUND)
            wrong = [text for client in run.compare() for text in client["wrong"]]
        run.finish()
    assert wrong
