"""Redis loses what it had: nobody ends with a wrong row without having been refused, with the outbox and without."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from tests.order.scenario import Scenario
from tests.servers import RedisServer

from .injecting import EVICTING, LOSING, REPLACING
from .proof import prove_refusals

SECONDS = 5.0
WRITERS = {"postgresql": 8, "sqlite": 3}
# `make chaos` runs them for longer.
MODES: dict[str, dict[str, dict[str, Any]]] = {
    "postgresql": {"database": {"versions": "database"}, "outbox": {"outbox": True, "kills": 5.0}},
    "sqlite": {
        "clock": {"own_rows": True},
        "database, in the background": {"versions": "database", "flush": "background", "moves": False},
    },
}

pytestmark = [pytest.mark.database, pytest.mark.slow]


@pytest.mark.parametrize("mode", MODES[connection.vendor])
def test_p6_no_client_ends_with_a_wrong_row_that_was_not_refused_first(
    mode: str, own_database: dict[str, Any], server: RedisServer
) -> None:
    scenario = Scenario(seed=2, writers=WRITERS[connection.vendor], **MODES[connection.vendor][mode])
    found = prove_refusals(scenario, own_database, server, {**LOSING, **EVICTING, **REPLACING}, SECONDS)
    assert [client["wrong"] for client in found["clients"]] == [[], [], []]
    assert all(client["refused"] for client in found["clients"])
    assert [client["twice"] for client in found["clients"]] == [0, 0, 0]
