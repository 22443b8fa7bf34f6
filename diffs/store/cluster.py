"""A Redis Cluster: which master has which slot, and trips to several of them at once.

redis-py's own cluster client connects where it is made, tries for seconds, needs a command more of its user, and its
pipelines end without saying what became of a part. Here a slot that has moved is followed, and everything else that
keeps one command from its answer is an error of the whole trip: a cluster counts as away as a whole.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from six import ensure_binary, ensure_str

from .lines import Command, Lines, alive

Address = tuple[str, int]

PAUSES = (0.01, 0.02, 0.04, 0.08, 0.16)
"""How often a trip follows its slots, and how many seconds it waits each time for one whose keys are just moving."""
LOOK_SECONDS = 1.0
"""How long nodes are asked, one after the other, where the slots are; the last one's timeouts come on top."""

_ASKING: Command = ("ASKING",)
_SCRIPTS = ("EVALSHA", "EVAL")
# What a trip can't do anything about; AskError is also what tells that a slot has moved.
_UNANSWERED = (redis.exceptions.AskError, redis.exceptions.TryAgainError, redis.exceptions.ClusterDownError)


_NAMES: dict[str, Callable[[str], redis.ResponseError]] = {
    "MOVED": redis.exceptions.MovedError,
    "ASK": redis.exceptions.AskError,
    "TRYAGAIN": redis.exceptions.TryAgainError,
    "CLUSTERDOWN": redis.exceptions.ClusterDownError,
    "MASTERDOWN": redis.exceptions.MasterDownError,
}


class _Way(NamedTuple):
    """Where a command goes."""

    address: Address
    is_asking: bool = False
    """Whether the slot is only about to move there."""


