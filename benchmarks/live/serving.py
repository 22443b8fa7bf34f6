"""A web server with one application: it says its port, and serves until it is killed.

python -m benchmarks.live.serving uvicorn benchmarks.project.asgi:application
"""

from __future__ import annotations

import os
import socket
import sys

import uvicorn

from .listeners import HOST, most

BACKLOG = 2048


def main() -> None:
    """Serve until killed."""
    most()
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.project.settings"
    config = uvicorn.Config(
        sys.argv[2],
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
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
