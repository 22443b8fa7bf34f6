"""The process that owns an embedded server: ``python supervisor.py DIRECTORY PROGRAM``.

It is run as a file and knows nothing of the package, so that it starts at once and is small. It returns when the
server takes connections; what it leaves behind is a process that restarts a server that crashed, and that stops it and
removes the directory as soon as no process holds the directory's lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SOCKET = "valkey.sock"
LOG = "server.log"
START_LOCK = "start.lock"
SUPERVISOR_LOCK = "supervisor.lock"
RELOADER = "reloader-"
"""Then the id of a process for which the server has to stay, although it holds no lock."""

START_SECONDS = 10.0
LEFTOVER_SECONDS = 2.0
CHECK_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1

CONFIG = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",
    "appendonly": "no",
    "maxmemory-policy": "noeviction",
    "zset-max-listpack-value": "256",
    "loglevel": "warning",
}


def main(folder: str, program: str) -> int:
    """Start the server and leave a process behind that looks after it.

    Args:
        folder: the server's directory; somebody holds its lock.
        program: the server.

    Returns:
        The exit status: 0 where the server takes connections, or another supervisor looks after it.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        return 0 if os.read(reading, 1) else 1
    os.close(reading)

    def ready() -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more when a crashed server is replaced
            os.write(writing, b"1")

    supervise(Path(folder), program, ready)
    return 0


def supervise(folder: Path, program: str, ready: Callable[[], None]) -> None:
    """Run the server until nobody holds the directory's lock, or until it can't be started.

    Args:
        folder: the server's directory.
        program: the server.
        ready: called each time when the server takes connections.
    """
    if try_lock(folder / SUPERVISOR_LOCK) is None:
        ready()
        return
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    _end_leftover(folder / SOCKET)
    came_up = True
    while came_up:
        server = _start(folder, program)
        try:
            came_up = _comes_up(server, folder / SOCKET)
            if came_up:
                ready()
            while server.poll() is None and came_up and not _is_unused(directory, folder):
                time.sleep(CHECK_SECONDS)
        finally:
            # There is nothing to save, and a killed server removes no socket that may be another's by then.
            server.kill()
            server.wait()
        if _is_unused(directory, folder):
            _clean(folder)
            return


def try_lock(path: Path) -> int | None:
    """Lock a file for this process alone.

    Returns:
        The open file, to be closed; ``None`` where another process has it.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def listens(path: Path) -> bool:
    """Whether a server takes connections at a unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(LEFTOVER_SECONDS)
        try:
            probe.connect(str(path))
        except BlockingIOError:  # so many are waiting that the server must be there
            return True
        except OSError:
            return False
    return True


def _start(folder: Path, program: str) -> subprocess.Popen[bytes]:
    config = {**CONFIG, "unixsocket": str(folder / SOCKET), "dir": str(folder)}
    arguments = [part for name, value in config.items() for part in (f"--{name}", value)]
    return subprocess.Popen([program, *arguments], stdin=subprocess.DEVNULL, preexec_fn=_end_with_parent())


def _end_with_parent() -> Callable[[], object] | None:
    """Where the system can do it: the server is killed when the supervisor is."""
    if sys.platform != "linux":
        return None
    return functools.partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_leftover(path: Path) -> None:
    """Stop a server whose supervisor was killed."""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(LEFTOVER_SECONDS)
        connection.connect(str(path))
        connection.sendall(b"SHUTDOWN NOSAVE\r\n")
        connection.recv(1)  # there is no answer but the end of the connection


def _comes_up(server: subprocess.Popen[bytes], path: Path) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while not listens(path):
        if server.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _is_unused(directory: int, folder: Path) -> bool:
    """Whether no process needs the server any more; then nobody else gets the directory's lock."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    if any(_is_alive(int(mark.name.removeprefix(RELOADER))) for mark in folder.glob(f"{RELOADER}*")):
        fcntl.flock(directory, fcntl.LOCK_UN)
        return False
    return True


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:  # it is gone, or its id is somebody else's by now
        return False
    return True


def _clean(folder: Path) -> None:
    ours = [folder / name for name in (SOCKET, LOG, START_LOCK, SUPERVISOR_LOCK)]
    for path in (*ours, *folder.glob(f"{RELOADER}*")):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it was there before, and holds something else
        folder.rmdir()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
