"""The commands see all masters of a cluster, and say which."""

from __future__ import annotations

import json
import re

import pytest

from tests.servers import Cluster
from tests.servers.redis_server import free_port

from .conftest import MINUTE, Fill, Run

FEEDS = {f"testapp.question:{pk}": [50 * MINUTE, 5.0] for pk in range(30)}


@pytest.fixture(autouse=True)
def _filled(cluster: Cluster, fill: Fill) -> None:
    fill(FEEDS)


def addresses(cluster: Cluster) -> list[str]:
    return [f"redis://127.0.0.1:{node.port}/0" for node in cluster.masters]


def test_status_counts_the_feeds_of_all_masters_and_names_them(cluster: Cluster, run: Run) -> None:
    status = json.loads(run("diffs_status", "--format", "json").out)
    assert (status["total"]["feeds"], status["total"]["diffs"]) == (30, 60)
    assert [server["address"] for server in status["servers"]] == addresses(cluster)
    assert {server["role"] for server in status["servers"]} == {"master"}
    assert "server" not in status
    assert status["warnings"] == []


def test_table_has_a_line_for_each_master(cluster: Cluster, run: Run) -> None:
    headings, *rows, empty, _ = run("diffs_status").lines[:6]
    assert re.split(r" {2,}", headings) == ["Server", "Address", "Memory", "Eviction", "Persistence", "Compact up to"]
    assert [re.split(r" {2,}", row)[1] for row in rows] == addresses(cluster)
    assert empty == ""


def test_warning_of_one_master_names_it_and_one_of_all_does_not(cluster: Cluster, run: Run) -> None:
    cluster.masters[1].cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    cluster.cli("CONFIG", "SET", "zset-max-ziplist-value", "64")
    try:
        ran = run("diffs_status", "--format", "json", "--check")
    finally:
        cluster.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
        cluster.cli("CONFIG", "SET", "zset-max-ziplist-value", "256")
    messages = {warning["id"]: warning["message"] for warning in json.loads(ran.out)["warnings"]}
    assert messages.keys() == {"eviction", "compact"}
    assert messages["eviction"].startswith(f"{addresses(cluster)[1]}: The eviction policy is allkeys-lru")
    assert messages["compact"].startswith("zset-max-listpack-value is 64")
    assert str(ran.error) == "diffs_status has warnings: compact, eviction"


def test_pruning_prunes_the_feeds_of_all_masters(cluster: Cluster, run: Run) -> None:
    assert run("prune_diffs", "--older-than", "10m").out.startswith("30 feeds seen, 30 diffs removed")
    assert run("prune_diffs", "--older-than", "10m").out.startswith("30 feeds seen, 0 diffs removed")
    status = json.loads(run("diffs_status", "--format", "json").out)
    assert (status["total"]["feeds"], status["total"]["diffs"]) == (30, 30)


@pytest.mark.parametrize("command", ["prune_diffs", "diffs_status"])
def test_cluster_that_is_away_is_named(command: str, run: Run, settings: object) -> None:
    port = free_port()
    settings.DIFFS_SETTINGS = {"redis": {"cluster": True, "host": "127.0.0.1", "port": port}}  # type: ignore[attr-defined]
    assert f"at the cluster of 127.0.0.1:{port} (ConnectionError)" in str(run(command).error)
