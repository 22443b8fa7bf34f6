"""The project's own server: one for all its processes, gone with the last of them, and nobody else's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket as sockets
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from diffs.errors import ConfigurationError
from diffs.store import connection, embedded, supervisor

from .embedding import release
from .processes import ENVIRONMENT, wait_for

PROGRAM = """
import sys
from django.conf import settings
settings.configure()
import redis
from diffs.store.embedded import ensure_server
socket = ensure_server(sys.argv[1])
with redis.Redis(unix_socket_path=str(socket)) as client:
    print(client.info("server")["run_id"], flush=True)
sys.stdin.read()
"""

FORKING = """
import os, sys
from django.conf import settings
settings.configure()
from diffs.store.embedded import ensure_server
ensure_server(sys.argv[1])
os.write(1, b"%d\\n" % os.fork())  # in one piece, as two processes share the pipe
sys.stdin.read()
"""

RELOADING = """
import os, signal, subprocess, sys
child = [sys.executable, "-c", sys.argv[2], sys.argv[1]]
first = subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "RUN_MAIN": "true"})
print(first.stdout.readline().decode().strip(), flush=True)
first.kill()
first.wait()
print("reloading", flush=True)
sys.stdin.read()
"""


class User:
    """Another process that uses the server."""

    def __init__(self, folder: Path, *arguments: str, program: str = PROGRAM, **options: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            **options,
        )

    def line(self) -> str:
        """The next line that it prints; the first is the server's run id."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start_user(folder: Path) -> Iterator[Any]:
    users: list[User] = []

    def start(*arguments: str, **options: Any) -> User:
        users.append(User(folder, *arguments, **options))
        return users[-1]

    yield start
    for user in users:
        user.kill()


def ask(folder: Path, section: str = "server") -> dict[str, Any]:
    with redis.Redis(unix_socket_path=str(folder / supervisor.SOCKET)) as client:
        answer: dict[str, Any] = client.info(section)
    return answer


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def parent_of(process: int) -> int:
    asked = subprocess.run(["ps", "-o", "ppid=", "-p", str(process)], capture_output=True, check=True)
    return int(asked.stdout)


def test_processes_share_one_server_that_is_gone_after_the_last_is_killed(start_user: Any, folder: Path) -> None:
    first = start_user()
    run_id = first.line()
    second = start_user()
    assert second.line() == run_id
    first.kill()
    third = start_user()
    assert third.line() == run_id
    process = ask(folder)["process_id"]
    second.kill()
    third.kill()
    wait_for(lambda: is_gone(process))
    wait_for(lambda: not folder.exists())
    assert list(folder.parent.iterdir()) == []


def test_eight_processes_that_start_at_once_get_one_server(start_user: Any, folder: Path) -> None:
    users = [start_user() for _ in range(8)]
    run_ids = {user.line() for user in users}
    assert run_ids == {ask(folder)["run_id"]}
    with redis.Redis(unix_socket_path=str(folder / supervisor.SOCKET)) as client:
        assert client.ping()


def test_user_that_comes_after_the_last_has_gone_gets_another_server(start_user: Any, folder: Path) -> None:
    run_ids = set()
    for _ in range(3):
        user = start_user()
        run_ids.add(user.line())
        user.kill()
        wait_for(lambda: not folder.exists())
    assert len(run_ids) == 3


def test_forked_child_keeps_the_server_of_its_parent(start_user: Any, folder: Path) -> None:
    parent = start_user(program=FORKING)
    child = max(int(parent.line()), int(parent.line()))
    run_id = ask(folder)["run_id"]
    os.kill(parent.process.pid, signal.SIGKILL)
    parent.process.wait()
    stays_for_some_checks(folder, run_id)
    os.kill(child, signal.SIGKILL)
    wait_for(lambda: not folder.exists())


def stays_for_some_checks(folder: Path, run_id: str) -> None:
    """The supervisor looks often enough meanwhile to end what it must not."""
    with pytest.raises(AssertionError, match="in vain"):
        wait_for(lambda: not folder.exists() or ask(folder)["run_id"] != run_id, 3 * supervisor.CHECK_SECONDS)


