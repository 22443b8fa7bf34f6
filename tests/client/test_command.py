"""What ``python -m diffs.client`` writes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from diffs.http.tokens import make_token
from tests.endpoint.feeds import Feed
from tests.testapp.models import Question

from .faulty import Faulty, problem, reply
from .sites import Site, free_port

COMMAND = [sys.executable, "-m", "diffs.client"]
PATIENCE = 60

site_only = pytest.mark.parametrize("site", ["asgi"], indirect=True)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    ours = {**os.environ, "TZ": "UTC", **environment}
    return subprocess.run([*COMMAND, *arguments], env=ours, capture_output=True, text=True, timeout=PATIENCE)


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._master, slave = pty.openpty()
        ours = {**os.environ, "TERM": "xterm", **environment}
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], env=ours, stdin=slave, stdout=slave, stderr=subprocess.PIPE, text=True
        )
        os.close(slave)
        self._seen = ""

    def line(self) -> str:
        """The next line."""
        while "\n" not in self._seen:
            self._seen += os.read(self._master, 65536).decode()
        line, _, self._seen = self._seen.partition("\r\n")
        return line

    def end(self, signal_number: int) -> tuple[int, str]:
        """End it; gives its status and what it wrote to the standard error."""
        self.process.send_signal(signal_number)
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self._master)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **environment: str) -> Terminal:
            terminal = Terminal(*arguments, **environment)
            stack.callback(terminal.close)
            return terminal

        yield start


@site_only
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_lines_are_coloured_and_the_end_says_where_to_go_on(
    site: Site, notices: Feed, terminal: Callable[..., Terminal], number: int, status: int
) -> None:
    notices.append("create", {"headline": "Fire"})
    tail = terminal(f"{site.url}testapp.notice/1/", "--since", "oldest")
    plain = r"\x1b\[2m\d\d:\d\d:\d\d\.\d{3}\x1b\[0m  "
    assert re.fullmatch(
        plain + r"\x1b\[32mcreate\x1b\[0m  \x1b\[1mtestapp\.notice 1\x1b\[0m  \x1b\[2mheadline=\x1b\[0m\"Fire\"",
        tail.line(),
    )
    notices.append("delete", actor="ada")
    assert re.fullmatch(plain + r"\x1b\[31mdelete\x1b\[0m  \x1b\[1mtestapp\.notice 1\x1b\[0m", tail.line())
    ended, errors = tail.end(number)
    assert ended == status
    assert (place := re.fullmatch(r"Go on with: (--since \w{8}_[0-9a-f]+)\n", errors))
    notices.append("update", {"body": "Out"})
    done = run(f"{site.url}testapp.notice/1/", "--once", *shlex.split(place[1]))
    # The signal may come when a line is written, and it isn't noted yet.
    assert re.fullmatch(
        r"(.*  delete  .*\n)?\d\d:\d\d:\d\d\.\d{3}  update  testapp\.notice 1  body=\"Out\"\n", done.stdout
    )


@site_only
def test_colours_can_be_done_without(site: Site, notices: Feed, terminal: Callable[..., Terminal]) -> None:
    notices.append("update", {"body": "x" * 1000})
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        line = terminal(f"{site.url}testapp.notice/1/", "--since", "oldest", **environment).line()
        assert line.endswith('  update  testapp.notice 1  body="' + "x" * 78 + "…")


@site_only
def test_several_feeds_are_named_in_the_lines_and_at_the_end(site: Site, notices: Feed, others: Feed) -> None:
    notices.append("update", {"body": "a"})
    others.append("update", {"body": "b"}, omitted=["headline"])
    done = run(site.url, notices.name, others.name, "--once")
    lines = [line.split("  ", 1)[1] for line in done.stdout.splitlines()]
    assert lines == [
        'update  testapp.notice 1  body="a"  in testapp.notice:1',
        'update  testapp.notice 2  body="b"  headline=(omitted)  in testapp.notice:2',
    ]
    places = {feed.name: f"{feed.now()}@{feed.name}" for feed in (notices, others)}
    assert done.stderr == "Go on with: " + " ".join(f"--since {place}" for place in places.values()) + "\n"
    notices.append("delete")
    again = run(site.url, notices.name, others.name, "--once", "--json", "--since", places[notices.name])
    assert [json.loads(line)["action"] for line in again.stdout.splitlines()] == ["update", "delete"]


@site_only
def test_documents_for_programs(site: Site, notices: Feed) -> None:
    document = notices.append("update", {"body": "\x1b[31m火"}, version=2**53, omitted=["headline"])
    cursor = str(notices.now())
    done = run(f"{site.url}testapp.notice/1/", "--once", "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"event": "diff", "feed": notices.name, "cursor": cursor, **document}
    ]
    reset = run(f"{site.url}testapp.notice/1/", "--once", "--json", "--since", "00000000_0")
    assert json.loads(reset.stdout) == {"event": "reset", "feed": notices.name, "reason": "reset", "cursor": cursor}


@site_only
def test_refused_cursor_is_a_line(site: Site, notices: Feed) -> None:
    done = run(f"{site.url}testapp.notice/1/", "--once", "--since", "00000000_0")
    assert re.fullmatch(r"[\d:.]+  reset   testapp\.notice:1 \(reset\)\n", done.stdout)


@site_only
def test_what_others_wrote_does_not_steer_the_terminal(site: Site, notices: Feed) -> None:
    notices.append("update", {"\x1b[1m": "\x1b]0;title\x07 \x9b31m \u202e"}, actor=None)
    done = run(f"{site.url}testapp.notice/1/", "--once")
    assert done.stdout.partition("  ")[2] == (
        r'update  testapp.notice 1  \x1b[1m="\u001b]0;title\u0007 \x9b31m \u202e"' + "\n"
    )


@site_only
def test_terminal_that_lacks_characters_gets_them_written_out(site: Site, notices: Feed) -> None:
    notices.append("update", {"body": "火"})
    done = run(f"{site.url}testapp.notice/1/", "--once", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.stdout.endswith(r'body="\u706b"' + "\n")


@site_only
def test_token_comes_from_the_environment_or_from_a_file(site: Site, tmp_path: Path) -> None:
    questions = Feed(Question, 42)
    questions.append()
    token = make_token(questions.ref.name)
    file = tmp_path / "token"
    file.write_text(f"{token}\n")
    assert run(site.url, questions.name, "--once").stderr == (
        f"401 for {questions.name}: Log in, or send a feed token, to see this feed.\n"
    )
    for options, environment in [([], {"DIFFS_TOKEN": token}), (["--token-file", str(file)], {"DIFFS_TOKEN": "wrong"})]:
        done = run(site.url, questions.name, "--once", *options, **environment)
        assert done.returncode == 0
        assert "testapp.question 42" in done.stdout
        assert token not in done.stdout + done.stderr


@site_only
def test_pipe_that_breaks_ends_it_quietly(site: Site, notices: Feed) -> None:
    for _ in range(5):
        notices.append()
    command = [*COMMAND, f"{site.url}testapp.notice/1/", "--since", "oldest"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        assert "update" in process.stdout.readline()
        process.stdout.close()
        notices.append()
        assert process.stderr.read() == ""
        assert process.wait(PATIENCE) == 141


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["https://example.com/diffs/?token=secret"], "Nothing behind ? or #"),
        (["https://example.com/diffs/"], "Name a feed"),
        (["https://example.com/a.b/", "--since", "x", "--since", "y"], "--since is given once"),
        (["https://example.com/", "a.b", "--since", "x@a.c"], "a.c, which isn't among the feeds"),
        (["https://example.com/", "a.b", "a.c", "--since", "x"], "mapping"),
    ],
)
def test_what_can_not_be_used_is_said(arguments: list[str], says: str) -> None:
    done = run(*arguments, "--once")
    assert done.returncode in (1, 2)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_server_that_is_away_is_said_and_waited_for(terminal: Callable[..., Terminal]) -> None:
    address = f"http://127.0.0.1:{free_port()}/diffs/polls.question/1/"
    done = run(address, "--once")
    assert (done.returncode, done.stdout) == (1, "")
    assert "refused" in done.stderr
    tail = terminal(address)
    assert tail.process.stderr
    assert "refused; trying again in" in tail.process.stderr.readline()
    assert tail.end(signal.SIGINT)[0] == 130


@pytest.mark.parametrize("fault", [problem(404, "There is no such feed."), reply("200 OK", b"<h1>Welcome</h1>")])
def test_wrong_address_is_said(fault: bytes) -> None:
    with Faulty() as server:
        server.faults.append(fault)
        done = run(f"{server.url}polls.question/1/")
    assert done.returncode == 1
    assert re.search("no such feed|no answer of a diffs endpoint", done.stderr)
