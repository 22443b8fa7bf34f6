"""Feeds as server code reads them: lazy sequences of diffs."""

from __future__ import annotations

import datetime as dt
import operator
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, models, router

from . import codec, collapse, cursor, damage, pks
from .cursor import Cursor
from .diff import Diff
from .errors import CursorExpired, MemberError
from .registration import Registration, find_label, require
from .store import FeedRef, Page, Read, Stored, drain, get_store
from .typing import AnyModel

PAGE = 1000

M = TypeVar("M", bound=models.Model)


class Feed:
    """The diffs of an object (with those of its children) or of a model, oldest first.

    Lazy: nothing is asked of Redis before the feed is used. Iterating reads all of it once and keeps it, like a
    queryset; ``len``, ``bool``, an index or a slice ask only for what they need.

    Raises:
        StoreUnavailable: on any use, when Redis is away.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._diffs: list[Diff] | None = None
        self._cursor: str | None = None

    def __repr__(self) -> str:
        return f"<Feed: {self._read.feed.name}>"

    def __iter__(self) -> Iterator[Diff]:
        return iter(self._fetch())

    async def __aiter__(self) -> AsyncIterator[Diff]:
        for diff in await sync_to_async(self._fetch, thread_sensitive=False)():
            yield diff

    def __len__(self) -> int:
        if self._diffs is not None:
            return len(self._diffs)
        count = get_store().count(self._read._replace(mode="asc", limit=0))
        return min(count, self._read.limit) if self._read.limit else count

    def __bool__(self) -> bool:
        return len(self) > 0

    def __reversed__(self) -> Iterator[Diff]:
        return reversed(self._fetch())

    @overload
    def __getitem__(self, index: int) -> Diff: ...

    @overload
    def __getitem__(self, index: slice) -> list[Diff]: ...

    def __getitem__(self, index: int | slice) -> Diff | list[Diff]:
        if self._diffs is not None or self._read.limit:
            return self._fetch()[index]
        if isinstance(index, slice):
            return self._slice(index)
        index = operator.index(index)
        mode, offset = ("desc", ~index) if index < 0 else ("asc", index)
        found = self._ask(mode, offset, 1) if offset < sys.maxsize else []
        if not found:
            raise IndexError("The feed has no such diff.")
        return found[0]

    @property
    def cursor(self) -> str:
        """Where to continue: behind what this feed gave when it was iterated.

        Before that, where `since` said that the reader stands; without `since`, the present.
        """
        if self._cursor is not None:
            return self._cursor
        if self._read.cursor is not None:
            return str(self._read.cursor)
        return str(get_store().read_one(Read(feed=self._read.feed, mode="cursor")).cursor)

    def since(self, position: str) -> Feed:
        """What comes after a cursor.

        Args:
            position: a cursor of this feed.

        Returns:
            A feed whose use raises `CursorExpired` where the cursor is no longer honoured.

        Raises:
            CursorError: it is no cursor.
        """
        return self._narrowed(cursor=cursor.parse(position))

    def between(self, start: dt.datetime | None, end: dt.datetime | None) -> Feed:
        """The retained diffs of a span of time.

        Args:
            start: aware, inclusive; ``None``: from the oldest.
            end: aware, inclusive; ``None``: to the newest.

        Raises:
            ValueError: a naive ``datetime``.
        """
        lower = None if start is None else _microseconds(start) - 1
        upper = None if end is None else _microseconds(end)
        return self._narrowed(lower=lower, upper=upper)

    def latest(self, count: int) -> Feed:
        """The newest diffs, oldest of them first.

        Raises:
            ValueError: `count` is not positive.
        """
        if count < 1:
            raise ValueError("latest() takes a positive number.")
        return self._narrowed(limit=min(count, self._read.limit or count))

    def collapse(self) -> list[Diff]:
        """The net change per object: the last value of each field, created, updated and deleted folded."""
        return collapse.collapse(self)

    def clear(self) -> None:
        """Refuse all cursors handed out before, and remove the diffs."""
        # What was changed before must not come after.
        drain()
        get_store().clear(self._read.feed)
        self._diffs = self._cursor = None

    async def acount(self) -> int:
        """``len`` for asynchronous code."""
        return await sync_to_async(self.__len__, thread_sensitive=False)()

    async def aget(self, index: int) -> Diff:
        """``feed[index]`` for asynchronous code."""
        return await sync_to_async(self.__getitem__, thread_sensitive=False)(index)

    async def acursor(self) -> str:
        """`cursor` for asynchronous code."""
        return await sync_to_async(lambda: self.cursor, thread_sensitive=False)()

    async def acollapse(self) -> list[Diff]:
        """`collapse` for asynchronous code."""
        return await sync_to_async(self.collapse, thread_sensitive=False)()

    async def aclear(self) -> None:
        """`clear` for asynchronous code."""
        await sync_to_async(self.clear, thread_sensitive=False)()

    def _narrowed(self, **bounds: Any) -> Feed:
        lowers = [bound for bound in (self._read.lower, bounds.get("lower")) if bound is not None]
        uppers = [max(bound, 0) for bound in (self._read.upper, bounds.get("upper")) if bound is not None]
        lower, upper = max(lowers, default=None), min(uppers, default=None)
        return Feed(self._read._replace(**{**bounds, "lower": lower, "upper": upper}))

    def _slice(self, index: slice) -> list[Diff]:
        start, stop, step = index.start or 0, index.stop, 1 if index.step is None else index.step
        if step == 1 and start < 0 and stop is None and start >= -PAGE:
            return self._ask("desc", 0, -start)[::-1]
        if step == 1 and stop is not None and 0 <= start < stop <= min(start + PAGE, sys.maxsize):
            return self._ask("asc", start, stop - start)
        return self._fetch()[index]

    def _ask(self, mode: Any, offset: int, limit: int) -> list[Diff]:
        request = self._read._replace(mode=mode, offset=offset, limit=limit)
        return _trusted(request, get_store().read_one(request))

    def _fetch(self) -> list[Diff]:
        if self._diffs is None:
            self._diffs, self._cursor = self._fetch_latest() if self._read.limit else self._fetch_all()
        return self._diffs

    def _fetch_latest(self) -> tuple[list[Diff], str]:
        request = self._read._replace(mode="desc")
        page = get_store().read_one(request)
        return _trusted(request, page)[::-1], str(page.cursor)

    def _fetch_all(self) -> tuple[list[Diff], str]:
        store = get_store()
        request = self._read._replace(limit=PAGE)
        found: list[Diff] = []
        while True:
            try:
                page = store.read_one(request)
                found += _trusted(request, page)
            except CursorExpired:
                if self._read.cursor is not None:
                    raise
                # Something was dropped between two pages of a whole feed: begin again with what is left.
                request, found = self._read._replace(limit=PAGE), []
                continue
            if not page.more:
                return found, str(page.cursor)
            request = self._next(request, page)

    @staticmethod
    def _next(request: Read, page: Page) -> Read:
        last = page.stored[-1].position
        if request.upper is not None and request.cursor is None:
            return request._replace(lower=last)
        return request._replace(cursor=Cursor(page.cursor.epoch, last), lower=None)


def to_diffs(feed: FeedRef, stored: Sequence[Stored], epoch: str) -> list[Diff]:
    """Read members as diffs; one that can't be read is passed over, and the feed's cursors are refused from then on.

    Args:
        feed: where they stand.
        stored: the members with their timestamps.
        epoch: the shard's.
    """
    own = own_row(feed)
    found = []
    for member, position in stored:
        try:
            found.append(to_diff(member, position, epoch, own))
        except MemberError as error:
            damage.note(feed.name, position, error)
    if len(found) < len(stored):
        damage.distrust(get_store(), feed, max(one.position for one in stored))
    return found


def _trusted(request: Read, page: Page) -> list[Diff]:
    """The diffs of a page.

    Args:
        request: what was asked for.
        page: what that gave.

    Raises:
        CursorExpired: one was passed over, and a reader who goes on from a cursor would miss it.
        StoreUnavailable: the same, and Redis is away.
    """
    found = to_diffs(request.feed, page.stored, page.cursor.epoch)
    if len(found) < len(page.stored) and request.cursor is not None:
        get_store().read_one(request)
    return found


def own_row(feed: FeedRef) -> codec.Row:
    """The object that a feed is named after, as it stands in diffs."""
    label, text = feed.name
    registration = find_label(label)
    if registration is None or text is None:
        return codec.Row(label, text)
    return codec.Row(label, pks.wire(registration.model, pks.parse(registration.model, text)))


def to_diff(member: bytes, position: int, epoch: str, own: codec.Row) -> Diff:
    """Read a member as a diff.

    Raises:
        MemberError: it is damaged.
    """
    change = codec.decode(member)
    model, pk = change.row or own
    return Diff(
        id=change.id,
        action=change.action,
        data=change.data,
        omitted=change.omitted,
        position=position,
        cursor=str(Cursor(epoch, position)),
        model=model,
        pk=pk,
        version=change.version,
        actor=change.actor,
    )


def _microseconds(moment: dt.datetime) -> int:
    if moment.utcoffset() is None:
        raise ValueError("between() takes aware datetimes.")
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)) // dt.timedelta(microseconds=1)


class FeedManager(Generic[M]):
    """``Question.diffs``: the feeds of a model. Iterating it gives the diffs of all its objects."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration

    def __repr__(self) -> str:
        return f"<FeedManager: {self._registration.label}>"

    def for_object(self, pk: Any) -> Feed:
        """An object's feed, without loading the object.

        Args:
            pk: its primary key.

        Raises:
            ValueError: no object of the model can have it.
        """
        return Feed(Read(feed=self._registration.feed(pk)))

    def get_by_object_id(self, pk: Any) -> list[Diff]:
        """An object's diffs.

        Args:
            pk: its primary key.

        Raises:
            ValueError: no object of the model can have it.
        """
        return list(self.for_object(pk))

    def all(self) -> Feed:
        """The feed of all objects of the model.

        Raises:
            NoModelFeed: the model has none.
        """
        return Feed(Read(feed=self._registration.model_feed))

    def __iter__(self) -> Iterator[Diff]:
        return iter(self.all())

    def __aiter__(self) -> AsyncIterator[Diff]:
        return self.all().__aiter__()


