"""Clients for the server that the settings name."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from diffs.conf import NAME, settings
from diffs.errors import ConfigurationError

SOCKET_TIMEOUT = 1.0
CONNECT_TIMEOUT = 0.5

_OWN = frozenset({"url", "embedded", "directory"})


def connect() -> redis.Redis:
    """Make a client for the configured server; nothing is sent yet.

    Timeouts are short, and nothing is tried again by the client: whoever calls decides what an outage means.

    Raises:
        ConfigurationError: the settings don't say which server, or say two.
    """
    if settings.test_mode:
        return _connect_fake()
    options = settings.redis
    arguments: dict[str, Any] = {
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
        **{name: value for name, value in options.items() if name not in _OWN},
    }
    if options.get("embedded"):
        from .embedded import ensure_server

        if {"url", "host", "port", "unix_socket_path"} & options.keys():
            raise ConfigurationError(f"{NAME}['redis'] takes either 'embedded' or a server's address, not both.")
        return redis.Redis(unix_socket_path=str(ensure_server(options.get("directory"))), **arguments)
    try:
        if "url" in options:
            return redis.Redis.from_url(options["url"], **arguments)
        return redis.Redis(**arguments)
    except (TypeError, ValueError, redis.RedisError) as error:
        # The message of the client library may quote the URL and with it a password: it is not passed on.
        raise ConfigurationError(
            f"{NAME}['redis'] can't be used ({type(error).__name__}): it takes 'url', 'embedded', or arguments of "
            "redis.Redis."
        ) from None


def _connect_fake() -> redis.Redis:
    try:
        import fakeredis
    except ImportError:
        raise ConfigurationError(
            f"{NAME}['test_mode'] needs fakeredis with Lua: pip install 'django-diffs[test]'."
        ) from None
    server: redis.Redis = fakeredis.FakeRedis(server=fakeredis.FakeServer())
    return server
