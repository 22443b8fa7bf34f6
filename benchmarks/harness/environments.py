"""Interpreters to measure with: the one that runs this, and others with another Django."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "benchmarks" / ".environments"

# The oldest Python of each series of Django that isn't served by all of ours.
OLDEST_PYTHON = {"5.2": (3, 10), "6.0": (3, 12), "6.1": (3, 12)}
PACKAGES = ("django", "redis", "hiredis", "msgpack", "django-dirtyfields", "psycopg")


class EnvironmentMissing(Exception):
    """This machine lacks what such an environment takes; the message is what a row says."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter with a Django."""

    python: Path
    django: str
    """The series: ``"5.2"``."""
    folder: Path = ROOT
    """Where workers start, and find modules before those that are installed."""

    @property
    def label(self) -> str:
        """How rows name it."""
        return f"Django {self.django}"


@functools.cache
def current() -> Environment:
    """The environment that this runs in."""
    import django

    return Environment(Path(sys.executable), ".".join(map(str, django.VERSION[:2])))


@functools.cache
def of_django(series: str) -> Environment:
    """An environment with a Django of that series: this one, or one that is made when it is first asked for.

    Args:
        series: ``"6.1"``.

    Raises:
        EnvironmentMissing: no Python of this machine is new enough, or the packages can't be fetched.
    """
    if current().django == series:
        return current()
    python = make(
        f"django-{series}",
        newest_python(OLDEST_PYTHON[series]),
        ("--editable", f"{ROOT}[fast]", f"django~={series}.0", "psycopg[binary]>=3.2"),
    )
    return Environment(python, series)


@functools.cache
def with_packages(series: str, packages: tuple[str, ...]) -> Environment:
    """An environment with a Django of that series and other packages, as far as they can be installed.

    Args:
        series: ``"5.2"``.
        packages: what pip installs, each by itself, so that one that fails keeps none of the others out.

    Raises:
        EnvironmentMissing: see `of_django`.
    """
    if current().django == series and all(map(_is_installed, packages)):
        return current()
    python = make(
        f"packages-{series}",
        newest_python(OLDEST_PYTHON[series]),
        ("--editable", f"{ROOT}[fast]", f"django~={series}.0", "psycopg[binary]>=3.2"),
        optional=packages,
    )
    return Environment(python, series)


@functools.cache
def of_original() -> Environment:
    """An environment with the original django-diffs, and the Django and redis-py of its time.

    Raises:
        EnvironmentMissing: see `of_django`.
    """
    python = make(
        "original",
        newest_python((3, 8), (3, 9)),
        ("django-diffs==0.1.16", "django~=2.2.0", "redis~=2.10.6", "fakeredis<1", "psycopg2-binary<2.9"),
    )
    # The project's folder has another package of that name.
    folder = FOLDER / "original" / "modules"
    folder.mkdir(exist_ok=True)
    link = folder / "benchmarks"
    if not link.exists():
        link.symlink_to(ROOT / "benchmarks")
    return Environment(python, "2.2", folder)


def newest_python(oldest: tuple[int, int], newest: tuple[int, int] = (3, 99)) -> Path:
    """The newest interpreter of this machine within two versions, both included.

    Raises:
        EnvironmentMissing: there is none.
    """
    found = {version: path for path, version in interpreters() if oldest <= version <= newest}
    if not found:
        raise EnvironmentMissing(f"no interpreter: it takes Python {'.'.join(map(str, oldest))} or newer")
    return found[max(found)]


def make(name: str, python: Path, requirements: Sequence[str], optional: Sequence[str] = ()) -> Path:
    """Make a virtual environment, unless it is there already with the same requirements.

    Args:
        name: its folder.
        python: the interpreter that it is made from.
        requirements: what pip is to install.
        optional: what it is to install besides, each by itself, unless that fails.

    Returns:
        Its interpreter.

    Raises:
        EnvironmentMissing: pip failed.
    """
    folder = FOLDER / name
    stamp, own = folder / "ready", folder / "bin" / "python"
    setup = hashlib.sha256((ROOT / "setup.py").read_bytes()).hexdigest()
    choice = json.dumps([str(python), [*requirements], [*optional], setup])
    if stamp.exists() and stamp.read_text() == choice:
        return own
    print(f"Making the environment {name}.", file=sys.stderr, flush=True)
    pip = (str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    for command in ((str(python), "-m", "venv", "--clear", str(folder)), (*pip, *requirements)):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(done.stdout + done.stderr, file=sys.stderr)
            raise EnvironmentMissing("the environment could not be made")
    for package in optional:
        done = subprocess.run((*pip, package), capture_output=True, text=True)
        if done.returncode:
            print(done.stdout + done.stderr, file=sys.stderr)
    stamp.write_text(choice)
    return own


@functools.cache
def interpreters() -> list[tuple[Path, tuple[int, int]]]:
    """The Pythons of this machine that run, pyenv's first; each with its version."""
    return [(path, version) for path in _candidates() if (version := _version(path))]


@functools.cache
def versions(environment: Environment, packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """The versions of Python, SQLite and of those packages that are installed, in an environment."""
    program = (
        "import importlib.metadata as m, json, platform, sqlite3, sys\n"
        "found = {'python': platform.python_version(), 'sqlite': sqlite3.sqlite_version}\n"
        "for name in sys.argv[1:]:\n"
        "    try: found[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run(
        (environment.python, "-c", program, *packages), capture_output=True, text=True, check=True, cwd=FOLDER.parent
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _candidates() -> Iterator[Path]:
    yield from sorted(Path.home().glob(".pyenv/versions/*/bin/python"))
    for folder in map(Path, os.get_exec_path()):
        # Another virtual environment may be gone tomorrow.
        if not (folder.parent / "pyvenv.cfg").exists():
            yield from (path for path in sorted(folder.glob("python3.*")) if re.fullmatch(r"python3\.\d+", path.name))


def _version(python: Path) -> tuple[int, int] | None:
    program = "import ensurepip, sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run((python, "-c", program), capture_output=True, text=True, timeout=30)
        major, minor = map(int, done.stdout.split())
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return major, minor
