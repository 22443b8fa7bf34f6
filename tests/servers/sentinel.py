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

NAME = "mymaster"
CONFIG = {"repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1", "repl-diskless-sync": "yes"}
SENTINELS = 3


class Watched:
    """A master and its replica under the eyes of sentinels; started by the constructor.

    It can be used as a context manager, which stops all.
    """

    def __init__(self, kind: str) -> None:
        """Start them.

        Args:
            kind: a key of ``binaries.KINDS``; its program is the sentinels', too.

        Raises:
            ServerMissing: this machine doesn't have the server.
        """
        self.kind = kind
        self._stack = contextlib.ExitStack()
        self._folder = Path(tempfile.mkdtemp(prefix="diffs-sentinel-"))
        self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        try:
            self.master = self._stack.enter_context(RedisServer(kind, CONFIG))
            """As it was in the beginning."""
            self.replica = self._stack.enter_context(RedisServer(kind, CONFIG))
            self.replica.cli("REPLICAOF", "127.0.0.1", self.master.port)
            wait_until(lambda: self.replica.client.info("replication")["master_link_status"] == "up")
            self.sentinels = [self._start_sentinel() for _ in range(SENTINELS)]
            wait_until(lambda: all(self._is_ready(port) for port in self.sentinels))
        except BaseException:
            self._stack.close()
            raise

    @property
    def options(self) -> dict[str, Any]:
        """What ``DIFFS_SETTINGS["redis"]`` takes to reach the master."""
        return {"sentinels": [("127.0.0.1", port) for port in self.sentinels], "master_name": NAME}

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
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self._folder}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {self.master.port} {SENTINELS // 2 + 1}\n"
            f"sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 5000\n"
        )
        with (self._folder / f"{port}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(binary_of(self.kind)), str(config), "--sentinel"], stdout=log, stderr=subprocess.STDOUT
            )
        self._stack.callback(_end, process)
        return port

    def _is_ready(self, port: int) -> bool:
        """Whether a sentinel knows the replica and the other sentinels."""
        with redis.Redis(port=port, socket_timeout=5.0) as client, contextlib.suppress(redis.ConnectionError):
            state = client.sentinel_master(NAME)
            return bool(state["num-slaves"] == 1 and state["num-other-sentinels"] == SENTINELS - 1)
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
