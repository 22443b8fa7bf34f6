"""The master is the one that Sentinel names, also after it was replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from diffs.errors import StoreUnavailable
from diffs.store import Floors, Read, Store, Upkeep, get_store
from tests.servers import RedisServer, Watched
from tests.servers.sentinel import NAME

from .conftest import DIALECTS
from .feeds import add, cursor_now, feed, numbers, read_all, refusal
from .processes import wait_for
from .racing import Race, race

pytestmark = [pytest.mark.store, pytest.mark.slow]


@pytest.fixture
def watched(store_server: RedisServer, settings: Any) -> Iterator[Watched]:
    """A master, a replica and sentinels for this test alone, named in the settings."""
    with Watched(store_server.kind) as made:
        settings.DIFFS_SETTINGS = {"redis": made.options}
        yield made


@pytest.fixture
def store(watched: Watched) -> Store:
    return get_store()


@pytest.fixture
def running(watched: Watched, store: Store, tmp_path: Path) -> Iterator[Race]:
    with race(store, watched.options, tmp_path) as happening:
        yield happening


def role(server: RedisServer) -> str | None:
    # A server that is told another role closes its connections.
    with contextlib.suppress(redis.ConnectionError):
        return str(server.client.info("replication")["role"])
    return None


def test_master_that_the_sentinels_name_is_the_server(watched: Watched, settings: Any) -> None:
    for number, dialect in enumerate(DIALECTS.values(), 1):
        settings.DIFFS_SETTINGS = {"redis": {**watched.options, **dialect}}
        store = get_store()
        add(store, number)
        assert numbers(read_all(store)) == [*range(1, number + 1)]
    assert watched.master.client.zcard(store.keys.feed(feed().name)) == len(DIALECTS)
    assert [server.address for server in Upkeep(store).servers()] == [address_of(watched.master)]


def test_master_that_is_replaced_while_it_lives_is_left_for_the_new_one(watched: Watched, store: Store) -> None:
    add(store, 1)
    with redis.Redis(port=watched.sentinels[0]) as sentinel:
        sentinel.execute_command("SENTINEL", "FAILOVER", NAME)
    wait_for(lambda: watched.is_promoted(watched.replica))
    wait_for(lambda: role(watched.master) == "slave")
    wait_for(lambda: store.raise_floors(Floors()))
    cursor = cursor_now(store)
    add(store, 2)
    assert numbers(store.read_one(Read(feed=feed(), cursor=cursor, limit=9))) == [2]
    assert [server.address for server in Upkeep(store).servers()] == [address_of(watched.replica)]


def address_of(server: RedisServer) -> str:
    return f"redis://127.0.0.1:{server.port}/0 ({NAME})"


def test_p4_diff_that_a_promoted_replica_lacks_is_not_passed_over(watched: Watched, store: Store) -> None:
    add(store, 1)
    behind = cursor_now(store)
    watched.replica.fall_behind(watched.master)
    add(store, 2)
    ahead = cursor_now(store)
    watched.master.kill()
    watched.replica.resume()
    wait_for(lambda: watched.is_promoted(watched.replica))
    wait_for(lambda: store.raise_floors(Floors()))
    add(store, 3)
    assert [refusal(store, cursor) for cursor in (behind, ahead)] == ["reset", "reset"]
    add(store, 4)
    assert numbers(read_all(store))[-1:] == [4]


def test_p4_dead_master_whose_replica_lacks_the_last_writes_is_noticed(running: Race, watched: Watched) -> None:
    watched.replica.fall_behind(watched.master)
    running.go_on(100)
    watched.master.kill()
    watched.replica.resume()
    wait_for(lambda: watched.is_promoted(watched.replica))
    running.go_on()
    assert running.refused > 0
    running.end()


def test_sentinels_that_know_no_master_are_an_outage_that_ends(
    watched: Watched, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    add(store, 1)
    cursor = cursor_now(store)
    watched.replica.kill()
    watched.master.kill()
    add(store, 2)
    with pytest.raises(StoreUnavailable):
        read_all(store)
    watched.master.restart()
    wait_for(lambda: store.raise_floors(Floors()))
    assert refusal(store, cursor) == "reset"
    assert [message.partition(" (")[0] for message in caplog.messages] == ["Redis is away", "Redis is back."]