class Cluster:
    """The masters of a cluster; can be used like `Lines`.

    Args:
        seeds: nodes to ask first; the others are found by asking.
        make_client: makes the client of a node.
        remap: gives the address under which a node is reached from here, for the one that it tells.
    """

    def __init__(
        self,
        seeds: Iterable[Address],
        make_client: Callable[[str, int], redis.Redis],
        remap: Callable[[Address], Address] | None = None,
    ) -> None:
        self.seeds = tuple(seeds)
        self._make_client = make_client
        self._remap = remap or (lambda address: address)
        self._nodes: dict[Address, Lines] = {}
        self._known: frozenset[Address] = frozenset()
        self._owners: list[Address | None] = []
        """By slot; empty where nobody was asked yet, or what was told turned out to be wrong."""
        # Processes that begin together are not to choose alike.
        self._turns = itertools.count(random.randrange(REDIS_CLUSTER_HASH_SLOTS))
        self._lock = threading.Lock()
        alive.add(self)

    def trip(self, commands: Sequence[Command]) -> list[Any]:
        """Send each command to the master of its key, those of one master together.

        Returns:
            As `Lines.trip` does.

        Raises:
            redis.RedisError: not all of them could be asked. What the others were asked they may have done.
        """
        slots = [key_slot(_key(command)) for command in commands]
        before = self._owners_of(slots) if self._owners else None
        try:
            return self._trip(slots, commands)
        except redis.TimeoutError:
            self._owners = []
            raise
        except redis.ConnectionError:
            self._owners = []
            # Another master may have taken the place of one that is gone.
            if before is None or self._owners_of(slots) == before:
                raise
        return self._trip(slots, commands)

    def servers(self) -> list[redis.Redis]:
        """Clients of all masters, in the order of their slots.

        Raises:
            redis.RedisError: no node says who they are.
        """
        return [self._node(address).client for address in dict.fromkeys(self._look()) if address is not None]

    def publisher(self) -> redis.Redis:
        """The client of a master, each time of another: what one publishes can be heard on all.

        Raises:
            redis.RedisError: no node says who they are.
        """
        servers = self.servers()
        return servers[next(self._turns) % len(servers)]

    def close(self) -> None:
        """Close the connections; the next use opens others."""
        with self._lock:
            nodes, self._nodes, self._owners = self._nodes, {}, []
        for node in nodes.values():
            node.discard()

    def forget(self) -> None:
        """In a forked child: another thread may have held the lock."""
        self._lock = threading.Lock()

    def _trip(self, slots: Sequence[int], commands: Sequence[Command]) -> list[Any]:
        replies: list[Any] = [None] * len(commands)
        ways = {index: _Way(address) for index, address in enumerate(self._owners_of(slots))}
        for pause in PAUSES:
            self._send(ways, commands, replies)
            ways = {
                index: further
                for index, way in ways.items()
                if isinstance(replies[index], _UNANSWERED) and (further := self._further(way, replies[index]))
            }
            if not ways:
                break
            if any(isinstance(replies[index], redis.exceptions.TryAgainError) for index in ways):
                time.sleep(pause)
        for reply in replies:
            if isinstance(reply, _UNANSWERED):
                self._owners = []
                raise reply
        return replies

    def _send(self, ways: dict[int, _Way], commands: Sequence[Command], replies: list[Any]) -> None:
        parts: dict[_Way, list[int]] = defaultdict(list)
        for index, way in ways.items():
            parts[way].append(index)
        begun: list[tuple[_Way, list[int], Lines, list[Command], Any]] = []
        try:
            for way, indexes in parts.items():
                node = self._node(way.address)
                # Asking holds for the next command only.
                before = (_ASKING,) if way.is_asking else ()
                part = [command for index in indexes for command in (*before, commands[index])]
                begun.append((way, indexes, node, part, node.begin(part) if len(parts) > 1 else None))
            while begun:
                way, indexes, node, part, connection = begun.pop()
                found = node.end(part, connection)
                for index, reply in zip(indexes, found[1::2] if way.is_asking else found, strict=True):
                    replies[index] = _named(reply) if type(reply) is redis.ResponseError else reply
        finally:
            for _, _, node, _, connection in begun:
                node.abandon(connection)

    def _further(self, way: _Way, error: redis.ResponseError) -> _Way | None:
        """Where to send a command instead."""
        if isinstance(error, redis.exceptions.TryAgainError):
            return way
        if not isinstance(error, redis.exceptions.AskError):
            return None
        # A node that has no name for another leaves its host out: it is on the same one.
        address = self._remap((error.host, error.port)) if error.host else (way.address[0], error.port)
        is_moved = isinstance(error, redis.exceptions.MovedError)
        if is_moved and (owners := self._owners):
            owners[error.slot_id] = address
        return _Way(address, is_asking=not is_moved)

    def _owners_of(self, slots: Sequence[int]) -> list[Address]:
        owners = self._owners or self._look()
        found = [address for slot in slots if (address := owners[slot]) is not None]
        if len(found) < len(slots):
            self._owners = []
            raise redis.exceptions.ClusterDownError("No master has the slot.")
        return found

    def _node(self, address: Address) -> Lines:
        node = self._nodes.get(address)
        if node is None:
            with self._lock:
                node = self._nodes.get(address)
                if node is None:
                    node = self._nodes[address] = Lines(self._make_client(*address))
        return node

    def _look(self) -> list[Address | None]:
        """Ask some node which master has which slot.

        Raises:
            redis.RedisError: none says.
        """
        # Another one each time: a node that is cut off from the others goes on telling what was so.
        candidates = random.sample(sorted(self._known), len(self._known))
        candidates += [seed for seed in self.seeds if seed not in self._known]
        failure: Exception = redis.ConnectionError("No node of the cluster was asked.")
        deadline = time.monotonic() + LOOK_SECONDS
        for address in candidates:
            try:
                (reply,) = self._node(address).trip([("CLUSTER", "SLOTS")])
            except (redis.RedisError, OSError) as error:
                failure = error
            else:
                if not isinstance(reply, Exception):
                    return self._learn(address, reply)
                failure = reply
            if time.monotonic() > deadline:
                break
        raise failure

    def _learn(self, told_by: Address, reply: list[Any]) -> list[Address | None]:
        owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        known = set()
        for first, last, *nodes in reply:
            addresses = [self._address(node, told_by) for node in nodes]
            known.update(addresses)
            owners[first : last + 1] = [addresses[0]] * (last + 1 - first)
        with self._lock:
            self._owners, self._known = owners, frozenset(known)
            gone = [self._nodes.pop(address) for address in self._nodes.keys() - known]
        for node in gone:
            node.discard()
        return owners

    def _address(self, node: Sequence[Any], told_by: Address) -> Address:
        host, port, *_ = node
        # A node that doesn't know its own address leaves it out: it is the one that was asked.
        return self._remap((ensure_str(host), port)) if host and host != b"?" else (told_by[0], port)


def _named(error: redis.ResponseError) -> redis.ResponseError:
    """The same error as newer releases of redis-py name it; older ones do so for their own cluster client only."""
    code, _, rest = str(error).partition(" ")
    kind = _NAMES.get(code)
    return error if kind is None else kind(rest)


def _key(command: Command) -> bytes:
    """A command's first key: all its keys are of one slot."""
    return ensure_binary(command[3] if command[0] in _SCRIPTS else command[1])  # type: ignore[arg-type]
