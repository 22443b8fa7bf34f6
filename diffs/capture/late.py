"""Diffs that reached Redis after one of the same row with a higher version: a later reading of the row replaces them.

The row is read under a lock, and the version of what takes the diff's place is drawn under it, too: so it is in order
with all that was and will be committed. Where the row is gone, its deletion has a diff of its own: the late one is
superseded. A deletion that came late, of a row that is there again, is replaced by the whole row: what its creation
doesn't mention, as many-to-many fields, nobody else takes back.

In the feeds of parents that a row has left and come back to, this isn't enough: who follows one of them heard neither
of what was changed while it was away, nor of its creation or deletion there. So a diff that may have moved the row is
replaced by the whole row, too; where the row is gone, the parents' feeds are refused.

Where the feed doesn't tell whether a diff came late, a row that is gone may be so by just this deletion. There is
nothing to lock; so the deletion is sent as it was, with its old version, and the feed is looked at again, which tells
by now.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from django.db import DatabaseError, connections, models, transaction

from diffs import pks
from diffs.codec import Change, Row, decode
from diffs.conf import settings
from diffs.diff import CREATE, DELETE, UPDATE, Action
from diffs.feed import own_row
from diffs.registration import Registration, find_label
from diffs.store import Entry, FeedRef, Floors, Late, mark

from . import versions
from .locking import locked, prepare
from .members import TooLarge, members_of
from .numbering import numbered
from .present import visible_data

logger = logging.getLogger("diffs")

LOCKED_AT_ONCE = 200
LOCK_MILLISECONDS = 2000
"""How long PostgreSQL waits for a row, and altogether for rows in vain; other databases as long as they are told to."""
LEAST_MILLISECONDS = 10
"""How long it waits for each row when that is over."""

counts: Counter[str] = Counter()
"""What became of late diffs in this process: how many were ``late``; ``replaced`` by a reading of their row,
``superseded`` by the diff of its deletion, ``refused`` (floors were raised instead)."""


class Replacement(NamedTuple):
    """What takes the place of late diffs."""

    entries: list[Entry]
    rows: list[int]
    """Where it stands in the outbox."""
    floors: Floors
    """What no reading can replace."""


@dataclasses.dataclass(slots=True)
class _Wanted:
    """A row that has to be read again."""

    registration: Registration
    pk: Any
    names: set[str] = dataclasses.field(default_factory=set)
    """The fields that late diffs are about."""
    is_created: bool = False
    has_moved: bool = False
    """Whether a late diff may have taken the row from one parent to another."""
    feeds: dict[FeedRef, str | None] = dataclasses.field(default_factory=dict)
    """Those that get what the row holds, each with the actor of its last late diff."""
    deletions: list[Entry] = dataclasses.field(default_factory=list)
    """Those that may have come in time."""

    def add(self, change: Change, late: Late) -> None:
        names = {*change.data, *change.omitted}
        self.names |= names
        self.is_created = self.is_created or change.action != UPDATE
        self.has_moved = self.has_moved or (change.action == UPDATE and _may_move(self.registration, names))
        self.feeds[late.entry.feed] = change.actor
        if change.action == DELETE and not late.version:
            # Who creates the row anew comes after this mark, if the row isn't found.
            self.deletions.append(late.entry._replace(since=mark(late.entry.feed.name)))

    @property
    def parent_feeds(self) -> list[FeedRef]:
        """Those of the feeds that are parents'."""
        own = self.registration.feed(self.pk).name
        return [feed for feed in self.feeds if feed.name.pk is not None and feed.name != own]


def _may_move(registration: Registration, names: set[str]) -> bool:
    """Whether a change of these fields may be one of the row's parents, whose fields need not appear in diffs."""
    parents = {parent.name for parent in registration.parents}
    hidden = parents - {field.name for field in registration.fields}
    return registration.parent_hook is not None or bool(hidden or parents & names)


def replace(using: str, late: Sequence[Late]) -> Replacement:
    """Read the rows of late diffs again.

    Args:
        using: the database alias; no transaction is under way, or one that everything goes on in.
        late: the diffs.

    Returns:
        What is to be sent in their place, once this is done.
    """
    counts["late"] += len(late)
    replacement = Replacement([], [], Floors())
    versions.rise_above(max((one.version for one in late), default=0))
    by_model: dict[type[models.Model], list[_Wanted]] = {}
    for wanted in _wanted(late, replacement.floors):
        by_model.setdefault(wanted.registration.model, []).append(wanted)
    patience = LOCK_MILLISECONDS
    for model, listed in by_model.items():
        for start in range(0, len(listed), LOCKED_AT_ONCE):
            patience = _read(using, model, listed[start : start + LOCKED_AT_ONCE], replacement, patience)
    return replacement


