"""Writers are killed and Redis fails; what was committed is in the outbox until Redis has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from diffs.codec import decode
from tests.order.proof import Run
from tests.order.scenario import Scenario
from tests.servers import RedisServer

from .proof import prove_delivery

SECONDS = 4.0
WRITERS = {"postgresql": 8, "sqlite": 3}
KILLS = 10
# `make chaos` runs both for longer.
FLUSHES = {"postgresql": ["commit"], "sqlite": ["background"]}

pytestmark = pytest.mark.slow


@pytest.mark.database
@pytest.mark.parametrize("flush", FLUSHES[connection.vendor])
def test_p6_each_committed_change_is_told_once_or_replaced_by_a_later_reading_and_no_other_is_told(
    flush: str, own_database: dict[str, Any], server: RedisServer
) -> None:
    scenario = Scenario(seed=3, writers=WRITERS[connection.vendor], outbox=True, kills=5.0, journal=True, flush=flush)
    found = prove_delivery(scenario, own_database, server, SECONDS, KILLS)
    account = found["account"]
    print(account)
    assert (account["lost"], account["doubled"], account["uncommitted"]) == ([], [], [])
    assert account["committed"] == account["delivered"] + account["replaced"] + account["refused"] > 0
    assert [client["wrong"] for client in found["clients"]] == [[], [], []]
    assert [client["twice"] for client in found["clients"]] == [0, 0, 0]


def test_planted_loss_and_planted_double_are_found_in_a_run(own_database: dict[str, Any], server: RedisServer) -> None:
    # Nothing comes late but the first of each writer, so that each diff is its change's own.
    calm = Scenario(seed=3, outbox=True, journal=True, own_rows=True, writers=3, delay=0.0)
    with Run(calm, own_database, server.options) as run:
        wait_for(lambda: run.count()["diffs"] > 20)
        # A diff that came meanwhile could be late because of what is planted.
        run.pause()
        assert run.account()["lost"] == []
        (feed,) = server.client.scan_iter("*:feed:order.row")
        diffs = server.client.zrange(feed, 0, -1, withscores=True)
        (lost, _), (doubled, position) = diffs[-2:]
        server.client.zrem(feed, lost)
        # Another nonce makes another diff of it.
        server.client.zadd(feed, {doubled[:8] + bytes(4) + doubled[12:]: position + 1})
        account = run.account()
        run.finish()
    assert account["lost"] == [f"order.row: {name_of(lost)}"]
    assert account["doubled"] == [f"order.row: {name_of(doubled)}"]
    assert account["uncommitted"] == []


def name_of(member: bytes) -> str:
    change = decode(member)
    assert change.row is not None
    return f"{change.actor} of {change.row.pk}"


def wait_for(condition: Callable[[], bool], patience: float = 60.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
