"""Servers of a page's project, and the commands that start them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .project import environment
from .streams import Stream

SERVERS = ("granian", "hypercorn", "uvicorn")
PATIENCE = 30.0
FEED = "http://127.0.0.1/diffs/polls.question/1/?since=now"


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a project's ASGI application.

    Args:
        folder: the project's.

    Returns:
        A context that gives host and port.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # Connections wait in it until they are taken, and so nobody has to wait for the server.
        number = listening.fileno()
        options = ["--fd", str(number), "--log-level", "warning", "--timeout-graceful-shutdown", "1"]
        command = [sys.executable, "-m", "uvicorn", "mysite.asgi:application", *options]
        server = subprocess.Popen(command, cwd=folder, env=environment(), pass_fds=[number])
        address = "{}:{}".format(*listening.getsockname())
    try:
        yield address
    finally:
        server.terminate()
        server.wait(PATIENCE)


def check(command: Sequence[str]) -> str:
    """Start a server, ask it for everything, and stop it with a stream open.

    Args:
        command: the line, split; one argument of it names a socket.

    Returns:
        Nothing: what such servers print is nobody's business.

    Raises:
        ValueError: something doesn't work.
    """
    path = next(Path(word.removeprefix("unix:")) for word in command if word.endswith(".sock"))
    server = subprocess.Popen(
        [str(Path(sys.executable).with_name(command[0])), *command[1:]],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    stream = None
    try:
        _wait_for(path, server)
        curl = ["curl", "--silent", "--no-buffer", "--unix-socket", str(path)]
        answer = subprocess.run([*curl, FEED], capture_output=True, text=True, timeout=PATIENCE).stdout
        if '"more":false' not in answer:
            raise ValueError(f"{command[0]} answers {answer!r} to a poll.")
        stream = Stream([*curl, "--header", "Accept: text/event-stream", FEED], environment())
        opening = stream.take("opening\n\nid", PATIENCE)
        if "retry: " not in opening or "id: " not in opening:
            raise ValueError(f"{command[0]} streams {opening!r}.")
        server.terminate()
        server.wait(PATIENCE)
    finally:
        if stream is not None:
            stream.close()
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
    return ""


def _wait_for(path: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                return probe.connect(str(path))
            except OSError as error:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise ValueError("The server doesn't begin.") from error
        time.sleep(0.02)
