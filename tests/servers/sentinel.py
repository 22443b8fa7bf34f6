"""A server with a replica, and three sentinels that watch them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import redis

from .binaries import binary_of
from .redis_server import RedisServer, free_port, wait_until
from .tls import Certificates

NAME = "mymaster"
CONFIG = {"repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1", "repl-diskless-sync": "yes"}
SENTINELS = 3


class Watched:
    """A master and its replica under the eyes of sentinels; started by the constructor.

    It can be used as a context manager, which stops all.
    """

    def __init__(self, kind: str, certificates: Certificates | None = None) -> None:
        """Start them.

        Args:
            kind: a key of ``binaries.KINDS``; its program is the sentinels', too.
            certificates: with them all speak TLS, among each other, too.

        Raises:
            ServerMissing: this machine doesn't have the server.
        """
        self.kind = kind
        self._certificates = certificates
        self._tls = {"tls-replication": "yes"} if certificates else {}
        self._stack = contextlib.ExitStack()
        self._folder = Path(tempfile.mkdtemp(prefix="diffs-sentinel-"))
        self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        try:
            self.master = self._stack.enter_context(RedisServer(kind, CONFIG | self._tls, certificates))
            """As it was in the beginning."""
            self.replica = self._stack.enter_context(RedisServer(kind, CONFIG | self._tls, certificates))
            self.replica.cli("REPLICAOF", "127.0.0.1", self.master.tls_port or self.master.port)
            wait_until(lambda: self.replica.client.info("replication")["master_link_status"] == "up")
            self.sentinels = [self._start_sentinel() for _ in range(SENTINELS)]
            wait_until(lambda: all(self._is_ready(port) for port in self.sentinels))
        except BaseException:
            self._stack.close()
            raise

    @property
    def options(self) -> dict[str, Any]:
        """What ``DIFFS_SETTINGS["redis"]`` takes to reach the master."""
        by_tls = self._certificates.client_options if self._certificates else {}
        return {
            "sentinels": [("127.0.0.1", port) for port in self.sentinels],
            "master_name": NAME,
            **({"sentinel_kwargs": by_tls} if by_tls else {}),
            **by_tls,
        }

    def roles(self) -> tuple[RedisServer, RedisServer]:
        """Who is the master now, as the sentinels say, and the other one."""
        pair = self.master, self.replica
        return pair if self._is_named(self.master) else pair[::-1]

    def is_promoted(self, server: RedisServer) -> bool:
        """Whether a server is the master now, and all sentinels say so."""
        # A server that is told another role closes its connections.
        with contextlib.suppress(redis.ConnectionError):
            return server.client.info("replication")["role"] == "master" and self._is_named(server)
        return False

    def stop(self) -> None:
        """End all of them."""
        self._stack.close()

    def __enter__(self) -> Watched:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start_sentinel(self) -> int:
        port = free_port()
        config = self._folder / f"{port}.conf"
        own = {"port": str(port)}
        if self._certificates:
            own = {"port": "0", "tls-port": str(port), **self._tls, **self._certificates.server_config}
        lines = [
            *(f"{name} {value}" for name, value in own.items()),
            "bind 127.0.0.1",
            f"dir {self._folder}",
            f"sentinel monitor {NAME} 127.0.0.1 {self.master.tls_port or self.master.port} {SENTINELS // 2 + 1}",
            f"sentinel down-after-milliseconds {NAME} 1000",
            f"sentinel failover-timeout {NAME} 5000",
        ]
        config.write_text("\n".join(lines) + "\n")
        with (self._folder / f"{port}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(binary_of(self.kind)), str(config), "--sentinel"], stdout=log, stderr=subprocess.STDOUT
            )
        self._stack.callback(_end, process)
        return port

    def _is_named(self, server: RedisServer) -> bool:
        return all(_named(port) == server.port for port in self.sentinels)

    def _is_ready(self, port: int) -> bool:
        """Whether a sentinel knows the replica and the other sentinels."""
        by_tls = self._certificates.client_options if self._certificates else {}
        with (
            redis.Redis(host="127.0.0.1", port=port, socket_timeout=5.0, **by_tls) as client,
            contextlib.suppress(redis.ConnectionError),
        ):
            state = client.sentinel_master(NAME)
            return bool(state["num-slaves"] == 1 and state["num-other-sentinels"] == SENTINELS - 1)
        return False


def _named(port: int) -> int:
    """The port of whom a sentinel takes for the master."""
    with redis.Redis(port=port, socket_timeout=5.0) as sentinel:
        return int(sentinel.sentinel_get_master_addr_by_name(NAME)[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
