"""What happens while Redis is away: nobody waits, and nothing is lost silently.

After a failure no caller tries again: changes that could not be written are remembered as floors to raise, and one
thread asks every few seconds whether the server is back. Once it is, the floors are raised, before anything else is
written by this process, and every cursor from before is refused.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable

from diffs.errors import StoreUnavailable

from .batch import Floors
from .ending import before_end

logger = logging.getLogger("diffs")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0

# What becomes of diffs that can't be sent, for the log.
NOT_KEPT = "but get no diffs; old cursors will be refused."
IN_OUTBOX = "and their diffs wait in the outbox."


class Outage:
    """Whether Redis is away, and what was missed meanwhile.

    Args:
        repair: raises floors; raises `StoreUnavailable` while the server is away. Called with what was missed,
            which may be nothing: then it only asks whether the server is there.
        consequence: what becomes of changes meanwhile, for the log.
    """

    def __init__(self, repair: Callable[[Floors], None], consequence: str = NOT_KEPT) -> None:
        self._repair = repair
        self._consequence = consequence
        self._lock = threading.Lock()
        self._missed = Floors()
        self._away = False
        self._closed = threading.Event()
        self._next_try = 0.0
        _alive.add(self)

    def check(self) -> None:
        """Return where the server may be asked.

        Raises:
            StoreUnavailable: it was away a moment ago.
        """
        if self._away:
            raise StoreUnavailable("Redis is away.", retry_after=max(1.0, self._next_try - time.monotonic()))

    def begin(self, error: BaseException, missed: Floors | None = None) -> None:
        """The server did not answer.

        Args:
            error: why. Its text is not logged: it may hold an address with a password.
            missed: what could not be written.
        """
        with self._lock:
            if missed:
                self._missed.add(missed)
            if self._away or self._closed.is_set():
                return
            self._next_try = time.monotonic() + FIRST_PAUSE
            try:
                threading.Thread(target=self._wait_for_server, name="diffs-outage", daemon=True).start()
            except RuntimeError:
                # No thread can be had, as when the interpreter ends: then each caller asks the server itself, and
                # what was missed is repaired with the next failure or at the end.
                return
            self._away = True
        before_end(_close_all)
        logger.error("Redis is away (%s): changes are saved %s", type(error).__name__, self._consequence)

    def close(self) -> None:
        """Stop waiting; what was missed is tried once more, and then it is forgotten."""
        self._closed.set()
        if not self._missed:
            return
        try:
            self._try()
        except StoreUnavailable:
            with self._lock:
                missed, self._missed = self._missed, Floors()
            logger.error(
                "Redis is still away, and this process won't ask again: once it is back, refuse the old cursors of %s "
                "with diffs.touch().",
                missed.models_text,
            )

    def _wait_for_server(self) -> None:
        pause = FIRST_PAUSE
        while not self._closed.wait(pause):
            try:
                self._try()
            except Exception as error:  # whatever it is, giving up would lose what was missed
                if not isinstance(error, StoreUnavailable):
                    logger.exception("Floors could not be raised; this is tried again.")
                pause = min(2 * pause, LONGEST_PAUSE)
                self._next_try = time.monotonic() + pause
            else:
                return

    def _try(self) -> None:
        """Raise the floors, and again those that were missed meanwhile; then the server counts as back."""
        while True:
            with self._lock:
                missed, self._missed = self._missed, Floors()
            try:
                self._repair(missed)
            except BaseException:
                with self._lock:
                    self._missed.add(missed)
                raise
            with self._lock:
                if not self._missed:
                    self._away = False
                    break
        logger.warning("Redis is back.")

    def _forget(self) -> None:
        """In a forked child: what was missed is the parent's to repair, and its thread is not here."""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._missed = Floors()
        self._away = False


_alive: weakref.WeakSet[Outage] = weakref.WeakSet()


def _close_all() -> None:
    for outage in list(_alive):
        outage.close()


def forget_all() -> None:
    """In a forked child: see `Outage`."""
    for outage in list(_alive):
        outage._forget()


before_end(_close_all)
os.register_at_fork(after_in_child=forget_all)
