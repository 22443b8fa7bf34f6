"""Diffs wait for their transaction: what is rolled back leaves none, what is committed leaves in one trip."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, ClassVar

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from diffs.conf import settings
from diffs.store import Entry, Floors

from . import relay
from .context import collecting_unrecorded
from .numbering import numbered
from .sending import MANUAL, send


class Handover:
    """Diffs, and floors to raise, that one operation made; called when its transaction is committed."""

    __slots__ = ("_connection", "_place", "_savepoint", "delivered", "entries", "floors", "rows", "using")

    waiting: ClassVar[set[int]] = set()
    """Not empty while a transaction of this process has changes that are neither committed nor forgotten."""

    def __init__(
        self, using: str, entries: Sequence[Entry], floors: Floors | None = None, rows: Sequence[int] = ()
    ) -> None:
        self.using = using
        self.entries = entries
        self.floors = floors
        self.rows = rows
        self.delivered = False
        self._connection: Any = None
        self._place = 0
        self._savepoint = 0

    def __call__(self) -> None:
        deliver([self])

    def wait(self, connection: Any) -> None:
        """Be called with the commit of what the connection is in the middle of."""
        self._connection = connection
        self._place = len(connection.run_on_commit)
        self._savepoint = connection.savepoint_state
        # Not on_commit(), which refuses to work where transactions are managed by hand.
        connection.run_on_commit.append((set(connection.savepoint_ids), self, False))
        self.waiting.add(id(self))

    def __del__(self) -> None:
        self.waiting.discard(id(self))

    def goes_with(self, other: Handover | None) -> bool:
        """Whether the same rollbacks take both changes away, of which `other` is the earlier one."""
        return (
            other is not None
            and not other.delivered
            and other._connection is self._connection
            and other._savepoint == self._savepoint
            and not other.is_lost
        )

    @property
    def is_lost(self) -> bool:
        """Whether the transaction, or its savepoint, was rolled back."""
        if self.delivered:
            return False
        # What is rolled back is always the list's end, so that what stays keeps its place.
        waiting = self._connection.run_on_commit
        return len(waiting) <= self._place or waiting[self._place][1] is not self

    def is_behind(self, savepoint: str) -> bool:
        """Whether it was recorded after a savepoint was made, by the number in the savepoint's name."""
        return self._savepoint >= int(savepoint.rpartition("_x")[2])


def newest_waiting(using: str) -> Handover | None:
    """The last change of the transaction that is under way: what is read now goes when that is rolled back."""
    waiting: list[Any] = connections[using].run_on_commit
    for _, function, _ in reversed(waiting):
        if isinstance(function, Handover):
            return function
    return None


def in_transaction(using: str) -> bool:
    """Whether what is written now can still be rolled back."""
    return _can_roll_back(connections[using])


def _can_roll_back(connection: Any) -> bool:
    if connection.in_atomic_block:
        return True
    # One that is open knows; asking another opens it.
    return not (connection.get_autocommit() if connection.connection is None else connection.autocommit)


def record(using: str, entries: Sequence[Entry], floors: Floors | None = None) -> Handover | None:
    """Hand diffs over: at once in autocommit mode, else with the commit.

    Args:
        using: the database alias of the change.
        entries: its diffs, for each feed.
        floors: what old cursors are to be refused for.

    Returns:
        What a rollback takes away; ``None`` where nothing can be rolled back.
    """
    gathering = _gathering.get()
    if gathering is not None and gathering.entries and gathering.using == using:
        # What comes in the middle keeps its place.
        gathered, gathering.entries = gathering.entries, []
        record(using, gathered)
    connection = connections[using]
    entries, rows = numbered(using, entries, floors)
    if not _can_roll_back(connection):
        _send(using, entries, floors, rows)
        return None
    if not settings.use_transactions:
        _send(using, entries, floors, rows)
        entries, floors, rows = (), None, ()
    handover = Handover(using, entries, floors, rows)
    handover.wait(connection)
    return handover


class _Gathering:
    """The diffs of an operation that makes them one by one."""

    def __init__(self, using: str) -> None:
        self.using = using
        self.entries: list[Entry] = []


_gathering: ContextVar[_Gathering | None] = ContextVar("diffs_gathering", default=None)


