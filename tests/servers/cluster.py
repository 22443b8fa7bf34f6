"""A Redis Cluster of servers that a test may kill, and whose slots it may move."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

import redis
import six
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.retry import Retry

from .redis_server import RedisServer, wait_until
from .tls import Certificates

# A node that doesn't answer for half a second is replaced, with seconds to spare on a busy machine for the vote.
CONFIG = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": "1000",
    "cluster-replica-validity-factor": "0",
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
    "repl-diskless-sync": "yes",
}
HANDOVER_SECONDS = 6.0
"""After so many a server has given up to take over."""
SLOTS = REDIS_CLUSTER_HASH_SLOTS


class Cluster:
    """Masters with equal parts of the slots, each with replicas of its own; started by the constructor.

    It can be used as a context manager, which stops it.
    """

    def __init__(
        self,
        kind: str,
        masters: int = 3,
        replicas: int = 0,
        config: Mapping[str, str] | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        """Start the servers and join them.

        Args:
            kind: a key of ``binaries.KINDS``.
            masters: how many there are.
            replicas: how many each master has.
            config: of all servers, on top of the tests' defaults.
            certificates: for TLS, among the servers and on ports of its own; see `RedisServer`.

        Raises:
            ServerMissing: this machine doesn't have the server.
        """
        self.kind = kind
        self._certificates = certificates
        config = {**CONFIG, **({"tls-cluster": "yes"} if certificates else {}), **(config or {})}
        self._servers = contextlib.ExitStack()
        try:
            self.nodes = [
                self._servers.enter_context(RedisServer(kind, config, certificates))
                for _ in range(masters * (1 + replicas))
            ]
            """All servers: first the masters, then the first master's replicas, ... as it was in the beginning."""
            self.masters = self.nodes[:masters]
            self._ids = {node: node.cli("CLUSTER", "MYID").decode() for node in self.nodes}
            self._join(replicas)
        except BaseException:
            self._servers.close()
            raise
        self.client = RedisCluster(
            host="127.0.0.1", port=self.nodes[0].port, socket_timeout=5.0, retry=Retry(NoBackoff(), 3)
        )
        """redis-py's own."""

    @property
    def options(self) -> dict[str, Any]:
        """What ``DIFFS_SETTINGS["redis"]`` takes to reach it."""
        return {"cluster": True, "startup_nodes": [("127.0.0.1", node.port) for node in self.nodes]}

    @property
    def tls_options(self) -> dict[str, Any] | None:
        """The same by TLS; ``None`` where it has no certificates."""
        if self._certificates is None:
            return None
        nodes = [("127.0.0.1", node.tls_port) for node in self.nodes]
        return {"cluster": True, "startup_nodes": nodes, **self._certificates.client_options}

    def cli(self, *command: str | int | bytes) -> None:
        """Run one command, which is about no key, on each master."""
        for node in self.masters:
            node.cli(*command)

    def replicas_of(self, master: RedisServer) -> list[RedisServer]:
        """The replicas that the constructor gave it."""
        count = len(self.nodes) // len(self.masters) - 1
        first = len(self.masters) + count * self.masters.index(master)
        return self.nodes[first : first + count]

    def master_of(self, key: str) -> RedisServer:
        """Whose slots a key's is of, as the first living server sees it."""
        slot = key_slot(key.encode())
        living = next(node for node in self.nodes if node.is_running)
        return next(node for node in self.nodes if node.port == _owner(living, slot))

    def move(self, slot: int, to: RedisServer) -> None:
        """Move a slot as ``redis-cli --cluster reshard`` does, a few keys at a time."""
        source = next(node for node in self.nodes if node.port == _owner(to, slot))
        to.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", self._ids[source])
        source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", self._ids[to])
        while keys := source.cli("CLUSTER", "GETKEYSINSLOT", slot, 5):
            source.cli("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)
        for node in (to, *(master for master in self.masters if master is not to)):
            node.cli("CLUSTER", "SETSLOT", slot, "NODE", self._ids[to])
        # One that hears of the new epoch too late would give the next slot that it gets back to whoever had it.
        wait_until(lambda: len({_epoch(node) for node in self.nodes}) == 1)
        wait_until(lambda: {_owner(node, slot) for node in self.nodes} == {to.port})

    def hand_over(self, to: RedisServer) -> None:
        """Have a living master's replica take its place, with all that it has; it is the replica then."""
        asked = float("-inf")

        def has_taken_over() -> bool:
            nonlocal asked
            if all(to.port in {owner[1] for _, _, owner, *_ in _slots(node)} for node in self.nodes):
                return True
            # It gives up by itself, and doesn't begin before it has heard from a master that has just come back.
            if time.monotonic() > asked + HANDOVER_SECONDS:
                with contextlib.suppress(redis.ResponseError):
                    to.cli("CLUSTER", "FAILOVER")
                    asked = time.monotonic()
            return False

        wait_until(has_taken_over)
        self.wait_until_it_serves()
        wait_until(lambda: all(_is_settled(node) for node in self.nodes))

    def come_back(self, node: RedisServer) -> None:
        """Start a killed master again, and wait until it has what whoever took its place has."""
        node.restart()
        wait_until(lambda: node.client.info("replication").get("master_link_status") == "up")

    def wait_until_it_serves(self) -> None:
        """Wait until every master that runs says that all slots are served, by others that run."""
        running = {node.port for node in self.nodes if node.is_running}

        def serves(node: RedisServer) -> bool:
            ranges = _slots(node)
            covered = sum(last + 1 - first for first, last, *_ in ranges)
            return (
                covered == SLOTS
                and {owner[1] for _, _, owner, *_ in ranges} <= running
                and b"cluster_state:ok" in node.cli("CLUSTER", "INFO")
            )

        wait_until(lambda: all(serves(node) for node in self.nodes if node.is_running))

    def stop(self) -> None:
        """End all servers."""
        self.client.close()
        self._servers.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _join(self, replicas: int) -> None:
        first, *others = self.nodes
        for number, (start, stop) in enumerate(_parts(SLOTS, len(self.masters))):
            # Redis 6.2 has no ADDSLOTSRANGE.
            self.masters[number].cli("CLUSTER", "ADDSLOTS", *range(start, stop))
            # Two that begin with the same epoch would have to agree on others first, which takes seconds.
            self.masters[number].cli("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in others:
            node.cli("CLUSTER", "MEET", "127.0.0.1", first.tls_port or first.port)
        wait_until(lambda: all(self._knows_all(node) for node in self.nodes))
        for master in self.masters:
            for replica in self.replicas_of(master):
                replica.cli("CLUSTER", "REPLICATE", self._ids[master])
        self.wait_until_it_serves()
        for replica in self.nodes[len(self.masters) :]:
            wait_until(lambda replica=replica: replica.client.info("replication").get("master_link_status") == "up")
        if replicas:
            wait_until(lambda: all(len(one) == 3 + replicas for node in self.nodes for one in _slots(node)))

    def _knows_all(self, node: RedisServer) -> bool:
        text = six.ensure_str(node.cli("CLUSTER", "NODES"))
        return all(identity in text for identity in self._ids.values()) and "handshake" not in text


def _slots(node: RedisServer) -> Sequence[Any]:
    """The raw reply: first slot, last slot, and then master and replicas with host, port and name each."""
    connection = redis.Connection(host="127.0.0.1", port=node.port, socket_timeout=5.0)
    try:
        connection.send_command("CLUSTER", "SLOTS")
        reply: Sequence[Any] = connection.read_response()
        return reply
    finally:
        connection.disconnect()


def _owner(node: RedisServer, slot: int) -> int:
    """The port of the slot's master, as a server sees it."""
    return next(int(owner[1]) for first, last, owner, *_ in _slots(node) if first <= slot <= last)


def _is_settled(node: RedisServer) -> bool:
    """Whether it is no replica, or one that has what its master has."""
    return bool(node.client.info("replication").get("master_link_status", "up") == "up")


def _epoch(node: RedisServer) -> str:
    lines = six.ensure_str(node.cli("CLUSTER", "INFO")).splitlines()
    return next(line for line in lines if line.startswith("cluster_current_epoch:"))


def _parts(count: int, number: int) -> Iterator[tuple[int, int]]:
    for part in range(number):
        yield count * part // number, count * (part + 1) // number
