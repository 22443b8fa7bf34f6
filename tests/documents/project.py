"""A Django project made of a page's blocks, as a reader would make it, and the process that works through them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from .blocks import ROOT, Block, Page

REDIS = "127.0.0.1:6379"
"""Where the pages say that Redis is."""
SITE = "127.0.0.1:8000"
"""Where the pages say that the site is."""
SITE_BEHIND_WSGI = "127.0.0.1:8001"
"""Where they say that it is served by WSGI."""
SOCKETS = "/run/mysite"
"""Where they say that servers have their sockets."""

SECONDS = 300
"""For all of a page."""


def work_through(page: Page, folder: Path, redis_address: str, before: Iterable[Page] = ()) -> str:
    """Do what a page says.

    Args:
        page: the page.
        folder: an empty folder for the project.
        redis_address: host and port of an empty server, in the place of `REDIS`.
        before: pages whose files the project has as well.

    Returns:
        What came out otherwise than the page says; empty where nothing did.
    """
    if shutil.which("curl") is None:
        return "curl isn't installed, and the pages use it."
    make(folder, [*before, page], redis_address)
    (folder / "page.rst").write_text(page.text, encoding="utf-8")
    done = _start(folder, "tests.documents", page.name, redis_address)
    return done.stdout if done.returncode == 0 else done.stdout + done.stderr


def make(folder: Path, pages: Iterable[Page], redis_address: str) -> None:
    """Make a project with the files that pages show.

    Args:
        folder: an empty folder for it.
        pages: the pages.
        redis_address: host and port of an empty server, in the place of `REDIS`.
    """
    _run(folder, "django", "startproject", "mysite", ".")
    _run(folder, "django", "startapp", "polls")
    (folder / "polls" / "models.py").unlink()
    files = [block for page in pages for block in page.blocks if block.path]
    apps = _write(folder, files, {REDIS: redis_address})
    with (folder / "mysite" / "settings.py").open("a") as settings:
        missing = f"for app in {sorted(apps)}:\n    if app not in INSTALLED_APPS:\n        INSTALLED_APPS.append(app)\n"
        settings.write(missing)
    _run(folder, "manage", "makemigrations", *sorted(apps), "--verbosity", "0")
    _run(folder, "manage", "migrate", "--verbosity", "0")


def _write(folder: Path, files: Iterable[Block], replaced: Mapping[str, str]) -> set[str]:
    """Write the blocks that are files; several of one name become one.

    Returns:
        The applications that they are in.
    """
    apps = set()
    for block in files:
        path = folder / str(block.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        app = path.relative_to(folder).parts[0]
        if app != "mysite":
            (folder / app / "__init__.py").touch()
            apps.add(app)
        text = block.text
        for shown, real in replaced.items():
            text = text.replace(shown, real)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n\n")
    return apps


def _run(folder: Path, module: str, *arguments: str) -> None:
    done = _start(folder, module, *arguments)
    if done.returncode:
        raise AssertionError(f"python -m {module} {' '.join(arguments)}:\n{done.stdout}{done.stderr}")


def _start(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=SECONDS)
        except BaseException:
            # The servers that it started, too.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def environment() -> dict[str, str]:
    """What processes in the project's folder need: its settings, the package and the tests."""
    ours = {name: text for name, text in os.environ.items() if not re.match("DIFFS_|DJANGO_", name)}
    return {**ours, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "mysite.settings"}
