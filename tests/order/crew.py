"""Processes that are forked from one that has Django ready, so that hundreds of them can be had."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import traceback
from collections.abc import Callable
from typing import Any

_forking = multiprocessing.get_context("fork")

new_flag = _forking.RawValue
"""A value that processes share, without a lock that one of them could take away with it."""
PATIENCE = 60.0
"""How long an answer may take, in seconds."""


class Hand:
    """A process that runs a function and gives back what it returns.

    Args:
        function: runs in the process, whose end of the line is its first argument.
        arguments: those behind it.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.line, other = _forking.Pipe()
        self._process = _forking.Process(target=_run, args=(other, function, arguments), daemon=True)
        self._process.start()
        other.close()

    def hear(self, patience: float = PATIENCE) -> Any:
        """What the process says next.

        Raises:
            RuntimeError: it failed, or ended without a word.
        """
        if not self.line.poll(patience):
            raise RuntimeError("A process doesn't answer.")
        try:
            found = self.line.recv()
        except EOFError:
            raise RuntimeError("A process ended without a word.") from None
        if isinstance(found, _Failure):
            raise RuntimeError(f"A process failed:\n{found}")
        return found

    def kill(self) -> None:
        """End it as a crash would; returns when it is gone."""
        self._process.kill()
        self.end()

    def end(self) -> None:
        """Wait until it has ended."""
        self._process.join(PATIENCE)
        self.line.close()

    @property
    def is_alive(self) -> bool:
        """Whether it runs still."""
        return self._process.is_alive()


class _Failure(str):
    """What a process failed with."""


def _run(line: multiprocessing.connection.Connection, function: Callable[..., Any], arguments: Any) -> None:
    try:
        line.send(function(line, *arguments))
    except BaseException:
        line.send(_Failure(traceback.format_exc()))
        raise


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function in a process of its own, so that this one never has connections or threads to give to others."""
    hand = Hand(lambda _line: function(*arguments))
    found = hand.hear()
    hand.end()
    return found
