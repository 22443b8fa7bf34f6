"""How each kind of block is run, and its outcome compared with what the page shows."""

from __future__ import annotations

import ast
import configparser
import contextlib
import doctest
import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import redis
from django.test import override_settings

from diffs import checks, conf

from . import serving
from .blocks import ROOT, Block
from .project import REDIS, environment
from .samples import Samples
from .streams import Stream, parts

SECONDS = 60
"""For a command."""
STREAM_SECONDS = 10
"""For a part of a stream."""
LONGEST_OUTPUT = 2000
ELSEWHERE = {"nginx": "tests/deployment/test_nginx.py"}
"""What runs the blocks of a language that aren't run here."""
_MISSING_PACKAGES = ("diffs.E004", "diffs.E005")
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.FAIL_FAST


class Command(NamedTuple):
    """A line behind a prompt, and what the page shows as its output."""

    line: str
    output: str


class Runner:
    """Runs blocks one after the other; names that one defines are there in the next.

    Args:
        addresses: hosts and ports that the pages name, and those that stand for them.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses
        self._samples = Samples()
        self._names: dict[str, Any] = {"__name__": "__console__"}
        self._stream: Stream | None = None
        self._served: list[list[str]] = []

    def run(self, block: Block, report: TextIO) -> None:
        """Run a block.

        Blocks that are files of the project are in it already.

        Args:
            block: the block.
            report: where to write what came out otherwise than the page says.

        Raises:
            Exception: whatever its code raises; or nobody knows how to run it.
        """
        if block.path or block.language in ELSEWHERE:
            return
        kind = "session" if block.text.startswith(">>> ") else block.language
        runs = {
            "session": self._session,
            "python": self._snippet,
            "console": self._console,
            "json": self._json,
            "ini": self._unit,
        }
        if self._stream is not None:
            runs["text"] = self._more
        if kind not in runs:
            raise ValueError("Nobody knows how to run this.")
        runs[kind](block, report)

    def close(self, report: TextIO) -> None:
        """End what is still running.

        Args:
            report: where to write what had come besides what the page shows.
        """
        if self._stream is not None and (left := self._stream.close()):
            report.write(f"The stream had more:\n{left[:LONGEST_OUTPUT]}\n")
        self._stream = None

    def _session(self, block: Block, report: TextIO) -> None:
        test = doctest.DocTestParser().get_doctest(self._replaced(block.text), {}, str(block), block.page, block.line)
        test.globs = self._names
        runner = doctest.DocTestRunner(_Checker(self._samples), verbose=False, optionflags=_FLAGS)
        runner.run(test, out=report.write, clear_globs=False)

    def _snippet(self, block: Block, report: TextIO) -> None:
        self._names.pop(conf.NAME, None)
        exec(compile(self._replaced(block.text), str(block), "exec"), self._names)
        if conf.NAME in self._names:
            with override_settings(**{conf.NAME: self._names[conf.NAME]}):
                for problem in checks.check_settings():
                    if problem.id not in _MISSING_PACKAGES:
                        report.write(f"{problem}\n")

    def _json(self, block: Block, report: TextIO) -> None:
        json.loads(block.text)

    def _unit(self, block: Block, report: TextIO) -> None:
        """A systemd unit; its command has to be one that was run before."""
        unit = configparser.ConfigParser(interpolation=None)
        unit.read_string(block.text)
        program, *arguments = shlex.split(unit["Service"]["ExecStart"])
        if [Path(program).name, *arguments] not in self._served:
            report.write("The command is none of those above.\n")

    def _console(self, block: Block, report: TextIO) -> None:
        for command in _commands(block.text):
            self.close(report)
            if command.line.startswith("curl -N "):
                self._stream = Stream(self._shell(f"exec {command.line}"), environment())
                output = self._stream.take(command.output, STREAM_SECONDS)
                self._compare(command, output, _comparable_parts, report)
            else:
                self._compare(command, self._outcome(command.line), _comparable, report)

    def _more(self, block: Block, report: TextIO) -> None:
        """What a stream that was begun by an earlier block gives next."""
        assert self._stream is not None
        self._compare(Command("", block.text), self._stream.take(block.text, STREAM_SECONDS), _comparable_parts, report)

    def _compare(
        self, command: Command, output: str, comparable: Callable[[str, str], tuple[str, str]], report: TextIO
    ) -> None:
        want, got = comparable(command.output, self._as_shown(output))
        if want and not _Checker(self._samples).check_output(want, got, _FLAGS):
            report.write(f"$ {command.line}\nExpected:\n{command.output}\nGot:\n{output[:LONGEST_OUTPUT]}\n")

    def _outcome(self, line: str) -> str:
        """Run a command and give what it prints.

        Raises:
            ValueError: it failed, or isn't one that can be run here.
        """
        words = shlex.split(line)
        if words[0] == "make":
            return _check_make(words[1:])
        if words[:3] == ["python", "-m", "pip"]:
            return _check_extras(words)
        if words[0] == "redis-cli":
            return self._redis(words[1:])
        if words[0] in serving.SERVERS:
            self._served.append(words)
            return serving.check(shlex.split(self._replaced(line)))
        if words[0] not in ("curl", "python"):
            raise ValueError(f"{line}: nobody knows how to run this.")
        done = subprocess.run(self._shell(line), env=environment(), capture_output=True, text=True, timeout=SECONDS)
        if done.returncode:
            raise ValueError(f"{line}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def _shell(self, line: str) -> list[str]:
        python = f'python() {{ {shlex.quote(sys.executable)} "$@"; }}'
        return ["bash", "-c", f"set -o pipefail; {python}; {self._replaced(line)}"]

    def _redis(self, words: list[str]) -> str:
        client = redis.Redis.from_url(f"redis://{self._addresses[REDIS]}", decode_responses=True)
        with client:
            reply = client.execute_command(*words)
        return "\n".join(map(str, reply)) if isinstance(reply, list) else str(reply)

    def _replaced(self, text: str) -> str:
        for shown, real in self._addresses.items():
            text = text.replace(shown, real)
        return self._samples.as_real(text)

    def _as_shown(self, text: str) -> str:
        for shown, real in self._addresses.items():
            text = text.replace(real, shown)
        return text


class _Checker(doctest.OutputChecker):
    """Compares output with samples in the place of what differs from run to run."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(want, self._samples.as_shown(want, got), optionflags)


