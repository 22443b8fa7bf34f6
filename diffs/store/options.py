"""What ``DIFFS_SETTINGS["redis"]`` takes, and what of it can't be meant."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import redis
from redis.connection import parse_url

from diffs.conf import NAME

ADDRESS = frozenset({"url", "host", "port", "unix_socket_path"})
SENTINEL = frozenset({"sentinels", "master_name", "sentinel_kwargs", "min_other_sentinels"})
CLUSTER = frozenset({"cluster", "startup_nodes", "address_remap"})
OWN = frozenset({"url", "embedded", "directory"}) | SENTINEL | CLUSTER
"""What no client of one server takes."""
REPLICAS = ("load_balancing_strategy", "read_from_replicas")

_ONE_SERVER_S = ("connection_pool", "unix_socket_path")


class Fault(NamedTuple):
    """Why options can't be used."""

    kind: Literal["two servers", "replicas", "several servers"]
    message: str
    hint: str


def known_arguments() -> frozenset[str]:
    """The names that ``DIFFS_SETTINGS["redis"]`` takes."""
    return OWN | inspect.signature(redis.Redis).parameters.keys()


def is_cluster(options: Mapping[str, Any]) -> bool:
    """Whether the options name a cluster."""
    return bool(options.get("cluster"))


def is_sentinel(options: Mapping[str, Any]) -> bool:
    """Whether the options name a server that Sentinel watches."""
    return "sentinels" in options


def faults(options: Mapping[str, Any]) -> Iterator[Fault]:
    """What of the options can't be meant, beyond what redis-py itself refuses."""
    yield from _of_replicas(options)
    yield from _of_two_servers(options)
    if is_sentinel(options):
        yield from _of_sentinel(options)
    elif alone := sorted(SENTINEL & options.keys()):
        yield _fault(f"has {_named(alone)}, but no 'sentinels'.", "Name them: 'sentinels': [('10.0.0.1', 26379), ...].")
    if is_cluster(options):
        yield from _of_cluster(options)
    elif alone := sorted(options.keys() & CLUSTER - {"cluster"}):
        yield _fault(f"has {_named(alone)}, which is for a cluster only.", "Add 'cluster': True, or leave it out.")


def _of_replicas(options: Mapping[str, Any]) -> Iterator[Fault]:
    for name in REPLICAS:
        if options.get(name):
            yield Fault(
                "replicas",
                f"{NAME}['redis'][{name!r}] can't be used: a replica is behind its master, so that it would refuse "
                "cursors that are good, and give answers that lack what was read elsewhere.",
                "Leave it out: everything is read from masters.",
            )


def _of_two_servers(options: Mapping[str, Any]) -> Iterator[Fault]:
    address = sorted(ADDRESS & options.keys())
    kinds = [
        name
        for name, is_meant in (
            ("embedded", options.get("embedded")),
            ("sentinels", is_sentinel(options)),
            ("cluster", is_cluster(options)),
        )
        if is_meant
    ]
    if len(kinds) > 1:
        yield _two_servers(kinds[0], kinds[1:])
    elif kinds and kinds != ["cluster"]:
        if address:
            yield _two_servers(kinds[0], address)
    elif kinds and "startup_nodes" in options:
        if address:
            yield _two_servers("startup_nodes", address)
    elif "url" in address and len(address) > 1:
        yield _two_servers("url", [name for name in address if name != "url"])


def _of_sentinel(options: Mapping[str, Any]) -> Iterator[Fault]:
    if not _are_addresses(options["sentinels"]):
        yield _fault("has 'sentinels' that are no addresses.", "Write 'sentinels': [('10.0.0.1', 26379), ...].")
    if not (isinstance(name := options.get("master_name"), str) and name):
        yield _fault("has 'sentinels', but no 'master_name'.", "Add the name by which they watch it: 'mymaster', say.")
    if not isinstance(options.get("sentinel_kwargs", {}), Mapping):
        yield _fault("has 'sentinel_kwargs' that are no dict.", "They are arguments of redis.Redis for the sentinels.")
    yield from _of_one_server(options, "Sentinel names the server by host and port")


def _of_cluster(options: Mapping[str, Any]) -> Iterator[Fault]:
    if not _are_addresses(options.get("startup_nodes", [("localhost", 6379)])):
        yield _fault("has 'startup_nodes' that are no addresses.", "Write 'startup_nodes': [('10.0.0.1', 6379), ...].")
    of_url = _of_url(options)
    if options.get("db") or of_url.get("db"):
        yield _fault("names a database: a cluster has none but 0.", "Leave 'db' out; 'prefix' keeps sites apart.")
    if "path" in of_url:
        yield _fault("names a unix socket: the nodes of a cluster are reached by host and port.", "Name one so.")
    yield from _of_one_server(options, "The nodes of a cluster are reached by host and port")


def _of_one_server(options: Mapping[str, Any], why: str) -> Iterator[Fault]:
    # Where one of them is an address among several, that is said already.
    if found := [name for name in _ONE_SERVER_S if options.get(name) is not None]:
        yield _fault(f"has {_named(found)}.", f"{why}: leave it out.")


def _of_url(options: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return parse_url(options["url"]) if "url" in options else {}
    except (TypeError, ValueError, AttributeError):
        return {}  # which redis-py says when a client is made


def _are_addresses(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(
            isinstance(one, list | tuple) and len(one) == 2 and isinstance(one[0], str) and isinstance(one[1], int)
            for one in value
        )
    )


def _two_servers(kind: str, others: Sequence[str]) -> Fault:
    return Fault(
        "two servers", f"{NAME}['redis'] names two servers: by {kind!r}, and by {_named(others)}.", "Keep one of them."
    )


def _fault(what: str, hint: str) -> Fault:
    return Fault("several servers", f"{NAME}['redis'] {what}", hint)


def _named(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
