"""The long poll: the answer waits until there is something to say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from diffs.cursor import Cursor
from diffs.errors import CursorExpired, StoreUnavailable
from diffs.http.protocol import PREFERENCE_APPLIED, PRIVATE_CACHE, PUBLIC_CACHE
from diffs.http.pull import Grant, answer
from diffs.http.recent import Found
from diffs.http.replies import Reply
from diffs.http.visit import Visit
from diffs.store import Read

from .hub import Hub, hubs
from .tail import Place

_Pages = list[Found | CursorExpired]

_PUBLIC = ("Cache-Control", PUBLIC_CACHE)


async def wait_for_news(visit: Visit) -> Reply | None:
    """Answer a poll when there are news, or at the end of its wait.

    Args:
        visit: the request, whose feeds the reader may see.

    Returns:
        The answer; ``None`` where the client has gone.

    Raises:
        Problem: there are too many who wait, or the answer is one.
        StoreUnavailable: Redis is away at the end of the wait.
    """
    hub = hubs.get()
    waiter = _Waiter(visit, hub)
    hub.admit(waiter)
    try:
        pages = await waiter.wait()
        if pages is None:
            return None
    finally:
        hub.leave(waiter)
    reply = await visit.rules.ask(lambda: answer(visit.asked, visit.query, visit.grants, pages))
    # A cache that gave the answer again would give it at once, and clients would ask and ask.
    headers = [("Cache-Control", PRIVATE_CACHE) if header == _PUBLIC else header for header in reply.headers]
    return Reply(reply.status, (*headers, (PREFERENCE_APPLIED, f"wait={visit.query.wait}")), reply.body)


class _Waiter:
    """One client whose answer waits."""

    def __init__(self, visit: Visit, hub: Hub) -> None:
        self.places: Sequence[Place] = ()
        self._visit = visit
        self._hub = hub
        self._reads = list(visit.query.reads)
        self._woken = asyncio.get_running_loop().create_future()

    def wake(self) -> None:
        """There are news."""
        if not self._woken.done():
            self._woken.set_result(None)

    async def wait(self) -> _Pages | None:
        """Wait for what to answer.

        Returns:
            A page of each feed; ``None`` where the client has gone.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._visit.query.wait
        targets = [grant.target for grant in self._visit.grants]
        self.places = await self._hub.open(self, targets, self._visit.asked.form)
        pages = await self._read()
        if await self._is_answer(pages):
            return pages
        must_read = False
        gone = asyncio.create_task(self._visit.gone())
        try:
            while (left := deadline - loop.time()) > 0:
                await asyncio.wait((gone, self._woken), timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    return None
                if not self._woken.done():
                    break
                self._woken = loop.create_future()
                try:
                    pages = (None if must_read else self._news()) or await self._read()
                except StoreUnavailable:
                    # It may be back in time; then what came meanwhile is read, and not put together from here.
                    must_read = True
                    continue
                must_read = False
                if await self._is_answer(pages):
                    return pages
        finally:
            gone.cancel()
        # What is said last is what Redis says now, as it is with any poll.
        return await self._read()

    async def _read(self) -> _Pages:
        for place in self.places:
            place.begin_reading()
        owns = [place.tail.own for place in self.places]
        pages = await self._hub.gathering.read(self._reads, owns, self._visit.asked.form)
        for place, page in zip(self.places, pages, strict=True):
            if isinstance(page, Found):
                place.has_read(page.cursor, more=page.more)
        return pages

    def _news(self) -> _Pages | None:
        """What came, as far as this process has it; ``None``: it has to be read."""
        pages: _Pages = []
        for place, read in zip(self.places, self._reads, strict=True):
            news = place.news
            if news is None or place.was_reset or read.cursor is None:
                return None
            if news:
                shown = news[: read.limit]
                place.at = shown[-1].stored.position
                pages.append(Found(list(shown), Cursor(place.epoch, place.at), len(news) > read.limit))
            else:
                pages.append(Found([], read.cursor, False))
        return pages

    async def _is_answer(self, pages: _Pages) -> bool:
        """Whether that is worth an answer; if not, the next reading goes on behind it."""
        if any(isinstance(page, CursorExpired) or page.more for page in pages):
            return True
        if await self._visit.rules.ask(lambda: _shows(self._visit.grants, pages)):
            return True
        for index, page in enumerate(pages):
            if isinstance(page, Found):
                self._reads[index] = Read(self._reads[index].feed, self._reads[index].limit, page.cursor)
        return False


def _shows(grants: Sequence[Grant], pages: _Pages) -> bool:
    """Whether the reader sees anything of what is on some pages."""
    return any(
        one is not None and grant.shows(one) is not None
        for grant, page in zip(grants, pages, strict=True)
        if isinstance(page, Found)
        for one in page.rendered
    )