def _comparable(want: str, got: str) -> tuple[str, str]:
    """Two outputs as they can be compared: of headers those that the page shows, documents by their values."""
    got = got.replace("\r\n", "\n")
    if want.startswith("HTTP/"):
        want_head, _, want_body = want.partition("\n\n")
        head, _, body = got.partition("\n\n")
        # Servers write headers' names in their own way.
        names = {line.partition(":")[0].lower(): line.partition(":")[0] for line in want_head.splitlines()}
        kept = [
            names[name.lower()] + colon + value
            for name, colon, value in (line.partition(":") for line in head.splitlines())
            if name.lower() in names
        ]
        want_body, body = _comparable(want_body, body) if want_body else ("", "")
        return "\n".join((*sorted(want_head.splitlines()), want_body)), "\n".join((*sorted(kept), body))
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError):
            return json.dumps(read(want)), json.dumps(read(got))
    return want, got


def _comparable_parts(want: str, got: str) -> tuple[str, str]:
    """The same of what comes piece by piece, heads, events and documents, line by line."""
    wanted, gotten = "", ""
    for pair in itertools.zip_longest(parts(want), parts(got), fillvalue=""):
        is_head = pair[0].startswith("HTTP/")
        lines = [pair] if is_head else itertools.zip_longest(*(part.splitlines() for part in pair), fillvalue="")
        for want_line, got_line in lines:
            name = "data: " if want_line.startswith("data: ") and got_line.startswith("data: ") else ""
            one, other = _comparable(want_line.removeprefix(name), got_line.removeprefix(name))
            wanted, gotten = f"{wanted}{name}{one}\n", f"{gotten}{name}{other}\n"
    return wanted, gotten


def _commands(text: str) -> Iterator[Command]:
    before, *parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    if before:
        raise ValueError("A block of commands begins with a prompt: $.")
    for part in parts:
        line, _, output = part.replace("\\\n", "").partition("\n")
        yield Command(line, output.strip("\n"))


def _check_make(words: list[str]) -> str:
    """Nothing is made; targets and variables have to be there."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        name, is_variable, _ = word.partition("=")
        if not re.search(rf"^{name} \?=" if is_variable else rf"^{name}:.* ## ", makefile, re.MULTILINE):
            raise ValueError(f"The Makefile has no {name}.")
    return ""


def _check_extras(words: list[str]) -> str:
    """Nothing is installed or uninstalled; the extras that are named have to be there."""
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    for extra in re.findall(r"\[([\w,]+)\]", " ".join(words)):
        for name in extra.split(","):
            if f'"{name}": ' not in setup:
                raise ValueError(f"There is no extra {name!r}.")
    return ""
