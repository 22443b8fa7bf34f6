"""The event stream: diffs as they come, for as long as a client listens."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any

from diffs.conf import settings
from diffs.cursor import Cursor, parse
from diffs.errors import CursorExpired, StoreUnavailable
from diffs.http.documents import AS_JSON
from diffs.http.pull import expired
from diffs.http.recent import Found
from diffs.http.render import Rendered
from diffs.http.visit import Receive, Send, Visit
from diffs.store import Read

from .frames import diff_frame, identity_frame, named_frame, opening, with_feed
from .hub import hubs
from .tail import Place

logger = logging.getLogger("diffs")

_Pages = Sequence[Found | CursorExpired]

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-store"),
        # What nginx heeds; others buffer nothing of this type.
        (b"x-accel-buffering", b"no"),
    ],
}
PAGE = 500
"""Diffs that are read at once where there are many from before."""
SPREAD = 0.1
"""By which part a stream may end early, so that not all that began together end together."""


def stream(visit: Visit, begin: Send, send: Send) -> Coroutine[Any, Any, None]:
    """Send what is there, then what comes, until the client has gone or the stream is old.

    Args:
        visit: the request, whose feeds the reader may see.
        begin: sends the message with which an answer begins.
        send: sends all others; of ASGI.

    Raises:
        Problem: there are too many streams; nothing was sent.
        StoreUnavailable: Redis is away; nothing was sent.
    """
    return _Stream(visit, send).run(visit, begin)


class _Stream:
    """One client. One task at a time sends to it."""

    __slots__ = (
        "_age_at",
        "_grants",
        "_has_ended",
        "_hub",
        "_is_beating",
        "_is_late",
        "_is_live",
        "_is_woken",
        "_main",
        "_names",
        "_rules",
        "_send",
        "_task",
        "_timer",
        "places",
    )

    def __init__(self, visit: Visit, send: Send) -> None:
        self.places: Sequence[Place] = ()
        self._hub = hubs.get()
        self._grants = visit.grants
        self._rules = visit.rules
        self._names = [str(grant.target.feed.name) for grant in visit.grants] if visit.query.several else None
        self._send = send
        self._age_at = _now() + settings.stream_age * (1 - SPREAD * random.random())
        self._main = asyncio.current_task()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_live = self._is_woken = self._is_beating = self._is_late = self._has_ended = False

    async def run(self, visit: Visit, begin: Send) -> None:
        """See `stream`."""
        self._hub.admit(self)
        receive = visit.receive
        gone = None
        try:
            pages = await self._begin(visit.query.reads)
            # Not all that began together are to beat together.
            self._set_timer(random.random())
            await _told(begin(START))
            await self._write(opening())
            if any(isinstance(page, Found) and page.more for page in pages):
                # A long history is read for nobody: many servers don't tell whoever sends.
                gone = asyncio.create_task(_gone(receive))
                gone.add_done_callback(self._hung_up)
            await self._catch_up(pages)
            await self._write(identity_frame(self._identity()))
            self._is_live = True
            self.wake()
            # As many wait here as there are clients: they keep no more than they need.
            del visit, begin, pages
            if gone is not None:
                await gone
            while (await receive())["type"] != "http.disconnect":
                pass
        except _Gone:
            return
        except asyncio.CancelledError:
            # Of its own making, unless others want it too: see `_end`.
            if not self._has_ended or _is_cancelled_by_others():
                raise
        finally:
            self._has_ended = True
            self._main = None
            self._hub.leave(self)
            if self._timer is not None:
                self._timer.cancel()
            if self._task is not None:
                self._task.cancel()
            if gone is not None:
                gone.cancel()

    async def _begin(self, reads: Sequence[Read]) -> _Pages:
        """Keep up with the feeds, and read a page of what there is already."""
        self.places = await self._hub.open(self, [grant.target for grant in self._grants], AS_JSON)
        for place, read in zip(self.places, reads, strict=True):
            place.begin_reading()
            if read.cursor is not None:
                place.epoch, place.at = read.cursor
        owns = [grant.target.own for grant in self._grants]
        pages = await self._hub.gathering.read(reads, owns, AS_JSON)
        for place, read, page in zip(self.places, reads, pages, strict=True):
            if read.mode == "cursor" and isinstance(page, Found):
                place.has_read(page.cursor)
        return pages

    def wake(self) -> None:
        """There are news, or something else to say."""
        self._is_woken = True
        if self._task is None and self._is_live and not self._has_ended:
            self._task = asyncio.create_task(self._deliver())

    async def _catch_up(self, pages: _Pages) -> None:
        pending = list(range(len(self.places)))
        while pending and not self._is_late:
            unread = []
            for index, page in zip(pending, pages, strict=True):
                place = self.places[index]
                if isinstance(page, CursorExpired):
                    place.has_read(parse(page.cursor))
                    await self._write(self._reset(index, page))
                    continue
                place.epoch = page.cursor.epoch
                frames = await self._frames(index, [one for one in page.rendered if one is not None])
                if frames:
                    await self._write(b"".join(frames))
                place.has_read(page.cursor, more=page.more)
                if page.more:
                    unread.append(index)
            pending = unread
            if pending:
                pages = await self._read_on(pending)

    async def _read_on(self, pending: Sequence[int]) -> _Pages:
        places = [self.places[index] for index in pending]
        while True:
            for place in places:
                place.begin_reading()
            reads = [Read(place.tail.feed, PAGE, Cursor(place.epoch, place.at)) for place in places]
            try:
                return await self._hub.gathering.read(reads, [place.tail.own for place in places], AS_JSON)
            except StoreUnavailable as error:
                await asyncio.sleep(error.retry_after)
                await self._write(identity_frame(self._identity()))

    async def _deliver(self) -> None:
        """Send what came, and what comes while that is sent."""
        try:
            while self._is_woken and not self._has_ended:
                self._is_woken = False
                body = None if self._names or self._is_beating else self.places[0].take_made()
                if body is None:
                    await self._deliver_once()
                else:
                    await self._write(body)
            if self._has_ended:
                self._end()
        except _Gone:
            self._end()
        except Exception:
            logger.exception("An event stream broke off.")
            self._end()
        finally:
            self._task = None

    async def _deliver_once(self) -> None:
        frames: list[bytes] = []
        is_behind = False
        for index, place in enumerate(self.places):
            if place.was_reset:
                refusal = place.accept_reset()
                frames.append(self._reset(index, refusal))
            news = place.news
            if news is None:
                is_behind = True
            elif news:
                frames += await self._frames(index, news)
        if is_behind or self._is_late:
            self._has_ended = True
            frames.append(named_frame("resume", self._identity(), {"reason": "behind" if is_behind else "age"}))
        elif self._is_beating:
            frames.append(identity_frame(self._identity()))
        self._is_beating = False
        if frames:
            await self._write(b"".join(frames))

    async def _frames(self, index: int, news: Sequence[Rendered]) -> list[bytes]:
        """Diffs as events; afterwards the client stands behind them."""
        if not news:
            return []
        place, grant = self.places[index], self._grants[index]
        before = place.at
        is_plain = all(one.is_plain for one in news)
        parts = [one.part for one in news] if is_plain else await self._rules.ask(lambda: list(map(grant.shows, news)))
        frames = []
        for one, part in zip(news, parts, strict=True):
            place.at = one.stored.position
            if part is None:
                continue
            if self._names is None:
                frames.append(diff_frame(str(Cursor(place.epoch, place.at)), part.body))
            else:
                frames.append(diff_frame(self._identity(), with_feed(self._names[index], part.body)))
        # A page that was read may end elsewhere than what the process has of the feed.
        if is_plain and self._is_live and self._names is None:
            place.keep_made(before, b"".join(frames))
        return frames

    def _reset(self, index: int, refusal: CursorExpired) -> bytes:
        problem = expired(refusal)
        if self._names is not None:
            problem = problem.of_feed(self._names[index])
        return named_frame("reset", self._identity(), problem.document())

    def _identity(self) -> str:
        """From where the client can go on."""
        return ",".join(str(place.cursor) if place.epoch else "" for place in self.places)

    async def _write(self, body: bytes) -> None:
        await _told(self._send({"type": "http.response.body", "body": body, "more_body": not self._has_ended}))

    def _set_timer(self, part: float = 1.0) -> None:
        seconds = settings.heartbeat * part
        if self._age_at > _now():
            seconds = min(seconds, self._age_at - _now())
        self._timer = asyncio.get_running_loop().call_later(seconds, self._beat)

    def _beat(self) -> None:
        if self._is_late:
            # It should have ended a while ago, and yet something is being sent: the client doesn't read.
            self._end()
            return
        self._is_late = _now() >= self._age_at
        self._is_beating = True
        self._set_timer()
        self.wake()

    def _hung_up(self, gone: asyncio.Task[None]) -> None:
        if not gone.cancelled():
            self._end()

    def _end(self) -> None:
        """Wait for the client no more, whether it is told that this is the end or not."""
        self._has_ended = True
        # Once, whoever else finds out: it is taken back once.
        main, self._main = self._main, None
        if main is not None:
            main.cancel()


class _Gone(Exception):
    """The client is not there any more."""


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _told(sending: Awaitable[None]) -> None:
    try:
        await sending
    except OSError:
        # Some servers tell whoever sends.
        raise _Gone from None


def _is_cancelled_by_others() -> bool:
    """Whether somebody else has cancelled the running task, after this module has taken its own wish back."""
    # Python 3.10 doesn't count them.
    uncancel = getattr(asyncio.current_task(), "uncancel", None)
    return uncancel is not None and uncancel() > 0


def _now() -> float:
    return asyncio.get_running_loop().time()
