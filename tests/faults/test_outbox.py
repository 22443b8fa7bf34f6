"""Writers are killed and Redis fails; what was committed is in the outbox until Redis has it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from tests.order.scenario import Scenario
from tests.servers import RedisServer

from .injecting import HARMLESS, LOSING, REPLACING
from .proof import prove_delivery, prove_refusals

SECONDS = 10.0
WRITERS = {"postgresql": 8, "sqlite": 3}
KILLS = 30

pytestmark = [pytest.mark.database, pytest.mark.slow]


def scenario(**options: Any) -> Scenario:
    return Scenario(seed=3, writers=WRITERS[connection.vendor], outbox=True, kills=5.0, **options)


@pytest.mark.parametrize("flush", ["commit", "background"])
def test_p6_each_committed_change_is_told_once_or_replaced_by_a_later_reading_and_no_other_is_told(
    flush: str, own_database: dict[str, Any], server: RedisServer
) -> None:
    found = prove_delivery(scenario(journal=True, flush=flush), own_database, server, SECONDS, KILLS)
    account = found["account"]
    print(account)
    assert (account["lost"], account["doubled"], account["uncommitted"]) == ([], [], [])
    assert account["committed"] == account["delivered"] + account["replaced"] > 0
    assert [client["wrong"] for client in found["clients"]] == [[], [], []]
    assert [client["twice"] for client in found["clients"]] == [0, 0, 0]


def test_p6_where_redis_loses_data_no_client_ends_with_a_wrong_row_that_was_not_refused_first(
    own_database: dict[str, Any], server: RedisServer
) -> None:
    found = prove_refusals(scenario(), own_database, server, {**LOSING, **REPLACING, **HARMLESS}, SECONDS)
    assert [client["wrong"] for client in found["clients"]] == [[], [], []]
    assert all(client["refused"] for client in found["clients"])