def _wanted(late: Sequence[Late], floors: Floors) -> Iterable[_Wanted]:
    """The rows to read, each once."""
    found: dict[tuple[str, str], _Wanted] = {}
    for one in late:
        change = decode(one.entry.member)
        label, pk = change.row or own_row(one.entry.feed)
        registration = find_label(label)
        if registration is None:
            counts["refused"] += 1
            floors.add(Floors([one.entry.feed]))
            continue
        text = pks.text(registration.model, pk)
        wanted = found.get((label, text))
        if wanted is None:
            wanted = found[label, text] = _Wanted(registration, pks.parse(registration.model, text))
        wanted.add(change, one)
    return found.values()


def _read(
    using: str, model: type[models.Model], listed: Sequence[_Wanted], into: Replacement, patience: int
) -> int:
    """Read rows that nobody else has locked together, and wait for each of the others alone.

    Whoever holds several locks must not wait for another: the one who has that may wait for these.

    Returns:
        What is left of the patience, in milliseconds.
    """
    features = connections[using].features
    rest = list(listed)
    if len(listed) > 1 and (features.has_select_for_update_skip_locked or not features.has_select_for_update):
        rest = _read_locked(using, model, listed, into, patience, skips=features.has_select_for_update)
    for wanted in rest:
        begin = time.monotonic()
        try:
            if _read_locked(using, model, [wanted], into, patience):
                _gone(using, wanted, into)
        except DatabaseError:  # the row stays locked for too long, or the database is in trouble
            counts["refused"] += 1
            into.floors.add(Floors(wanted.feeds))
            patience = max(LEAST_MILLISECONDS, patience - int(1000 * (time.monotonic() - begin)))
    return patience


def _read_locked(
    using: str,
    model: type[models.Model],
    listed: Sequence[_Wanted],
    into: Replacement,
    patience: int,
    *,
    skips: bool = False,
) -> list[_Wanted]:
    """Read rows under a lock.

    Returns:
        Those that are not there, or are locked by somebody else where `skips` says so.
    """
    made: list[Entry] = []
    missing: list[_Wanted] = []
    with transaction.atomic(using=using), _waiting_briefly(using, patience):
        prepare(using, model)
        rows = models.QuerySet(model, using=using).filter(pk__in=[wanted.pk for wanted in listed])
        found = {row.pk: row for row in locked(rows, skips=skips)}
        for wanted in listed:
            if wanted.pk not in found:
                missing.append(wanted)
            elif (reading := _reading(wanted, found[wanted.pk])) is None:
                counts["refused"] += 1
                into.floors.add(Floors(wanted.feeds))
            else:
                counts["replaced"] += 1
                made += reading
        entries, row = numbered(using, made, None)
    into.entries.extend(entries)
    into.rows.extend(row)
    return missing


def _gone(using: str, wanted: _Wanted, into: Replacement) -> None:
    """A row isn't there: that is said already, unless its deletion is what may have come late."""
    if wanted.has_moved and (feeds := wanted.parent_feeds):
        counts["refused"] += 1
        into.floors.add(Floors(feeds))
    if not wanted.deletions:
        counts["superseded"] += 1
        return
    entries, row = numbered(using, wanted.deletions, None)
    into.entries.extend(entries)
    into.rows.extend(row)


def _reading(wanted: _Wanted, instance: models.Model) -> list[Entry] | None:
    """The diffs that hold a row as it is now; ``None`` where it doesn't say all that the late ones did."""
    registration = wanted.registration
    try:
        data = visible_data(registration, instance)
    except DatabaseError:
        raise
    except Exception:
        logger.exception("%s: a hook fails where a diff came late; old cursors will be refused.", registration.label)
        return None
    if data is None or not wanted.names <= data.keys():
        return None
    action: Action = CREATE if wanted.is_created else UPDATE
    if action == UPDATE and not wanted.has_moved:
        data = {name: value for name, value in data.items() if name in wanted.names}
    many: list[str] = []
    if registration.serialize_hook is None:
        many = [field.name for field in registration.many_to_many if len(data.get(field.name, ())) > settings.max_m2m]
    row = Row(registration.label, pks.wire(registration.model, wanted.pk))
    few = {name: data[name] for name in data if name not in many}
    try:
        members = {actor: members_of(action, few, many, row, actor=actor) for actor in {*wanted.feeds.values()}}
    except TooLarge:
        return None
    name = registration.feed(wanted.pk).name
    made = []
    for feed, actor in wanted.feeds.items():
        own, foreign = members[actor]
        is_own = feed.name == name
        made.append(
            Entry(feed, own if is_own else foreign, mark(feed.name), 0 if is_own else len(foreign) - len(own))
        )
    return made


@contextlib.contextmanager
def _waiting_briefly(using: str, milliseconds: int) -> Iterator[None]:
    """Wait no longer for locks; a transaction that goes on behind the block waits as long as before."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        yield
        return
    before = None
    with connection.cursor() as cursor:
        if connection.savepoint_ids:
            cursor.execute("SELECT current_setting('lock_timeout')")
            (before,) = cursor.fetchone()
        cursor.execute(f"SET LOCAL lock_timeout = {milliseconds}")
    yield
    # An error takes it back by itself.
    if before is not None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
