"""Clients for the server that the settings name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import redis

from diffs.conf import NAME, settings
from diffs.errors import ConfigurationError

from .lines import NO_RETRY

SOCKET_TIMEOUT = 1.0
CONNECT_TIMEOUT = 0.5

ADDRESS = frozenset({"url", "host", "port", "unix_socket_path"})
_OWN = frozenset({"url", "embedded", "directory"})
_UNUSABLE = (TypeError, ValueError, AttributeError, redis.RedisError)


def connect() -> redis.Redis:
    """Make a client for the configured server; nothing is sent yet.

    Timeouts are short, and nothing is tried again by the client: whoever calls decides what an outage means.

    Raises:
        ConfigurationError: the settings don't say which server, or say two.
    """
    if settings.test_mode:
        return _connect_fake()
    options = settings.redis
    if not options.get("embedded"):
        return _client(options)
    if ADDRESS & options.keys():
        raise ConfigurationError(f"{NAME}['redis'] takes either 'embedded' or a server's address, not both.")
    from .embedded import ensure_server

    return redis.Redis(unix_socket_path=str(ensure_server(options.get("directory"))), **_arguments(options))


def known_arguments() -> frozenset[str]:
    """The names that ``DIFFS_SETTINGS["redis"]`` takes."""
    return _OWN | inspect.signature(redis.Redis).parameters.keys()


def verify(options: Mapping[str, Any]) -> None:
    """Find out whether a client and its connections can be made so, without any being opened.

    Args:
        options: of a server that is not embedded.

    Raises:
        ConfigurationError: they can't.
    """
    client = _client({name: value for name, value in options.items() if name != "single_connection_client"})
    try:
        client.connection_pool.make_connection()
    except _UNUSABLE as error:
        raise _unusable(error) from None


def _client(options: Mapping[str, Any]) -> redis.Redis:
    try:
        if "url" in options:
            return redis.Redis.from_url(options["url"], **_arguments(options))
        return redis.Redis(**_arguments(options))
    except _UNUSABLE as error:
        raise _unusable(error) from None


def _arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "retry": NO_RETRY,
        **{name: value for name, value in options.items() if name not in _OWN},
    }


def _unusable(error: Exception) -> ConfigurationError:
    # The message of the client library may quote the URL and with it a password: it is not passed on.
    return ConfigurationError(
        f"{NAME}['redis'] can't be used ({type(error).__name__}): it takes 'url', 'embedded', or arguments of "
        "redis.Redis."
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
