"""What one server carries: the formulas beside a simulation that doesn't know them, and beside a server."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from benchmarks.capacity import checking, figures, paper, queueing
from benchmarks.capacity.paper import Figures, Load, Stream
from tests.servers import RedisServer

ROOT = Path(__file__).resolve().parent.parent.parent
FIGURES = Figures(
    append=20.0,
    empty_poll=15.0,
    full_poll=45.0,
    waking=30.0,
    feed_bytes=100.0,
    diff_bytes=50.0,
    append_traffic=300.0,
    empty_traffic=400.0,
    full_traffic=1000.0,
    site_poll=500.0,
)
LOAD = Load(name="some", objects=1000, writes=1000.0, feeds_of_a_diff=2, pollers=10_000, interval=10.0)


def test_what_arrives_is_appends_and_polls_with_and_without_news() -> None:
    assert paper.streams(FIGURES, LOAD) == [
        Stream(2000.0, 20e-6),
        Stream(900.0, 15e-6),
        Stream(100.0, 45e-6),
    ]
    assert paper.work(paper.streams(FIGURES, LOAD)) == pytest.approx(0.04 + 0.0135 + 0.0045)
    assert paper.traffic(FIGURES, LOAD) == pytest.approx(2000 * 300 + 900 * 400 + 100 * 1000)


@pytest.mark.parametrize("waking", [0.0, 30.0, 300.0])
@pytest.mark.parametrize("writes", [100.0, 5000.0, 15_000.0, 20_000.0])
def test_time_that_is_waited_and_worked_is_what_the_simulation_finds(waking: float, writes: float) -> None:
    found = dataclasses.replace(FIGURES, waking=waking)
    load = dataclasses.replace(LOAD, writes=writes)
    outcome = queueing.simulate(found, load, seconds=200_000 / (load.appends + load.polls), seed=3)
    arriving = paper.streams(found, load)
    assert outcome.requests == pytest.approx(200_000, rel=0.01)
    assert outcome.busy == pytest.approx(paper.busy(arriving, waking / 1e6), rel=0.02)
    assert outcome.mean_wait == pytest.approx(paper.mean_wait(arriving, waking / 1e6), rel=0.06)
    assert outcome.mean_wait < outcome.wait_99 <= outcome.longest_wait


def test_server_that_falls_behind_is_waited_for_without_end_and_always_busy() -> None:
    arriving = [Stream(60_000.0, 20e-6)]
    assert paper.work(arriving) == pytest.approx(1.2)
    assert paper.mean_wait(arriving, 0.0) == math.inf
    assert paper.busy(arriving, 30e-6) == 1.0


def test_clients_that_poll_in_step_wait_for_each_other() -> None:
    load = dataclasses.replace(LOAD, writes=0.0, news=0.0)
    outcome = queueing.simulate(FIGURES, load, seconds=10.0, spread=0.0)
    # The last of ten thousand waits for all others, the first of which woke the server.
    assert outcome.longest_wait == pytest.approx((9999 * 15 + 30) / 1e6)
    assert outcome.requests == 20_000 / 2


def test_nobody_comes_and_nobody_waits() -> None:
    outcome = queueing.simulate(FIGURES, dataclasses.replace(LOAD, writes=0.0, pollers=0), seconds=10.0)
    assert outcome == queueing.Outcome(0, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("writes", [0.03, 0.3, 3.0])
def test_feeds_and_diffs_that_are_kept_are_what_the_simulation_finds(writes: float) -> None:
    load = Load(name="some", objects=1000, writes=writes)
    feeds, diffs = paper.kept(load)
    feeds_found, diffs_found = queueing.simulate_keeping(load, objects=10_000)
    assert feeds_found == pytest.approx(feeds / load.objects, rel=0.05)
    assert diffs_found == pytest.approx(diffs / load.objects, rel=0.05)
    assert paper.memory(FIGURES, load) == pytest.approx(feeds * 100 + diffs * 50)


def test_shares_of_servers_and_processes_are_rounded_up() -> None:
    assert [paper.largest_share(servers) * 64 for servers in (1, 2, 3, 5, 64)] == [64, 32, 22, 13, 1]
    assert paper.site_processes(FIGURES, LOAD, 0.6) == 1
    assert paper.site_processes(FIGURES, dataclasses.replace(LOAD, pollers=13_000), 0.6) == 2


def test_most_that_one_server_does_is_a_share_of_its_time() -> None:
    assert paper.most_appends(FIGURES, 0.5) == 25_000
    assert paper.most_polls(FIGURES, 0.5, 0.0) == pytest.approx(1e6 / 30)
    assert paper.most_polls(FIGURES, 0.5, 1.0) == pytest.approx(1e6 / 90)


def test_caches_let_a_poll_of_each_feed_through_before_an_answer_is_old() -> None:
    assert paper.polls_behind_a_cache(1000, 2, 1.0) == 2000


@pytest.mark.parametrize("command", [("PING",), ("SET", "a key", b"\r\n\x00", 17), ("GET", "äöü")])
def test_requests_are_packed_as_the_client_packs_them(command: tuple[str | bytes | int, ...]) -> None:
    packed = redis.Connection().pack_command(*command)
    assert figures.packed(command) == b"".join(packed)


def test_real_server_answers_what_the_package_would_send(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "REQUESTS", 2000)
    load = Load(name="short", objects=500, writes=200.0, pollers=1000)
    found = checking.check(redis_server, FIGURES, load, clients=2, seconds=0.5)
    assert found.requests > 0
    assert 0 < found.promised < 1
    assert 0 < found.found < 1.5


def test_whole_of_it_is_told_from_figures_of_before(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(dataclasses.asdict(FIGURES)))
    load = ("--objects", "50", "--writes", "2", "--pollers", "80")
    command = (sys.executable, "benchmarks/simulation.py", "--figures", str(path), *load)
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = dict(line.split("  ", 1) for line in told.splitlines() if "  " in line)
    assert lines["an append of one diff"].split() == ["20.0", "µs", "of", "the", "server's", "core,", "300", "bytes"]
    assert lines["writes a second"].strip() == "2"
    assert lines["appends a second, where nobody polls"].strip() == "25,000"
    assert "servers that divide the shards of this load" in told
