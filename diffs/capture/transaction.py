"""Diffs wait for their transaction: what is rolled back leaves none, what is committed leaves in one trip."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from diffs.conf import settings
from diffs.store import Entry, Floors, get_store

from .context import collecting_unrecorded

logger = logging.getLogger("diffs")


class Handover:
    """Diffs, and floors to raise, that one operation made; called when its transaction is committed."""

    __slots__ = ("delivered", "entries", "floors")

    def __init__(self, entries: Sequence[Entry], floors: Floors | None = None) -> None:
        self.entries = entries
        self.floors = floors
        self.delivered = False

    def __call__(self) -> None:
        deliver([self])

    def is_lost(self, using: str) -> bool:
        """Whether the transaction was rolled back."""
        waiting: list[Any] = connections[using].run_on_commit
        return not self.delivered and all(function is not self for _, function, _ in reversed(waiting))


def record(using: str, entries: Sequence[Entry], floors: Floors | None = None) -> Handover:
    """Hand diffs over: at once in autocommit mode, else with the commit.

    Args:
        using: the database alias of the change.
        entries: its diffs, for each feed.
        floors: what old cursors are to be refused for.
    """
    handover = Handover(entries, floors)
    connection = connections[using]
    if not connection.in_atomic_block and connection.get_autocommit():
        handover()
        return handover
    if not settings.use_transactions:
        deliver([handover])
        handover = Handover(())
    # Not on_commit(), which refuses to work where transactions are managed by hand.
    waiting: list[Any] = connection.run_on_commit
    waiting.append((set(connection.savepoint_ids), handover, False))
    return handover


def deliver(handovers: Iterable[Handover]) -> None:
    """Send what was handed over.

    Raises:
        ConfigurationError: the settings don't describe a server.
    """
    entries: list[Entry] = []
    floors = Floors()
    for handover in handovers:
        handover.delivered = True
        entries += handover.entries
        if handover.floors:
            floors.add(handover.floors)
    if not entries and not floors:
        return
    store = get_store()
    try:
        if floors:
            store.raise_floors(floors)
        store.append(entries)
    except Exception:
        # The rows are already committed: a failure here must not become the user's error.
        logger.exception("Diffs could not be handed to Redis; old cursors will be refused.")
        store.raise_floors(Floors(entry.feed for entry in entries))


def patch_commit_hooks() -> Callable[[], None]:
    """Let the diffs of a transaction leave together, before other functions that wait for the commit.

    Were they called one by one among those, each would be a trip of its own, and a function that raises would take
    the diffs behind it away.

    Returns:
        What takes the patch back.
    """
    original = BaseDatabaseWrapper.run_and_clear_commit_hooks

    @functools.wraps(original)
    def run_and_clear_commit_hooks(self: BaseDatabaseWrapper) -> None:
        waiting: list[Any] = [] if self.in_atomic_block else self.run_on_commit
        handovers = [function for _, function, _ in waiting if isinstance(function, Handover)]
        try:
            if handovers:
                self.run_on_commit = [entry for entry in waiting if not isinstance(entry[1], Handover)]
                deliver(handovers)
        finally:
            original(self)

    BaseDatabaseWrapper.run_and_clear_commit_hooks = run_and_clear_commit_hooks  # type: ignore[method-assign]

    def undo() -> None:
        BaseDatabaseWrapper.run_and_clear_commit_hooks = original  # type: ignore[method-assign]

    return undo


@contextlib.contextmanager
def atomic_outside(using: str) -> Iterator[None]:
    """A transaction, unless there is one: inside another, an error would poison more than what failed."""
    if connections[using].in_atomic_block:
        yield
    else:
        with transaction.atomic(using=using):
            yield


@contextlib.contextmanager
def disabled() -> Iterator[None]:
    """Record nothing in this block, for imports; at its end the cursors of the models written are refused."""
    collected: dict[str, Floors] = {}
    try:
        with collecting_unrecorded() as collected:
            yield
    finally:
        for using, floors in collected.items():
            record(using, (), floors)
