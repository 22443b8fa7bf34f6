"""Compares objects with what the readers of their feeds would have."""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from diffs.feed import to_diffs
from diffs.registration import Registration, find_label, registrations
from diffs.store import FeedRef, Floors, Page, Read, Store, Upkeep

from .baseline import Baseline
from .cases import THERE, Case, Mismatch
from .feeds import TRIP_FEEDS, Stories, read_pages, shard_cursors
from .rows import Table
from .stories import Story, fold, key_of

WAITING = 1_000
"""Objects that wait for their second look."""
MARGIN = 1_000_000
"""How far the clocks of two shards may lie apart, microseconds: a bulk operation moves one ahead of the time."""
LOOKS = 4
"""At an object that is written all the time."""


class Clock(NamedTuple):
    """Time as this waits for it, in seconds."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Difference(NamedTuple):
    """What readers of a feed have otherwise than the database."""

    feed: str
    model: str
    pk: str
    """The text of the object's primary key."""
    kind: str
    """One of `cases.UPDATE`, `cases.CREATION`, `cases.DELETION`."""
    values: Mapping[str, tuple[Any, tuple[Any] | None]]
    """By field the database's value and what the feed told last, if it told anything."""


@dataclasses.dataclass(slots=True)
class Counts:
    """What was done so far."""

    diffs: int = 0
    """Diffs read."""
    compared: int = 0
    """Objects compared."""
    not_comparable: int = 0
    """Objects of which can't be told what readers should have."""
    unsettled: int = 0
    """Objects that were written so often that nothing could be said of them."""
    differences: int = 0
    """Objects of which readers have something else."""
    repaired: int = 0
    """Of these, those of which old cursors are refused now."""

    @property
    def done(self) -> int:
        """Objects that are dealt with."""
        return self.compared + self.not_comparable + self.unsettled


