"""From a committed change to Redis, and what is left to do once that has answered.

Settling needs the database (to read the rows of late diffs again, to empty the outbox), and waits until its connection
is free for it: behind the commit, before the functions that wait for it.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connections

from diffs.store import SENDER, Entry, Floors, Late, Outcome, Receipt, get_store, hand_over

from . import late, outbox

logger = logging.getLogger("diffs")

MOST_TRIES = 5
"""How often the place of a late diff is taken by one that is late again."""
MANUAL = "diffs_is_manual"
"""The attribute of a connection whose transactions the project begins and ends itself, without ``atomic()``."""


def send(
    using: str, entries: Sequence[Entry], floors: Floors | None, rows: Sequence[int] = (), *, tries: int = 0
) -> None:
    """Send what was committed; never raises.

    Args:
        using: the database alias.
        entries: diffs, with their versions.
        floors: what old cursors are to be refused for.
        rows: where it stands in the outbox.
        tries: how often these diffs were late before.
    """
    if not entries and not floors:
        return
    receipt = Receipt(using, settle, rows, tries)
    try:
        outcome = hand_over(entries, floors, receipt)
    except Exception:
        logger.exception("There is no server for diffs: changes get none.")
        return
    if outcome is not None and (outcome.late or rows):
        settle([(receipt, outcome)])


def settle(told: Sequence[tuple[Receipt, Outcome]]) -> None:
    """Replace what came late, and remove from the outbox what Redis has, once the database can be used; never raises.

    Args:
        told: what became of what was sent.
    """
    by_database: dict[str, list[tuple[Receipt, Outcome]]] = defaultdict(list)
    for each in told:
        by_database[each[0].using].append(each)
    for using, listed in by_database.items():
        refuse = functools.partial(_refuse, [one for _, outcome in listed for one in outcome.late])
        try:
            when_free(using, functools.partial(_settle, using, listed), refuse)
        except Exception:  # the database can't be reached
            logger.exception("What became of diffs can't be noted: old cursors will be refused for what came late.")
            refuse()
        if threading.current_thread().name == SENDER:
            connections[using].close()


def _settle(using: str, told: Sequence[tuple[Receipt, Outcome]]) -> None:
    late_by_tries: dict[int, list[Late]] = defaultdict(list)
    for receipt, outcome in told:
        if outcome.late:
            late_by_tries[receipt.tries] += outcome.late
    is_kept = any(receipt.rows for receipt, _ in told)
    unsettled = {tries for tries, listed in late_by_tries.items() if not _replace(using, listed, tries, is_kept)}
    delivered: list[int] = []
    for receipt, outcome in told:
        if outcome.is_complete and not (outcome.late and receipt.tries in unsettled):
            delivered += receipt.rows
    try:
        outbox.delete(using, delivered)
    except Exception:  # what stays is sent again, which changes nothing
        logger.exception("What Redis has could not be removed from the outbox.")


def _replace(using: str, listed: Sequence[Late], tries: int, is_kept: bool) -> bool:
    """Send a later reading in the place of late diffs; whether nothing of them has to be tried again."""
    if tries >= MOST_TRIES:
        return _refuse(listed)
    try:
        replacement = late.replace(using, listed)
    except Exception:
        logger.exception("Diffs came late, and their rows can't be read again: old cursors will be refused.")
        return _refuse(listed)
    floors = replacement.floors
    is_refused = True
    if floors and is_kept:
        # Until they are raised, nothing but the late diffs' own rows of the outbox tells of them.
        is_refused, floors = get_store().raise_floors(floors), Floors()
    send(using, replacement.entries, floors or None, replacement.rows, tries=tries + 1)
    return is_refused


def _refuse(listed: Sequence[Late]) -> bool:
    late.counts["refused"] += len(listed)
    return not listed or get_store().raise_floors(Floors(one.entry.feed for one in listed))


def when_free(using: str, function: Callable[[], Any], otherwise: Callable[[], Any]) -> None:
    """Call a function that uses the database, now or as soon as the commit that is under way lets it.

    Args:
        using: the database alias.
        function: is called where the connection is or will be free.
        otherwise: is called instead where nobody says when that will be.
    """
    connection = connections[using]
    if (connection.in_atomic_block and connection.needs_rollback) or getattr(connection, MANUAL, False):
        otherwise()
    elif connection.in_atomic_block or connection.get_autocommit():
        function()
    else:
        # Django is about to call what waits for the commit.
        waiting: list[Any] = connection.run_on_commit
        waiting.insert(0, (set(), function, True))
