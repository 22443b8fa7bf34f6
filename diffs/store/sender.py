"""Sending in the background: a commit puts its diffs into a queue, and a thread takes what has gathered to Redis.

There is one queue for each process, and one sender at a time, which takes the oldest first: so the order in which a
process hands its diffs over is the order in which Redis gets them, and what one transaction wrote stays together. What
has been taken stays in the queue until it was sent, so that an interruption sends it again rather than not at all.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
import weakref
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .batch import Entry, Floors, Outcome, Receipt, in_order
from .ending import before_end
from .outage import IN_OUTBOX, NOT_KEPT
from .store import Store

logger = logging.getLogger("diffs")

SENDER = "diffs-sender"
"""The name of the thread."""

LINGER = 0.02
"""How long more diffs are waited for when the first has come, in seconds.

Whenever the sender wakes while another thread computes, they fight for the interpreter, which costs as much as half a
dozen saves: the less often, the better.
"""
BATCH_DIFFS = 500
BATCH_BYTES = 1_000_000
"""What leaves at once, without waiting for more; a transaction that is larger leaves as a whole."""
MAX_DIFFS = 20_000
MAX_BYTES = 16_000_000
"""What may wait; a transaction is taken in as a whole while there is less."""
FULL_SECONDS = 1.0
"""How long a commit waits for room in a full queue."""
DRAIN_SECONDS = 5.0
"""How long the process's end, a fork or whoever asks for it waits for the queue to be empty."""

_NEVER = sys.maxsize
_NAMED_MODELS = 10


class _Item(NamedTuple):
    """What one commit handed over."""

    entries: Sequence[Entry]
    floors: Floors | None
    diffs: int
    size: int
    """Bytes."""
    receipt: Receipt | None

    @property
    def is_kept(self) -> bool:
        """Whether it stands elsewhere, too, so that nothing is lost with it."""
        return self.receipt is not None and bool(self.receipt.rows)

    @property
    def missed(self) -> Floors:
        """What must be refused where it gets lost."""
        missed = Floors(entry.feed for entry in self.entries)
        if self.floors:
            missed.add(self.floors)
        return missed