class Verification:
    """One run.

    Args:
        store: the feeds.
        chosen: the models whose objects are compared.
        using: the database that has them; ``None``: for each model the one where it is written.
        settle: how many seconds a diff may need to reach its feed.
        batch_size: objects in one query.
        baseline: what an earlier run left, or ``None``.
        repair: whether to refuse the cursors of those who read too little.
        clock: time.
    """

    def __init__(
        self,
        store: Store,
        chosen: Sequence[Registration],
        *,
        using: str | None = None,
        settle: float,
        batch_size: int,
        baseline: Baseline | None = None,
        repair: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._chosen = {registration.label: registration for registration in chosen}
        self._using = using
        self._settle = settle
        self._size = batch_size
        self._baseline = baseline
        self._repair = repair
        self._clock = clock or Clock()
        self._tables: dict[str, Table] = {}
        self._stories = Stories()
        self._waiting: list[Case] = []
        self.counts = Counts()
        self.total: int | None = None
        """How many objects there are to compare, about; ``None`` as long as feeds are read."""

    def run(self) -> Iterator[Difference | None]:
        """Verify.

        Yields:
            A difference as soon as it is sure, and ``None`` each time that some work is done.

        Raises:
            StoreUnavailable: the server is away; what was found so far stands.
        """
        try:
            if self._baseline is not None:
                self._baseline.begin(shard_cursors(self._store, next(iter(self._chosen))))
            yield from self._read_feeds()
            yield from self._compare()
        finally:
            self._stories.close()

    def _read_feeds(self) -> Iterator[None]:
        """The models' own feeds, and of those of parents what they tell of the models' objects."""
        upkeep = Upkeep(self._store)
        others = {label for registration in self._chosen.values() for label in _parent_labels(registration)}
        for label in [*self._chosen, *sorted(others - set(self._chosen))]:
            models = None if label in self._chosen else self._chosen.keys()
            for names in upkeep.feeds(label):
                for start in range(0, len(names), TRIP_FEEDS):
                    self.counts.diffs += self._stories.read(self._store, names[start : start + TRIP_FEEDS], models)
                    yield None

    def _compare(self) -> Iterator[Difference | None]:
        # What the models' feeds tell of children is compared, too.
        labels = [label for label in dict.fromkeys((*self._chosen, *self._stories.models())) if find_label(label)]
        self.total = sum(map(self._count, labels))
        yield None
        for label in labels:
            for cases in self._cases(self._table(label)):
                yield from self._judge(cases)
        yield from self._look_again(is_end=True)
        if self._baseline is not None:
            for label in self._chosen:
                self._baseline.complete(_scope(self._table(label)))

    def _count(self, label: str) -> int:
        return self._table(label).count() if self._baseline_of(label) else self._stories.count(label)

    def _table(self, label: str) -> Table:
        if label not in self._tables:
            registration = find_label(label)
            if registration is None:
                raise LookupError(label)
            is_recorded = self._using in registration.options.databases
            self._tables[label] = Table(registration, self._using if is_recorded else None)
        return self._tables[label]

    def _baseline_of(self, label: str) -> Baseline | None:
        return self._baseline if label in self._chosen else None

    def _cases(self, table: Table) -> Iterator[list[Case]]:
        label = table.registration.label
        baseline = self._baseline_of(label)
        if baseline is not None:
            for pks in table.batches(self._size):
                # Some are looked at again later, and had better not be taken for gone until then.
                baseline.keep(_scope(table), pks)
                yield self._prepared(table, pks)
            last = ""
            while pks := baseline.unseen(_scope(table), self._size, last):
                yield self._prepared(table, pks)
                last = pks[-1]
        while pks := self._stories.next_pks(label, self._size):
            yield self._prepared(table, pks)

    def _prepared(self, table: Table, pks: Sequence[str]) -> list[Case]:
        registration = table.registration
        baseline = self._baseline_of(registration.label)
        bases = baseline.find(_scope(table), pks) if baseline else {}
        stories = self._stories.take(registration.label, pks)
        rows = table.read(pks)
        feeds = {feed for found in stories.values() for feed in found}
        feeds.update(feed for row in rows.values() for feed in row.feeds)
        infos = self._stories.infos(feeds)
        return [Case(registration, pk, rows.get(pk), stories.get(pk, {}), infos, bases.get(pk), MARGIN) for pk in pks]

    def _judge(self, cases: Sequence[Case]) -> Iterator[Difference | None]:
        suspects = [case for case in cases if case.judge()]
        # What came since the feeds were read explains nearly all.
        self._read_on(suspects)
        settled = []
        for case in cases:
            if case.mismatches and case.judge():
                case.due = self._clock.now() + self._settle
                self._waiting.append(case)
            else:
                settled.append(case)
        self._finish(settled)
        yield None
        yield from self._look_again(is_end=False)

    def _look_again(self, *, is_end: bool) -> Iterator[Difference | None]:
        """Look at those whose time has come; at the end, or if they are too many, wait for it."""
        while self._waiting:
            left = self._waiting[0].due - self._clock.now()
            if left > 0:
                if not is_end and len(self._waiting) < WAITING:
                    return
                self._clock.sleep(left)
                yield None
                continue
            now = self._clock.now()
            cases = [case for case in self._waiting[:WAITING] if case.due <= now]
            del self._waiting[: len(cases)]
            yield from self._look(cases)

    def _look(self, cases: Sequence[Case]) -> Iterator[Difference | None]:
        # In this order: what a row shows both times was committed before the first, and its diff has had its time.
        self._read_on(cases)
        self._read_rows(cases)
        settled, different = [], []
        for case in cases:
            before = case.mismatches
            now = case.judge()
            sure = {feed: still for feed, one in before.items() if (still := one.still(now.get(feed)))}
            case.looks += 1
            if sure:
                case.mismatches = sure
                different.append(case)
                for feed, mismatch in sure.items():
                    yield _difference(case, feed, mismatch)
            elif now and case.looks < LOOKS:
                case.due = self._clock.now() + self._settle
                self._waiting.append(case)
            else:
                settled.append(case)
        self._finish(settled)
        self._finish_different(different)
        yield None

    def _read_rows(self, cases: Sequence[Case]) -> None:
        by_label = defaultdict(list)
        for case in cases:
            by_label[case.registration.label].append(case)
        for label, some in by_label.items():
            for start in range(0, len(some), self._size):
                part = some[start : start + self._size]
                rows = self._table(label).read([case.pk for case in part])
                for case in part:
                    case.row = rows.get(case.pk)

    def _read_on(self, cases: Sequence[Case]) -> None:
        """Bring what feeds tell of objects up to date, and find out which cursors are refused."""
        asked: dict[Read, list[Case]] = defaultdict(list)
        for case in cases:
            for feed in case.feeds():
                for request in case.requests(feed):
                    asked[request].append(case)
        for request, page in read_pages(self._store, asked):
            for case in asked[request] if page is None else ():
                case.refuse(str(request.feed.name), request.cursor)
            if page is not None:
                _tell(request.feed, page, asked[request])

    def _finish(self, cases: Sequence[Case]) -> None:
        """Objects of which nothing was found to be missing."""
        for case in cases:
            if case.mismatches:
                self.counts.unsettled += 1
            elif case.row is not None and not case.row.is_comparable:
                self.counts.not_comparable += 1
            else:
                self.counts.compared += 1
        self._leave([case for case in cases if not case.mismatches or not case.was_there])

    def _finish_different(self, cases: Sequence[Case]) -> None:
        if not cases:
            return
        self.counts.compared += len(cases)
        self.counts.differences += len(cases)
        if self._repair:
            floors = Floors()
            for case in cases:
                floors.add(case.concerned())
            if self._store.raise_floors(floors):
                self.counts.repaired += len(cases)
                self._leave(cases)
                return
        # What readers don't know of is left as they know it, so that the next run finds the same.
        self._leave([case for case in cases if not case.was_there and not case.is_unknown])

    def _leave(self, cases: Sequence[Case]) -> None:
        """Leave objects to the next run as they are now."""
        by_label = defaultdict(list)
        for case in cases:
            by_label[case.registration.label].append(case)
        for label, some in by_label.items():
            baseline = self._baseline_of(label)
            if baseline is not None:
                baseline.put(_scope(self._table(label)), {case.pk: case.row for case in some})


def _parent_labels(registration: Registration) -> Iterator[str]:
    """The models whose objects' feeds are told of a model's objects."""
    if registration.parent_hook is not None:
        yield from (one.label for one in registrations())
    for parent in registration.parents:
        if find_label(parent.model._meta.label_lower) is not None:
            yield parent.model._meta.label_lower


def _tell(feed: FeedRef, page: Page, cases: Sequence[Case]) -> None:
    name = str(feed.name)
    stories = {(case.registration.label, case.pk): case.stories.get(name) or Story() for case in cases}
    diffs = to_diffs(feed, page.stored, page.cursor.epoch)
    fold((diff for diff in diffs if key_of(diff) in stories), stories)
    for case in cases:
        story = stories[case.registration.label, case.pk]
        if story.there is not None:
            case.stories[name] = story


def _difference(case: Case, feed: str, mismatch: Mismatch) -> Difference:
    told = case.stories.get(feed, Story()).fields
    values = {
        name: (case.row.data[name] if case.row else None, (told[name].value,) if name in told else None)
        for name in mismatch.fields
        if name != THERE
    }
    return Difference(feed, case.registration.label, case.pk, mismatch.kind, values)


def _scope(table: Table) -> str:
    return f"{table.registration.label}@{table.using}"
