"""P4 when a server is started again, emptied, or given older data, and when its clock is set."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from diffs.cursor import Cursor
from diffs.store import Read, Store
from tests.servers import RedisServer

from .feeds import Clock, add, cursor_now, feed, numbers, positions, read_all, refusal

pytestmark = pytest.mark.store

AOF = {"appendonly": "yes", "appendfsync": "always"}
PERSISTENCE = {"nothing": {}, "rdb": {}, "aof": AOF, "aof, every second": {**AOF, "appendfsync": "everysec"}}


@contextlib.contextmanager
def started(kind: str, keeps: str) -> Iterator[RedisServer]:
    """A server that keeps its data in a way of `PERSISTENCE`."""
    with RedisServer(kind, PERSISTENCE[keeps]) as server:
        if keeps == "rdb":
            # Redis 6.2 doesn't take that as an argument.
            server.cli("CONFIG", "SET", "save", "3600 1")
        yield server


@contextlib.contextmanager
def process(server: RedisServer) -> Iterator[Store]:
    """A store as a process has it that begins now."""
    store = Store(redis.Redis(**server.options), "diffs")
    try:
        yield store
    finally:
        store.close()


def two_diffs_and_where_readers_stand(server: RedisServer) -> list[Cursor]:
    """One who has neither, one who has the first, which alone may be on the disk, and one who has both."""
    with process(server) as store:
        cursors = [cursor_now(store)]
        add(store, 1)
        cursors.append(read_all(store).cursor)
        if server.client.config_get("save")["save"]:
            server.cli("SAVE")
        add(store, 2)
        return [*cursors, read_all(store).cursor]


def everybody_is_refused_and_can_go_on(server: RedisServer, cursors: list[Cursor], *, kept: int, appends: int) -> None:
    with process(server) as store:
        # What comes before anybody reads takes the clock beyond what was handed out.
        add(store, *range(10, 10 + appends))
        assert store.client.zcard(store.keys.feed(feed().name)) == kept + appends
        assert [refusal(store, cursor) for cursor in cursors] == ["reset"] * len(cursors)
        # Data that began anew are whole; of older ones nobody knows what is missing.
        assert numbers(read_all(store)) == ([] if kept else list(range(10, 10 + appends)))
        fresh = cursor_now(store)
        add(store, 20)
        assert [refusal(store, cursor) for cursor in cursors] == ["reset"] * len(cursors)
        assert numbers(store.read_one(Read(feed(), 9, fresh))) == [20]


@pytest.mark.parametrize("appends", [0, 1])
@pytest.mark.parametrize(
    ("keeps", "how", "kept"),
    [
        ("nothing", "killed", 0),
        ("nothing", "ended", 0),
        ("rdb", "killed", 1),
        ("rdb", "ended", 2),
        ("aof", "killed", 2),
        ("aof", "ended", 2),
        ("aof, every second", "killed", 2),
        ("aof, every second", "ended", 2),
    ],
)
def test_p4_server_that_was_started_again_refuses_everybody_whatever_it_kept(
    store_server: RedisServer, keeps: str, how: str, kept: int, appends: int
) -> None:
    with started(store_server.kind, keeps) as server:
        cursors = two_diffs_and_where_readers_stand(server)
        if how == "killed":
            server.kill()
        server.restart()
        everybody_is_refused_and_can_go_on(server, cursors, kept=kept, appends=appends)


@pytest.mark.parametrize("appends", [0, 1])
@pytest.mark.parametrize("keeps", ["aof", "rdb"])
def test_p4_server_with_an_older_copy_of_its_data_refuses_everybody(
    store_server: RedisServer, tmp_path: Path, keeps: str, appends: int
) -> None:
    with started(store_server.kind, keeps) as server:
        cursors = two_diffs_and_where_readers_stand(server)
        server.cli("SAVE")
        server.kill()
        copy_data(server.folder, tmp_path)
        server.restart()
        with process(server) as store:
            cursors.append(cursor_now(store))
            add(store, 3, 4)
            cursors.append(read_all(store).cursor)
        server.cli("SAVE")
        server.kill()
        copy_data(tmp_path, server.folder)
        server.restart()
        everybody_is_refused_and_can_go_on(server, cursors, kept=2, appends=appends)


def copy_data(source: Path, target: Path) -> None:
    """Copy what a server has on the disk, in the place of what is there."""
    for old in [*target.glob("appendonly*"), *target.glob("dump.rdb")]:
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    for name in [*source.glob("appendonly*"), *source.glob("dump.rdb")]:
        shutil.copytree(name, target / name.name) if name.is_dir() else shutil.copy(name, target)


@pytest.mark.parametrize("appends", [0, 1])
@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB"])
def test_p4_emptied_server_refuses_everybody(store_server: RedisServer, command: str, appends: int) -> None:
    cursors = two_diffs_and_where_readers_stand(store_server)
    store_server.cli(command)
    everybody_is_refused_and_can_go_on(store_server, cursors, kept=0, appends=appends)


def test_p4_clock_that_is_set_back_by_an_hour_and_forth_again_makes_no_hole(store: Store, clock: Clock) -> None:
    behind = cursor_now(store)
    reader = behind
    seen: list[int] = []
    all_positions: list[int] = []
    for number, hours in enumerate([0, -1, 0, 1, 0, -1, 1]):
        clock.advance(3600 * hours)
        add(store, number)
        page = store.read_one(Read(feed(), 9, reader))
        reader = page.cursor
        seen += numbers(page)
        all_positions += positions(page)
    assert seen == list(range(7))
    assert all_positions == sorted(set(all_positions))
    assert numbers(store.read_one(Read(feed(), 9, behind))) == list(range(7))


def test_p4_clock_that_was_an_hour_ahead_refuses_what_it_has_trimmed(store: Store, clock: Clock) -> None:
    cursor = cursor_now(store)
    add(store, 1)
    clock.advance(3601)
    add(store, 2)
    clock.advance(-3601)
    assert refusal(store, cursor) == "window"
    fresh = cursor_now(store)
    add(store, 3)
    assert numbers(store.read_one(Read(feed(), 9, fresh))) == [3]
