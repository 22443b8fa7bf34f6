"""Django's source distribution: the only place where its tests are published."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import django

# The first releases of Python 3.10 and 3.11 don't know it.
_SAFELY: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


def django_tests(cache: Path) -> Path:
    """Return the folder of the installed Django's own tests, fetched by pip when it is not cached yet.

    Args:
        cache: Folder that keeps the unpacked distributions; created, and ignored by git, where missing.

    Returns:
        The `tests` folder that holds `runtests.py`, of exactly the version that is installed.

    Raises:
        RuntimeError: pip could not get the source distribution.
    """
    version = django.get_version()
    unpacked = cache / f"django-{version}"
    if not unpacked.exists():
        cache.mkdir(parents=True, exist_ok=True)
        (cache / ".gitignore").write_text("*\n")
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            archive = _download(version, Path(scratch))
            with tarfile.open(archive) as packed:
                packed.extractall(scratch, **_SAFELY)
            # Moved into place as a whole: a run that is stopped half-way leaves no half a Django behind.
            (Path(scratch) / f"django-{version}").rename(unpacked)
    return unpacked / "tests"


def _download(version: str, folder: Path) -> Path:
    """Let pip download the source distribution of `version` into `folder`.

    Only Django is kept from coming as a wheel: pip asks a distribution for its metadata, and the tools it needs
    for that are to come as wheels, not to be built in turn.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", "Django", "--dest", str(folder), f"Django=={version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tar.gz"))
    if done.returncode or len(archives) != 1:
        raise RuntimeError(f"pip could not download the source distribution of Django {version}:\n{done.stderr}")
    return archives[0]
