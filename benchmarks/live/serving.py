"""A web server with one application: it says its port, and serves until it is killed.

python -m benchmarks.live.serving uvicorn benchmarks.project.asgi:application [core]
"""

from __future__ import annotations

import os
import socket
import sys

from .listeners import HOST, most

BACKLOG = 2048


def main(kind: str, application: str, core: str = "") -> None:
    """Serve until killed.

    Args:
        kind: ``"uvicorn"``, or ``"granian"`` for WSGI.
        application: module and name.
        core: on which to run; any unless given.
    """
    most()
    if core:
        os.sched_setaffinity(0, {int(core)})
    {"uvicorn": uvicorn, "granian": granian}[kind](application)


def uvicorn(application: str) -> None:
    """Serve ASGI, with all that is written in C."""
    from uvicorn import Config, Server

    config = Config(
        application,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_level="warning",
        backlog=BACKLOG,
    )
    config.load()
    with socket.create_server((HOST, 0), backlog=BACKLOG) as listening:
        print(listening.getsockname()[1], flush=True)
        Server(config).run(sockets=[listening])


def granian(application: str) -> None:
    """Serve WSGI, with one thread that runs Python."""
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    print(port, flush=True)
    options = f"--interface wsgi --host {HOST} --port {port} --workers 1 --blocking-threads 1 --log-level error --no-ws"
    os.execv(sys.executable, (sys.executable, "-m", "granian", *options.split(), application))


if __name__ == "__main__":
    main(*sys.argv[1:])