class FeedDescriptor:
    """``question.diffs`` and ``Question.diffs``."""

    def __init__(self, registration: Registration) -> None:
        self.registration = registration

    def __get__(self, instance: models.Model | None, owner: type[models.Model]) -> Feed | FeedManager[Any]:
        if instance is None:
            return FeedManager(self.registration)
        return _object_feed(self.registration, instance)


def _object_feed(registration: Registration, instance: AnyModel) -> Feed:
    pk = instance._get_pk_val(registration.model._meta)
    if not instance._is_pk_set(registration.model._meta):
        raise ValueError(
            f"This {registration.model._meta.object_name} has no primary key yet, and so no diffs: save it."
        )
    return Feed(Read(feed=registration.feed(pk)))


def feed_of(subject: models.Model | type[models.Model]) -> Feed:
    """An object's feed, or a model's.

    Args:
        subject: an object of a registered model, or the model.

    Raises:
        NotRegistered: the model has no diffs.
        NoModelFeed: a model that keeps no feed of all its objects.
        ValueError: the object has no primary key yet.
    """
    if isinstance(subject, type):
        return FeedManager[Any](require(subject)).all()
    return _object_feed(require(type(subject)), subject)


def snapshot(model: type[M], pk: Any) -> tuple[M, str]:
    """An object, and a cursor taken before it was read: no change falls between.

    In a transaction that sees the database as of its first query (REPEATABLE READ), call it before that query.

    Args:
        model: a registered model.
        pk: the object's primary key.

    Returns:
        The object, read from the database that is written, and the cursor to go on from.

    Raises:
        NotRegistered: the model has no diffs.
        model.DoesNotExist: there is no such object.
        StoreUnavailable: Redis is away.
    """
    position = FeedManager[M](require(model)).for_object(pk).cursor
    using = router.db_for_write(model) or DEFAULT_DB_ALIAS
    return model._base_manager.using(using).get(pk=pk), position
