"""What is left in the outbox, because a process was killed or Redis was away, is sent in the order of its rows.

Several may do it at once, beside those who send what they have just committed: what Redis has already isn't taken
twice, and rows that are gone are nobody's matter.
"""

from __future__ import annotations

import datetime as dt
import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from diffs.errors import MemberError
from diffs.store import Entry, Floors, Receipt, get_store, in_order

from . import outbox
from .numbering import stamped
from .outbox import Item
from .sending import settle, when_free

logger = logging.getLogger("diffs")

AT_ONCE = 500
SWEEP_SECONDS = 10.0
"""How often a process that commits looks for what others have left."""
SWEEP_GRACE = 5.0
"""What is younger is probably being sent, in seconds."""

_next_sweep: dict[str, float] = {}


class Relayed(NamedTuple):
    """What relaying some rows gave."""

    rows: int = 0
    """How many were looked at."""
    sent: int = 0
    """Diffs that Redis took or had, counted for each feed."""
    late: int = 0
    """Diffs whose rows were read again."""
    refused: int = 0
    """Feeds and models whose old cursors were refused instead, because diffs were too old or floors were asked for."""
    left: int = 0
    """Rows that Redis didn't take."""
    last: int = 0
    """The last row that was looked at."""


class _Run(NamedTuple):
    """Rows that are sent together: floors first, then diffs."""

    items: list[Item]
    entries: list[list[Entry]]
    """For each row."""
    floors: Floors


def relay(using: str, *, limit: int = AT_ONCE, grace: float = 0.0, above: int = 0) -> Relayed:
    """Send the oldest rows of the outbox.

    Args:
        using: the database alias.
        limit: how many rows at the most.
        grace: leave out what is younger than so many seconds.
        above: only rows behind this one.

    Raises:
        ConfigurationError: the settings don't describe a server.
    """
    items = outbox.oldest(using, limit, grace=grace, above=above)
    sent = late = refused = left = 0
    for run in _runs(items):
        outcome = get_store().write(in_order([*itertools.chain(*run.entries)]), run.floors or None, keeps=True)
        parts = list(outcome.split(run.entries))
        settle([(Receipt(using, settle, (item.row,)), part) for item, part in zip(run.items, parts, strict=True)])
        left += sum(not part.is_complete for part in parts)
        late += len(outcome.late)
        sent += sum(map(len, run.entries)) - len(outcome.late) - len(outcome.unsent)
        refused += len(run.floors.feeds) + len(run.floors.models) + run.floors.everything if outcome.is_floored else 0
        if not outcome.is_complete:
            break
    return Relayed(len(items), sent, late, refused, left, items[-1].row if items else above)


def sweep(using: str) -> None:
    """Send some of what others have left, every few seconds; never raises.

    Args:
        using: the database alias.
    """
    now = time.monotonic()
    if now < _next_sweep.get(using, 0.0):
        return
    _next_sweep[using] = now + SWEEP_SECONDS
    when_free(using, lambda: _sweep(using), lambda: None)


def _sweep(using: str) -> None:
    try:
        relayed = relay(using, grace=SWEEP_GRACE)
    except Exception:
        logger.exception("What others have left in the outbox can't be sent; this is tried again.")
        return
    if relayed.rows == AT_ONCE and not relayed.left:
        # There is more.
        _next_sweep[using] = 0.0


def _runs(items: Sequence[Item]) -> Iterator[_Run]:
    """Rows in their order, floors never before diffs of earlier rows."""
    run = _Run([], [], Floors())
    for item in items:
        entries, floors = _contents(item)
        if floors and any(run.entries):
            yield run
            run = _Run([], [], Floors())
        run.items.append(item)
        run.entries.append(entries)
        run.floors.add(floors)
    if run.items:
        yield run


def _contents(item: Item) -> tuple[list[Entry], Floors]:
    """A row's diffs with their version, and what is to be refused: also for diffs that are too old to be appended."""
    try:
        entries, floors = item.contents()
    except MemberError as error:
        logger.error("%s Old cursors will be refused.", error)
        return [], Floors(everything=True)
    fresh = []
    for entry in entries:
        if item.age > dt.timedelta(microseconds=entry.feed.window / 2):
            floors.add(Floors([entry.feed]))
        else:
            fresh.append(entry)
    return stamped(fresh, item.row), floors
