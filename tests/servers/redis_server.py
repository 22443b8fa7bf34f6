"""A Redis or Valkey server that a test may stop, freeze, start again and let another take the place of."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .binaries import binary_of
from .tls import Certificates

START_SECONDS = 20.0
STOP_SECONDS = 10.0

# The older name of zset-max-listpack-value is the one that all servers know.
CONFIG = {"save": "", "appendonly": "no", "zset-max-ziplist-value": "256"}


class RedisServer:
    """One server process with a folder, a unix socket and a TCP port of its own; started by the constructor.

    It can be used as a context manager, which stops it.
    """

    def __init__(
        self, kind: str, config: Mapping[str, str] | None = None, certificates: Certificates | None = None
    ) -> None:
        """Start the server.

        Args:
            kind: a key of ``binaries.KINDS``.
            config: the server's own configuration, on top of the tests' defaults.
            certificates: for TLS on another port; only a server that ``binaries.has_tls`` takes them.

        Raises:
            ServerMissing: this machine doesn't have it.
            RuntimeError: it ended at once, or doesn't answer.
        """
        self.kind = kind
        self._binary = binary_of(kind)
        self._config = {**CONFIG, **(config or {})}
        # Not pytest's own folder: a unix socket's path must stay below about a hundred bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="diffs-redis-"))
        self.socket = self._folder / "server.sock"
        choose = free_port_of_node if "cluster-enabled" in self._config else free_port
        self.port = choose()
        self._certificates = certificates
        self.tls_port = choose() if certificates else 0
        if certificates:
            self._config |= {"tls-port": str(self.tls_port), **certificates.server_config}
        # By itself the client would ask a server that is gone again and again, for seconds.
        self.client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5.0, retry=Retry(NoBackoff(), 0))
        try:
            self._process = self._start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    @property
    def url(self) -> str:
        """Its address by TCP."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def options(self) -> dict[str, Any]:
        """What ``DIFFS_SETTINGS["redis"]`` takes to reach it, by its unix socket."""
        return {"unix_socket_path": str(self.socket)}

    @property
    def tls_options(self) -> dict[str, Any] | None:
        """The same by TLS; ``None`` where it has no certificates."""
        if self._certificates is None:
            return None
        return {"host": "127.0.0.1", "port": self.tls_port, **self._certificates.client_options}

    @property
    def folder(self) -> Path:
        """Where its data are, if `config` keeps them."""
        return self._folder

    @property
    def pid(self) -> int:
        """The process that serves now; another one after a restart."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was not killed, or was started again."""
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server has said."""
        return (self._folder / "server.log").read_text(errors="replace")

    def cli(self, *command: str | int | bytes) -> Any:
        """Run one command, as ``redis-cli`` does."""
        return self.client.execute_command(*command)

    def pause(self) -> None:
        """Freeze it: connections are still accepted by the kernel, and nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._process.send_signal(signal.SIGCONT)

    def fall_behind(self, master: RedisServer) -> None:
        """Freeze a replica so that nothing more of its master's reaches it; until `resume`."""
        self.pause()
        # What is on its way would be read after all.
        master.cli("CLIENT", "KILL", "TYPE", "replica")

    def kill(self) -> None:
        """End it as a crash would; its data is lost. `restart` brings it back."""
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        self.client.close()

    def restart(self) -> None:
        """End it properly, if it runs, and start it at the same addresses: empty, unless `config` keeps its data."""
        if self._process.poll() is None:
            self.resume()
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
            self.client.close()
        self._process = self._start()

    def follow(self, master: RedisServer) -> None:
        """Become a replica, and wait until it has what its master has."""
        # By itself the master would wait for more replicas.
        master.cli("CONFIG", "SET", "repl-diskless-sync-delay", 0)
        self.cli("REPLICAOF", "127.0.0.1", master.port)
        deadline = time.monotonic() + START_SECONDS
        while self.client.info("replication").get("master_link_status") != "up":
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._binary} does not follow its master:\n{self.log}")
            time.sleep(0.01)
        master.cli("WAIT", 1, round(1000 * START_SECONDS))

    def lag_behind(self) -> None:
        """Stay a replica, with what it has, and get nothing more: its master can't be reached."""
        self.cli("REPLICAOF", "127.0.0.1", free_port())

    def take_over(self) -> None:
        """Be a master from now on."""
        self.cli("REPLICAOF", "NO", "ONE")

    def evict(self, key: str) -> bool:
        """Run out of memory just once, with one key that may be evicted; other keys expire no more.

        Returns:
            Whether the key was there.
        """
        for other in self.client.scan_iter(count=1000):
            self.client.persist(other)
        before = self.client.info("stats")["evicted_keys"]
        if not self.client.expire(key, 10_000):
            return False
        limits = self.client.config_get("maxmemory*")
        self.client.config_set("maxmemory-policy", "volatile-random")
        self.client.config_set("maxmemory", 1)
        deadline = time.monotonic() + START_SECONDS
        while self.client.info("stats")["evicted_keys"] == before:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._binary} does not evict {key}.")
            time.sleep(0.001)
        for name in ("maxmemory", "maxmemory-policy"):
            self.client.config_set(name, limits[name])
        return True

    def stop(self) -> None:
        """End it, whatever it does, and remove its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> subprocess.Popen[bytes]:
        config = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket),
            "dir": str(self._folder),
            **self._config,
        }
        arguments = [part for name, value in config.items() for part in (f"--{name}", value)]
        with (self._folder / "server.log").open("ab") as log:
            process = subprocess.Popen([str(self._binary), *arguments], stdout=log, stderr=subprocess.STDOUT)
        try:
            self._wait_for(process)
        except BaseException:
            process.kill()
            process.wait(STOP_SECONDS)
            raise
        return process

    def _wait_for(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                if self.client.ping():
                    return
            time.sleep(0.01)
        raise RuntimeError(f"{self._binary} does not answer:\n{self.log}")


def wait_until(condition: Callable[[], bool]) -> None:
    """Ask until the answer is yes.

    Raises:
        RuntimeError: it never was.
    """
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("Waited in vain for servers to find each other.")
        time.sleep(0.02)


def free_port() -> int:
    """A TCP port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_port_of_node() -> int:
    """The same for a node of a cluster, which takes a second port, higher by ten thousand."""
    while True:
        # Below those that the system gives to clients.
        port = random.randrange(11_000, 22_000)
        with contextlib.suppress(OSError), socket.socket() as probe, socket.socket() as bus:
            probe.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))
            return port