class Sender:
    """The queue of a store, and the thread that empties it; that begins with the first diff."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._closed = _ended
        self._reset()
        _alive.add(self)

    def _reset(self) -> None:
        # A signal's handler may save, in the middle of `put`.
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        self._waiting: deque[_Item] = deque()
        self._count = 0
        self._size = 0
        self._threshold = _NEVER
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._stuck = False
        self._lost: _Item | None = None
        self._sending = threading.Lock()
        self._sender: int | None = None
        self._held_for_fork = False
        self._taken: deque[_Item] = deque()

    def put(
        self, entries: Sequence[Entry], floors: Floors | None = None, receipt: Receipt | None = None
    ) -> Outcome | None:
        """Queue diffs, and before them floors to raise; waits only where the queue is full, and not for long.

        Args:
            entries: those of one transaction; not to be changed afterwards.
            floors: what old cursors are to be refused for.
            receipt: what to tell, once they were sent.

        Returns:
            Always ``None``: what becomes of them isn't known yet.
        """
        size = 0
        for entry in entries:
            size += len(entry.member)
        item = _Item(entries, floors, len(entries) or 1, size, receipt)
        with self._lock:
            if self._is_full() and not self._finds_room(item.is_kept):
                self._lose(item)
            else:
                self._waiting.append(item)
                self._count += item.diffs
                self._size += size
            # Otherwise the sender is about to look by itself.
            wakes = self._count >= self._threshold
            if wakes:
                self._threshold = _NEVER
        if wakes:
            self._wake.set()
        if (self._thread is None or self._closed) and not self._start():
            self.drain()
        return None

    def drain(self, seconds: float = DRAIN_SECONDS) -> bool:
        """Send what was put so far, in this thread.

        Args:
            seconds: how long to wait for it, more or less; the server's timeouts come on top.

        Returns:
            Whether nothing of it is left: it is stored, or its floors are raised, or will be when Redis is back.
        """
        deadline = time.monotonic() + seconds
        with self._alone(seconds) as alone:
            return alone and self._send(deadline)

    def close(self, seconds: float = DRAIN_SECONDS) -> None:
        """Send what waits, and end the thread; what is put from now on is sent at once."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._wake.set()
        if not self.drain(seconds):
            self._give_up()
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)

    def _is_full(self) -> bool:
        return self._count >= MAX_DIFFS or self._size >= MAX_BYTES

    def _finds_room(self, is_kept: bool) -> bool:
        # Whoever comes after one who has waited in vain needn't try; and the sender must not wait for itself.
        if self._stuck or self._sender == threading.get_ident():
            return False
        if self._room.wait_for(lambda: self._stuck or not self._is_full(), FULL_SECONDS) and not self._stuck:
            return True
        if not self._stuck:
            self._stuck = True
            self._room.notify_all()
            logger.error("The queue of diffs is full: changes are saved %s", IN_OUTBOX if is_kept else NOT_KEPT)
        return False

    def _lose(self, item: _Item) -> None:
        """Queue floors instead, at the place of what is lost."""
        if item.is_kept:
            return
        missed = item.missed
        lost = self._lost
        if lost is not None and lost.floors and self._waiting and self._waiting[-1] is lost:
            lost.floors.add(missed)
            return
        self._lost = _Item((), missed, 1, 0, None)
        self._waiting.append(self._lost)
        self._count += 1

    def _start(self) -> bool:
        with self._lock:
            if self._closed:
                return False
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=SENDER, daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # no thread can be had, as when the interpreter ends
                    self._thread = None
                    return False
        before_end(_close_all)
        return True

    def _run(self) -> None:
        try:
            while not self._closed:
                self._sleep_until(1)
                self._sleep_until(BATCH_DIFFS, LINGER)
                self.drain()
        finally:
            self._thread = None

    def _sleep_until(self, count: int, seconds: float | None = None) -> None:
        """Wait for so many diffs, or so long."""
        with self._lock:
            if self._closed or self._count >= count:
                return
            self._wake.clear()
            self._threshold = count
        self._wake.wait(seconds)
        self._threshold = _NEVER

    @contextlib.contextmanager
    def _alone(self, seconds: float) -> Iterator[bool]:
        """Be the one who sends; no, where another is for too long, or where it is sending that calls this."""
        if self._sender == threading.get_ident() or not self._sending.acquire(timeout=seconds):
            yield False
            return
        self._sender = threading.get_ident()
        try:
            yield True
        finally:
            self._sender = None
            self._sending.release()

    def _send(self, deadline: float) -> bool:
        interrupted = again = True
        while again:
            again = interrupted
            if not interrupted:
                with self._lock:
                    self._taken, self._waiting = self._waiting, self._taken
            interrupted = False
            while self._taken:
                if time.monotonic() > deadline:
                    return False
                # What takes the place of late diffs belongs to what was put before.
                again = self._send_batch() or again
        return True

    def _send_batch(self) -> bool:
        """Send what goes together; whether some of it was late."""
        items: list[_Item] = []
        count = size = 0
        for item in self._taken:
            if items and (
                item.floors
                or item.is_kept != items[0].is_kept
                or count + item.diffs > BATCH_DIFFS
                or size + item.size > BATCH_BYTES
            ):
                break
            items.append(item)
            count, size = count + item.diffs, size + item.size
        entries: Sequence[Entry] = [entry for item in items for entry in item.entries]
        if len(items) > 1:
            entries = in_order(entries)
        outcome = Outcome()
        try:
            outcome = self._store.write(entries, items[0].floors, keeps=items[0].is_kept)
            if items[0].is_kept or outcome.late:
                self._settle(items, outcome)
        except Exception:
            logger.exception("Diffs are lost: refuse the old cursors of their models with diffs.touch().")
        for _ in items:
            self._taken.popleft()
        with self._lock:
            self._count -= count
            self._size -= size
            self._stuck = False
            self._room.notify_all()
        return bool(outcome.late)

    def _settle(self, items: Sequence[_Item], outcome: Outcome) -> None:
        """Tell each item's receipt what became of it, those that are told by the same function together."""
        told: dict[Any, list[tuple[Receipt, Outcome]]] = defaultdict(list)
        missed = Floors()
        for item, own in zip(items, outcome.split(item.entries for item in items), strict=True):
            if item.receipt is None:
                missed.add(Floors(one.entry.feed for one in own.late))
            elif own.late or item.is_kept:
                told[item.receipt.settle].append((item.receipt, own))
        if missed:
            self._store.raise_floors(missed)
        for settle, pairs in told.items():
            settle(pairs)

    def _give_up(self) -> None:
        """There is no more time: raise floors for what still waits."""
        with self._lock:
            items = [*self._taken, *self._waiting]
            self._waiting.clear()
            self._count = self._size = 0
        missed = Floors()
        for item in items:
            if not item.is_kept:
                missed.add(item.missed)
        if missed:
            logger.error("Diffs could not be sent in time: old cursors will be refused.")
            self._store.raise_floors(missed)

    def _hold(self) -> None:
        """Before a fork: what waits is sent, and no sending is under way that the child would find half done."""
        if self._sender != threading.get_ident() and self._sending.acquire(timeout=DRAIN_SECONDS):
            self._sender = threading.get_ident()
            self._held_for_fork = True
            self._send(time.monotonic() + DRAIN_SECONDS)

    def _release(self) -> None:
        if self._held_for_fork and self._sender == threading.get_ident():
            self._held_for_fork = False
            self._sender = None
            self._sending.release()


_ended = False
_alive: weakref.WeakSet[Sender] = weakref.WeakSet()


def _close_all() -> None:
    global _ended
    _ended = True
    for sender in list(_alive):
        sender.close()
        sender._store.close()


def _hold_all() -> None:
    for sender in list(_alive):
        sender._hold()


def _release_all() -> None:
    for sender in list(_alive):
        sender._release()


def reset_all() -> None:
    """In a forked child: see `Sender`."""
    global _ended
    _ended = False
    for sender in list(_alive):
        sender._reset()


before_end(_close_all)
os.register_at_fork(before=_hold_all, after_in_parent=_release_all, after_in_child=reset_all)
