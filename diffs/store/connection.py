"""Clients for the servers that the settings name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis
from redis.connection import parse_url
from redis.sentinel import Sentinel, SentinelConnectionPool

from diffs.conf import NAME, settings
from diffs.errors import ConfigurationError

from .cluster import Cluster
from .lines import NO_RETRY
from .options import OWN, REPLICAS, faults, is_cluster, is_sentinel

SOCKET_TIMEOUT = 1.0
CONNECT_TIMEOUT = 0.5
SENTINEL_TIMEOUT = 0.3
"""Shorter: they are asked one after the other."""

_UNUSABLE = (TypeError, ValueError, AttributeError, redis.RedisError)


def connect() -> redis.Redis | Cluster:
    """Make a client for the configured server or cluster; nothing is sent yet.

    Timeouts are short, and nothing is tried again by the client: whoever calls decides what an outage means.

    Raises:
        ConfigurationError: the settings don't say which server, or say two.
    """
    if settings.test_mode:
        return _connect_fake()
    options = settings.redis
    for fault in faults(options):
        raise ConfigurationError(f"{fault.message} {fault.hint}")
    if options.get("embedded"):
        from .embedded import ensure_server

        return redis.Redis(unix_socket_path=str(ensure_server(options.get("directory"))), **_arguments(options))
    if is_cluster(options):
        return Nodes(options).cluster()
    return _client(options)


def verify(options: Mapping[str, Any]) -> None:
    """Find out whether a client and its connections can be made so, without any being opened.

    Args:
        options: of a server that is not embedded, without `faults`.

    Raises:
        ConfigurationError: they can't.
    """
    options = {name: value for name, value in options.items() if name != "single_connection_client"}
    if is_cluster(options):
        nodes = Nodes(options)
        client = nodes.make_client(*nodes.seeds[0])
    else:
        client = _client(options)
    pool = client.connection_pool
    try:
        pool.make_connection()
        if isinstance(pool, SentinelConnectionPool):
            for sentinel in pool.sentinel_manager.sentinels:
                sentinel.connection_pool.make_connection()
    except _UNUSABLE as error:
        raise _unusable(error) from None


def address_of(client: redis.Redis) -> str:
    """Where a client's server is, without user and password."""
    pool: Any = client.connection_pool
    options = client.get_connection_kwargs()
    database = options.get("db") or 0
    if "path" in options:
        return f"unix://{options['path']}?db={database}"
    scheme = "rediss" if issubclass(pool.connection_class, redis.SSLConnection) else "redis"
    if not isinstance(pool, SentinelConnectionPool):
        where = options.get("host") or "localhost", options.get("port") or 6379
        return f"{scheme}://{_place(*where)}/{database}"
    if pool.master_address:
        return f"{scheme}://{_place(*pool.master_address)}/{database} ({pool.service_name})"
    sentinels = (sentinel.get_connection_kwargs() for sentinel in pool.sentinel_manager.sentinels)
    places = ", ".join(_place(each["host"], each["port"]) for each in sentinels)
    return f"{pool.service_name}, says Sentinel at {places}"


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


class Nodes:
    """How the nodes of a cluster are reached."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._remap = options.get("address_remap")
        self._arguments = {**_arguments(options), **_of_url(options)}
        host, port = (self._arguments.pop(name, None) for name in ("host", "port"))
        self._arguments.pop("db", None)
        self.seeds = [tuple(node) for node in options.get("startup_nodes", ())] or [(host or "localhost", port or 6379)]

    def make_client(self, host: str, port: int) -> redis.Redis:
        """Make the client of one."""
        try:
            return redis.Redis(host=host, port=port, **self._arguments)
        except _UNUSABLE as error:
            raise _unusable(error) from None

    def cluster(self) -> Cluster:
        """Make the client of all."""
        return Cluster(self.seeds, self.make_client, self._remap)


def _of_url(options: Mapping[str, Any]) -> dict[str, Any]:
    if "url" not in options:
        return {}
    try:
        found: dict[str, Any] = dict(parse_url(options["url"]))
    except _UNUSABLE as error:
        raise _unusable(error) from None
    if found.pop("connection_class", None) is redis.SSLConnection:
        found["ssl"] = True
    return found


def _client(options: Mapping[str, Any]) -> redis.Redis:
    try:
        if is_sentinel(options):
            return _through_sentinel(options)
        if "url" in options:
            return redis.Redis.from_url(options["url"], **_arguments(options))
        return redis.Redis(**_arguments(options))
    except _UNUSABLE as error:
        raise _unusable(error) from None


def _through_sentinel(options: Mapping[str, Any]) -> redis.Redis:
    sentinels = Sentinel(
        options["sentinels"],
        min_other_sentinels=options.get("min_other_sentinels", 0),
        sentinel_kwargs={
            "socket_timeout": SENTINEL_TIMEOUT,
            "socket_connect_timeout": SENTINEL_TIMEOUT,
            "retry": NO_RETRY,
            **options.get("sentinel_kwargs", {}),
        },
        **_arguments(options),
    )
    client: redis.Redis = sentinels.master_for(options["master_name"])
    return client


def _arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "retry": NO_RETRY,
        **{name: value for name, value in options.items() if name not in OWN and name not in REPLICAS},
    }


def _unusable(error: Exception) -> ConfigurationError:
    # The message of the client library may quote the URL and with it a password: it is not passed on.
    return ConfigurationError(
        f"{NAME}['redis'] can't be used ({type(error).__name__}): it takes 'url', 'embedded', 'cluster', 'sentinels', "
        "or arguments of redis.Redis."
    )


def _connect_fake() -> redis.Redis:
    try:
        import fakeredis
    except ImportError:
        raise ConfigurationError(
            f"{NAME}['test_mode'] needs fakeredis with Lua: pip install 'django-diffs[test]'."
        ) from None
    server: redis.Redis = fakeredis.FakeRedis(server=fakeredis.FakeServer())
    return server
