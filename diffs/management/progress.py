"""How far a command is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import shutil
import time

from django.core.management.base import OutputWrapper

REDRAW_SECONDS = 0.1
LINE_SECONDS = 10.0
BAR = 24


class Progress:
    """Tells of work.

    Args:
        out: where to write.
        every_step: where `out` is no terminal, write a line at each step.
    """

    def __init__(self, out: OutputWrapper, *, every_step: bool = False) -> None:
        self._out = out
        self._text = ""
        self.is_terminal = out.isatty()
        self._pause = REDRAW_SECONDS if self.is_terminal else 0.0 if every_step else LINE_SECONDS
        # The first line of a log comes after a pause, too: short work leaves none.
        self._next = time.monotonic() + (0.0 if self.is_terminal else self._pause)
        self.total: int | None = None
        """How much there is to do; ``None`` until it is known."""

    def show(self, done: int, text: str) -> None:
        """Say how much is done, unless something was said a moment ago.

        Args:
            done: of `total`.
            text: what came of it so far.
        """
        before, self._text = self._text, f"{self._bar(done)}{text}" if self.is_terminal else text
        if self._text != before and time.monotonic() >= self._next:
            self._write()

    def interrupt(self) -> None:
        """Make room for a line of something else; the bar comes again below it."""
        if self.is_terminal:
            self._out.write("\r\x1b[K", ending="")

    def finish(self) -> None:
        """Leave the last state on the terminal."""
        if self.is_terminal and self._text:
            self._write()
            self._out.write()

    def _bar(self, done: int) -> str:
        if self.total is None:
            return ""
        share = min(1.0, done / self.total) if self.total else 1.0
        filled = int(share * BAR)
        return f"[{'#' * filled}{'-' * (BAR - filled)}] {int(share * 100):3d}%  "

    def _write(self) -> None:
        self._next = time.monotonic() + self._pause
        if self.is_terminal:
            # A line that is longer than the terminal would not be overwritten by the next.
            self._out.write(f"\r\x1b[K{self._text[: shutil.get_terminal_size().columns - 1]}", ending="")
        else:
            self._out.write(self._text)
        self._out.flush()
