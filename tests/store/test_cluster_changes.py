"""Slots move and masters die while a process writes: whoever reads is right, or was refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot

from diffs.store import Store
from diffs.store.connection import Nodes
from tests.servers import Cluster, RedisServer

from .feeds import add, cursor_now, feed, numbers, read_all, refusal
from .processes import wait_for
from .racing import FEEDS, Race, race

pytestmark = [pytest.mark.store, pytest.mark.slow]


@pytest.fixture
def own_cluster(store_server: RedisServer) -> Iterator[Cluster]:
    """Three masters, each with a replica, for this test alone."""
    with Cluster(store_server.kind, replicas=1) as made:
        yield made


@pytest.fixture
def store(own_cluster: Cluster) -> Iterator[Store]:
    """What the settings make of it."""
    made = Store(Nodes(own_cluster.options).cluster(), "diffs")
    yield made
    made.close()


@pytest.fixture
def running(own_cluster: Cluster, store: Store, tmp_path: Path) -> Iterator[Race]:
    with race(store, own_cluster.options, tmp_path) as happening:
        yield happening


def test_p4_slots_that_move_while_diffs_are_written_lose_none(
    running: Race, own_cluster: Cluster, store: Store
) -> None:
    metas = {store.keys.meta(one.name.shard) for one in FEEDS}
    for _ in range(3):
        for meta in metas:
            before = own_cluster.masters.index(own_cluster.master_of(meta))
            own_cluster.move(key_slot(meta.encode()), own_cluster.masters[(before + 1) % 3])
        running.go_on()
    running.end()


def test_p4_master_that_hands_over_to_its_replica_is_left_without_an_outage(
    running: Race, own_cluster: Cluster, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    meta = store.keys.meta(FEEDS[0].name.shard)
    (replica,) = own_cluster.replicas_of(own_cluster.master_of(meta))
    replica.cli("CLUSTER", "FAILOVER")
    wait_for(lambda: own_cluster.master_of(meta) is replica)
    running.go_on()
    running.end()
    assert running.outages == 0
    assert caplog.messages == []


def test_p4_diff_that_a_promoted_replica_lacks_is_not_passed_over(
    own_cluster: Cluster, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    add(store, 1)
    behind = cursor_now(store)
    master = own_cluster.master_of(store.keys.meta(feed().name.shard))
    (replica,) = own_cluster.replicas_of(master)
    replica.fall_behind(master)
    add(store, 2)
    ahead = cursor_now(store)
    master.kill()
    replica.resume()
    own_cluster.wait_until_it_serves()
    add(store, 3)
    # Who asks when another has taken the dead one's place notices nothing else.
    assert caplog.messages == []
    assert [refusal(store, cursor) for cursor in (behind, ahead)] == ["reset", "reset"]
    add(store, 4)
    assert numbers(read_all(store))[-1:] == [4]


def test_p4_dead_master_whose_replica_lacks_the_last_writes_is_noticed(
    running: Race, own_cluster: Cluster, store: Store
) -> None:
    master = own_cluster.master_of(store.keys.meta(FEEDS[0].name.shard))
    (replica,) = own_cluster.replicas_of(master)
    replica.fall_behind(master)
    running.go_on(100)
    master.kill()
    replica.resume()
    own_cluster.wait_until_it_serves()
    assert own_cluster.master_of(store.keys.meta(FEEDS[0].name.shard)) is replica
    running.go_on()
    assert running.refused > 0
    running.end()