@contextlib.contextmanager
def gathering(using: str) -> Iterator[None]:
    """Let what is gathered in this block be recorded together, so that it gets one version and one row of the outbox.

    Args:
        using: the database alias; a transaction is under way.
    """
    gathered = _Gathering(using)
    token = _gathering.set(gathered)
    try:
        yield
    finally:
        _gathering.reset(token)
    record(using, gathered.entries)


def gather(using: str, entries: Sequence[Entry]) -> None:
    """Record diffs with others of the operation that is under way, or at once where none gathers."""
    gathering = _gathering.get()
    if gathering is None or gathering.using != using:
        record(using, entries)
    else:
        gathering.entries += entries


def deliver(handovers: Iterable[Handover]) -> None:
    """Send what was handed over, all of one database; never raises, as the rows are already committed."""
    entries: list[Entry] = []
    floors = Floors()
    rows: list[int] = []
    using = ""
    for handover in handovers:
        handover.delivered = True
        Handover.waiting.discard(id(handover))
        using = handover.using
        entries += handover.entries
        rows += handover.rows
        if handover.floors:
            floors.add(handover.floors)
    _send(using, entries, floors, rows)


def _send(using: str, entries: Sequence[Entry], floors: Floors | None, rows: Sequence[int]) -> None:
    send(using, entries, floors, rows)
    if rows:
        relay.sweep(using)


def patch_commits() -> Callable[[], None]:
    """Let the diffs of a transaction leave together, before the functions that wait for the commit.

    Were they called one by one among those, each would be a trip of its own, and a function that raises would take
    the diffs behind it away. Where transactions and savepoints are managed by hand, nothing would call them, or forget
    them.

    Returns:
        What takes the patches back.
    """
    commit, set_autocommit = BaseDatabaseWrapper.commit, BaseDatabaseWrapper.set_autocommit
    savepoint_rollback = BaseDatabaseWrapper.savepoint_rollback

    @functools.wraps(commit)
    def commit_and_deliver(self: BaseDatabaseWrapper) -> None:
        commit(self)
        _deliver_waiting(self)

    @functools.wraps(set_autocommit)
    def set_autocommit_and_deliver(self: BaseDatabaseWrapper, autocommit: bool, *args: Any, **options: Any) -> None:
        # `atomic()` says that a transaction is to begin, whoever manages transactions by hand doesn't.
        setattr(self, MANUAL, not autocommit and not (args or options))
        set_autocommit(self, autocommit, *args, **options)
        # Some databases commit what was left open.
        if autocommit:
            _deliver_waiting(self)

    @functools.wraps(savepoint_rollback)
    def savepoint_rollback_and_forget(self: BaseDatabaseWrapper, sid: str) -> None:
        savepoint_rollback(self, sid)
        _forget_waiting(self, sid)

    BaseDatabaseWrapper.commit = commit_and_deliver  # type: ignore[method-assign]
    BaseDatabaseWrapper.set_autocommit = set_autocommit_and_deliver  # type: ignore[method-assign]
    BaseDatabaseWrapper.savepoint_rollback = savepoint_rollback_and_forget  # type: ignore[method-assign]

    def undo() -> None:
        BaseDatabaseWrapper.commit = commit  # type: ignore[method-assign]
        BaseDatabaseWrapper.set_autocommit = set_autocommit  # type: ignore[method-assign]
        BaseDatabaseWrapper.savepoint_rollback = savepoint_rollback  # type: ignore[method-assign]

    return undo


def _forget_waiting(connection: Any, savepoint: str) -> None:
    """Django itself forgets what is behind savepoints of ``atomic()`` only."""
    if connection._savepoint_allowed():
        connection.run_on_commit = [
            entry
            for entry in connection.run_on_commit
            if not (isinstance(entry[1], Handover) and entry[1].is_behind(savepoint))
        ]


def _deliver_waiting(connection: Any) -> None:
    handovers = [function for _, function, _ in connection.run_on_commit if isinstance(function, Handover)]
    if handovers:
        connection.run_on_commit = [entry for entry in connection.run_on_commit if not isinstance(entry[1], Handover)]
        deliver(handovers)


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
