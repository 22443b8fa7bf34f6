"""The same on MariaDB, where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.needs import missing
from tests.order.modes import MODES
from tests.order.proof import prove_order
from tests.order.scenario import Scenario
from tests.servers import MariaDb, RedisServer, ServerMissing, mariadb_database

SECONDS = 1.5
INVERSIONS = 10

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    """A server for the tests of this file."""
    try:
        server = MariaDb()
    except ServerMissing as error:
        missing(str(error))
    with server:
        yield server


@pytest.fixture
def own_database(mariadb: MariaDb) -> Iterator[dict[str, Any]]:
    """An empty one."""
    with mariadb_database(mariadb) as database:
        yield database


@pytest.mark.parametrize("mode", ["outbox", "narrow"])
def test_p7_clients_that_apply_diffs_in_order_end_with_the_rows_that_many_wrote_at_once(
    mode: str, own_database: dict[str, Any], server: RedisServer
) -> None:
    found = prove_order(Scenario(seed=4, **MODES[mode]), own_database, server.options, SECONDS, INVERSIONS)
    assert [client["wrong"] for client in found["clients"]] == [[], [], []]
    assert [client["versioned"] for client in found["clients"]] == [[], [], []]
    assert [client["twice"] for client in found["clients"]] == [0, 0, 0]
    assert found["late"] > 0
