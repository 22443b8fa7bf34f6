"""Servers on sockets of their own, for the tests with nginx in front."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.needs import missing

PATIENCE = 30.0
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def nginx_program() -> str:
    """The path of nginx; skips the test where there is none."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        missing("nginx isn't installed.")
    return program


def main_config(folder: Path, main: str, http: str) -> str:
    """A configuration of nginx that touches nothing outside of a folder.

    Args:
        folder: for everything that it writes.
        main: what stands above all blocks.
        http: what stands in the block of that name.
    """
    temporary = "\n".join(f"{name}_temp_path {folder}/{name};" for name in TEMPORARY)
    user = "user root;" if os.geteuid() == 0 else ""
    return f"""
        {main}
        {user}
        daemon off;
        pid {folder}/nginx.pid;
        error_log {folder}/nginx.log;
        http {{
            access_log off;
            {temporary}
            {http}
        }}
    """


def serve(path: Path, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start uvicorn at a socket."""
    options = ["--uds", str(path), "--log-level", "warning", "--timeout-graceful-shutdown", "1"]
    return subprocess.Popen([sys.executable, "-m", "uvicorn", *options, *arguments], env=environment)


def wait_for(path: Path, server: subprocess.Popen[bytes]) -> None:
    """Return when somebody listens at a socket."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                return probe.connect(str(path))
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, f"Nobody listens at {path.name}."
        time.sleep(0.02)
