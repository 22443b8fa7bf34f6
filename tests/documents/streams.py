"""An answer that comes piece by piece, from a command that goes on while later blocks are run."""

from __future__ import annotations

import queue
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from typing import IO

_ID = re.compile(r"^id: .*$", re.MULTILINE)


class Stream:
    """A command and the parts of its output, which have an empty line between them.

    Args:
        command: what to run.
        environment: its environment variables.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._parts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._id = ""
        self._thread = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._thread.start()

    def take(self, shown: str, seconds: float) -> str:
        """What came since the last call: as many parts as a text has.

        Heartbeats are passed over, but where one is shown.

        Args:
            shown: the text.
            seconds: how long to wait for each of them.
        """
        return "\n\n".join(filter(None, [self._next(part, seconds) for part in parts(shown)]))

    def close(self) -> str:
        """End the command.

        Returns:
            What it had printed besides.
        """
        self._process.terminate()
        self._process.wait()
        self._thread.join()
        return "\n\n".join(part for part in iter(self._parts.get, None) if not self._is_heartbeat(part))

    def _next(self, shown: str, seconds: float) -> str | None:
        while True:
            try:
                part = self._parts.get(timeout=seconds)
            except queue.Empty:
                return None
            if part is None:
                # For whoever asks next.
                self._parts.put(None)
                return None
            if not self._is_heartbeat(part) or _ID.fullmatch(shown):
                return part

    def _is_heartbeat(self, part: str) -> bool:
        """Whether a part says only what the last one said."""
        before = self._id
        if match := _ID.search(part):
            self._id = match[0]
        return part == before

    def _read(self, output: IO[bytes]) -> None:
        text = ""
        with output:
            for line in output:
                text += line.decode().replace("\r\n", "\n")
                if not line.strip():
                    self._put(text)
                    text = ""
        self._put(text)
        self._parts.put(None)

    def _put(self, text: str) -> None:
        if text.strip():
            self._parts.put(text.strip("\n"))


def parts(text: str) -> Iterator[str]:
    """The parts of a text, in which a line that begins with a space belongs to the one before."""
    for part in filter(None, re.split(r"\n{2,}", text.strip("\n"))):
        yield re.sub(r"\n +", " ", part)