def test_server_outlives_a_reload_and_ends_with_the_reloader(start_user: Any, folder: Path) -> None:
    reloader = start_user(PROGRAM, program=RELOADING)
    run_id = reloader.line()
    assert reloader.line() == "reloading"
    stays_for_some_checks(folder, run_id)
    reloader.kill()
    wait_for(lambda: not folder.exists())


def test_crashed_server_is_replaced_for_those_who_use_it(start_user: Any, folder: Path) -> None:
    user = start_user()
    run_id = user.line()
    os.kill(ask(folder)["process_id"], signal.SIGKILL)
    other = start_user().line()
    assert other != run_id
    assert ask(folder)["run_id"] == other
    user.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux ends a process with its parent.")
def test_killed_supervisor_takes_its_server_along_and_the_next_user_starts_another(
    start_user: Any, folder: Path
) -> None:
    run_id = start_user().line()
    process = ask(folder)["process_id"]
    os.kill(parent_of(process), signal.SIGKILL)
    wait_for(lambda: is_gone(process))
    assert start_user().line() not in ("", run_id)


def test_server_left_by_a_killed_supervisor_is_ended_before_another_starts(start_user: Any, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    socket = folder / supervisor.SOCKET
    leftover = subprocess.Popen(
        [embedded._program(), "--port", "0", "--unixsocket", str(socket)], stdout=subprocess.DEVNULL
    )
    wait_for(lambda: supervisor.listens(socket))
    run_id = ask(folder)["run_id"]
    assert start_user().line() not in ("", run_id)
    assert leftover.wait(10) == 0


def test_nothing_of_the_starter_stays_open_and_its_ctrl_c_ends_only_itself(start_user: Any, folder: Path) -> None:
    reading, writing = os.pipe()
    starter = start_user(pass_fds=[writing], start_new_session=True, stderr=subprocess.PIPE)
    os.close(writing)
    run_id = starter.line()
    other = start_user()
    assert other.line() == run_id
    process = ask(folder)["process_id"]
    assert starter.process.pid not in {os.getsid(process), os.getsid(parent_of(process))}
    os.killpg(starter.process.pid, signal.SIGINT)
    out, error = starter.process.communicate(timeout=10)
    assert (out, error.splitlines()[-1]) == ("", "KeyboardInterrupt")
    with open(reading, "rb") as pipe:
        assert pipe.read() == b""
    assert ask(folder)["run_id"] == run_id


def test_server_has_no_port_keeps_nothing_on_disk_and_lets_nobody_else_in(folder: Path) -> None:
    socket = embedded.ensure_server(folder)
    assert socket == folder / "valkey.sock"
    names = ("port", "save", "appendonly", "zset-max-listpack-value", "maxmemory-policy")
    with redis.Redis(unix_socket_path=str(socket)) as client:
        found = {name: client.config_get(name)[name] for name in names}
    assert found == {
        "port": "0",
        "save": "",
        "appendonly": "no",
        "zset-max-listpack-value": "256",
        "maxmemory-policy": "noeviction",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, socket)} == {0o700}


def test_client_of_the_settings_talks_to_the_embedded_server(folder: Path, settings: Any) -> None:
    settings.DIFFS_SETTINGS = {"redis": {"embedded": True, "directory": str(folder), "decode_responses": True}}
    with connection.connect() as client:
        assert client.echo("here") == "here"
        assert client.info("server")["run_id"] == ask(folder)["run_id"]


@pytest.mark.parametrize("other", ["url", "host", "port", "unix_socket_path"])
def test_embedded_server_and_an_address_are_one_too_many(settings: Any, other: str) -> None:
    settings.DIFFS_SETTINGS = {"redis": {"embedded": True, other: "x"}}
    with pytest.raises(ConfigurationError, match="names two servers: by 'embedded'"):
        connection.connect()


