"""Redis fails while nothing but the processes themselves remember what it misses."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from tests.order.scenario import Scenario
from tests.servers import RedisServer

from .injecting import HARMLESS, LOSING, REPLACING
from .proof import prove_refusals

SECONDS = 10.0
WRITERS = {"postgresql": 8, "sqlite": 3}
FAULTS = {**HARMLESS, **LOSING, **REPLACING}

pytestmark = [pytest.mark.database, pytest.mark.slow]


@pytest.mark.parametrize(
    "options",
    [{"own_rows": True}, {"versions": "database"}, {"versions": "database", "flush": "background", "moves": False}],
    ids=["clock", "database", "database in the background"],
)
def test_p6_no_client_ends_with_a_wrong_row_that_was_not_refused_first(
    options: dict[str, Any], own_database: dict[str, Any], server: RedisServer
) -> None:
    scenario = Scenario(seed=2, writers=WRITERS[connection.vendor], **options)
    found = prove_refusals(scenario, own_database, server, FAULTS, SECONDS)
    assert [client["wrong"] for client in found["clients"]] == [[], [], []]
    assert all(client["refused"] for client in found["clients"])
    assert [client["twice"] for client in found["clients"]] == [0, 0, 0]