def test_lock_that_a_daemon_has_closed_with_all_its_files_is_taken_again(folder: Path) -> None:
    embedded.ensure_server(folder)
    os.close(embedded._held[folder])
    # Another file gets the number.
    with open(os.devnull) as file:
        assert file.fileno() == embedded._held[folder]
        embedded.ensure_server(folder)
        assert embedded._held[folder] != file.fileno()
    assert not is_unused(folder)


def is_unused(folder: Path) -> bool:
    directory = os.open(folder, os.O_RDONLY)
    try:
        return supervisor._is_unused(directory, folder)
    finally:
        os.close(directory)


def test_directory_is_in_use_as_long_as_a_reloader_that_it_names_lives(folder: Path) -> None:
    folder.mkdir()
    assert is_unused(folder)
    (folder / f"{supervisor.RELOADER}{os.getpid()}").touch()
    assert not is_unused(folder)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (folder / f"{supervisor.RELOADER}{os.getpid()}").rename(folder / f"{supervisor.RELOADER}{ended.pid}")
    assert is_unused(folder)


def test_process_holds_the_directory_once_however_often_it_asks(folder: Path) -> None:
    embedded.ensure_server(folder)
    held = embedded._held[folder]
    embedded.ensure_server(folder)
    assert embedded._held[folder] == held


def test_reloader_s_child_names_its_parent_as_a_user(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUN_MAIN", "true")
    embedded._hold(folder)
    assert [path.name for path in folder.iterdir()] == [f"{supervisor.RELOADER}{os.getppid()}"]


def test_supervisor_leaves_out_what_only_linux_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert supervisor._end_with_parent() is None


def test_directory_that_goes_while_its_lock_is_waited_for_is_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, opened = fcntl.flock, os.open

    def remove_then_open(*arguments: Any) -> int:
        monkeypatch.setattr(os, "open", opened)
        folder.rmdir()
        return opened(*arguments)

    def remove_then_lock(*arguments: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        folder.rmdir()
        flock(*arguments)

    monkeypatch.setattr(os, "open", remove_then_open)
    monkeypatch.setattr(fcntl, "flock", remove_then_lock)
    embedded._hold(folder)
    assert (os.open, fcntl.flock) == (opened, flock)
    assert not is_unused(folder)


def test_supervisor_that_another_was_faster_than_leaves_the_server_to_it(folder: Path) -> None:
    embedded.ensure_server(folder)
    run_id = ask(folder)["run_id"]
    assert embedded._run_supervisor(folder)
    assert ask(folder)["run_id"] == run_id


def test_directory_that_holds_something_else_is_left_with_it(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "notes.txt").touch()
    embedded.ensure_server(folder)
    release(folder)
    wait_for(lambda: [path.name for path in folder.iterdir()] == ["notes.txt"])


def test_default_directory_is_the_project_s_and_the_user_s(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    settings.BASE_DIR = Path("/srv/site")
    mine = embedded.default_directory()
    assert str(mine).startswith(f"/tmp/diffs-{os.geteuid()}-")
    assert mine == embedded.default_directory()
    settings.BASE_DIR = "/srv/site"
    assert embedded.default_directory() == mine
    settings.BASE_DIR = "/srv/other"
    other = embedded.default_directory()
    del settings.BASE_DIR
    third = embedded.default_directory()
    settings.SETTINGS_MODULE = "shop.settings"
    fourth = embedded.default_directory()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert len({mine, other, third, fourth, embedded.default_directory()}) == 5
    assert max(len(str(path)) for path in (mine, other)) < 40


@pytest.mark.skipif(sys.platform != "linux", reason="Other systems refuse where Linux says: try again.")
def test_queue_of_connections_that_is_full_belongs_to_a_server(folder: Path) -> None:
    folder.mkdir()
    path = folder / supervisor.SOCKET
    assert not supervisor.listens(path)
    with sockets.socket(sockets.AF_UNIX) as busy, contextlib.ExitStack() as stack:
        busy.bind(str(path))
        busy.listen(0)
        with pytest.raises(BlockingIOError):
            while True:
                connecting = stack.enter_context(sockets.socket(sockets.AF_UNIX))
                connecting.setblocking(False)
                connecting.connect(str(path))
        assert supervisor.listens(path)
