"""Who listens to what: one connection to Redis, and one reading of each diff, however many they are."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from diffs.conf import settings
from diffs.errors import CursorExpired, StoreUnavailable
from diffs.http.addresses import Target
from diffs.http.documents import Form
from diffs.http.problems import Problem
from diffs.http.recent import Found, recent, trusted
from diffs.http.render import Rendered
from diffs.keys import FeedName
from diffs.store import News, Page, Read, Store, get_store

from .gathering import TOGETHER, Gathering, gatherings
from .loops import PerLoop
from .mailbox import Mailbox
from .tail import Listener, Place, Tail

logger = logging.getLogger("diffs")

READ_AGAIN = 3.0
"""Seconds after which every feed that is listened to is read, news or not: a flushed server publishes nothing."""
KEEP = 10.0
"""Seconds that a feed is kept up with after the last listener has gone, and that diffs are kept at the least."""
BEAT = 0.25
"""Seconds between two looks at what is due."""
PATIENCE = 2.0
"""Seconds that Redis has for taking a subscription."""
PAUSE = 0.5
"""Seconds until feeds are read again that could not be."""

GROUP = 50
"""Listeners that are woken at once."""

_Answer = tuple[Page, dict[Form, list[Rendered | None]]] | Exception


class Hub:
    """All that one event loop listens to.

    Args:
        gathering: how its clients' requests are read.
    """

    def __init__(self, gathering: Gathering) -> None:
        self.gathering = gathering
        self._tails: dict[FeedName, _Watched] = {}
        self._channels: dict[str, set[_Watched]] = {}
        self._rotation: deque[_Watched] = deque()
        self._dirty: dict[_Watched, None] = {}
        self._wake = asyncio.Event()
        self._listeners: set[Listener] = set()
        self._is_deaf = self._is_released = self._has_store = False
        self._mailbox = Mailbox(self)
        self._news = News(lambda: get_store().publisher(), self._mailbox)
        # One, so that channels are taken and given up in order.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="diffs-channels")
        self._tasks = [
            asyncio.create_task(self._follow(), name="diffs-follow"),
            asyncio.create_task(self._beat(), name="diffs-beat"),
        ]

    def admit(self, listener: Listener) -> None:
        """Count a listener, until `leave` is called.

        Raises:
            Problem: 503, there are too many.
        """
        if len(self._listeners) >= settings.max_listeners:
            raise Problem(503, "Too many are listening here: try again.", (("Retry-After", "5"),))
        self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        """Wake a listener no more."""
        self._listeners.discard(listener)
        for place in listener.places:
            place.tail.listeners.discard(listener)

    async def open(self, listener: Listener, targets: Sequence[Target], form: Form) -> list[Place]:
        """Begin to keep up with feeds: what is read from then on, and what the places tell, leave nothing between them.

        Args:
            listener: is woken whenever one of them has news.
            targets: the feeds.
            form: in which diffs are wanted.

        Returns:
            A place in each, still without a cursor; to become the listener's `places`.

        Raises:
            StoreUnavailable: Redis is away.
        """
        if not self._has_store:
            # The first to ask may have to start a server.
            await self.gathering.run(get_store)
            self._has_store = True
        watched = [self._watch(target, form) for target in targets]
        # From now on, so that none is let go while another is waited for.
        for one in watched:
            one.tail.listeners.add(listener)
        try:
            for one in watched:
                # Others wait for it as well.
                await asyncio.shield(one.opened)
        except BaseException:
            for one in watched:
                one.tail.listeners.discard(listener)
            raise
        return [Place(one.tail, form) for one in watched]

    def close(self) -> None:
        """Let go of everything; also done when the event loop ends."""
        # At once: whoever comes before the tasks have ended needs another.
        hubs.drop(self)
        for task in self._tasks:
            task.cancel()

    def release(self) -> None:
        """Let go of what isn't the event loop's."""
        self._is_released = True
        self._mailbox.close()
        self._news.close()
        self._thread.shutdown(wait=False)

    def heard(self, channel: str, position: int) -> None:
        """Something was published."""
        for watched in self._channels.get(channel, ()):
            if watched.tail.position < position:
                self._mark(watched)

    def ready(self, channel: str) -> None:
        """A channel can be heard from now on."""
        self._is_deaf = False
        for watched in self._channels.get(channel, ()):
            if channel in watched.unheard:
                watched.unheard.discard(channel)
                if not watched.unheard:
                    watched.subscribed.set()
                    # What was published before wasn't heard.
                    self._mark(watched)

    def lost(self, *, is_refused: bool) -> None:
        """No channel can be heard."""
        self._is_deaf = is_refused
        for watched in self._tails.values():
            watched.unheard.update(watched.channels)
            if is_refused:
                watched.subscribed.set()
            else:
                watched.subscribed.clear()

    def _watch(self, target: Target, form: Form) -> _Watched:
        name = target.feed.name
        watched = self._tails.get(name)
        if watched is None:
            keys = get_store().keys
            watched = self._tails[name] = _Watched(target, (keys.feed(name), keys.meta(name.shard)))
            self._rotation.append(watched)
            for channel in watched.channels:
                self._channels.setdefault(channel, set()).add(watched)
            watched.opened = asyncio.create_task(self._open(watched, form))
            # Whoever waits for it may have gone when it fails.
            watched.opened.add_done_callback(lambda task: task.cancelled() or task.exception())
        watched.idle_since = None
        return watched

    async def _open(self, watched: _Watched, form: Form) -> None:
        tail = watched.tail
        try:
            get_store().check()
            await asyncio.wrap_future(self._thread.submit(self._news.subscribe, watched.channels))
            if self._is_deaf:
                watched.subscribed.set()
            try:
                await asyncio.wait_for(watched.subscribed.wait(), PATIENCE)
            except asyncio.TimeoutError:
                raise StoreUnavailable("Redis takes no subscription.") from None
            (found,) = await self.gathering.read([Read(tail.feed, mode="cursor")], [tail.own], form)
        except BaseException:
            self._unsubscribe(self._forget(watched))
            raise
        assert isinstance(found, Found)
        tail.open(found.cursor)

    def _forget(self, watched: _Watched) -> list[str]:
        """Stop keeping up with a feed.

        Returns:
            The channels that nobody needs any more.
        """
        watched.is_forgotten = True
        del self._tails[watched.tail.feed.name]
        self._dirty.pop(watched, None)
        for channel in watched.channels:
            self._channels[channel].discard(watched)
        unused = [channel for channel in watched.channels if not self._channels[channel]]
        for channel in unused:
            del self._channels[channel]
        return unused

    def _unsubscribe(self, channels: Sequence[str]) -> None:
        if channels and not self._is_released:
            self._thread.submit(self._news.unsubscribe, channels)

    def _mark(self, watched: _Watched) -> None:
        """Have a feed read."""
        if watched.tail.cursor is not None:
            self._dirty[watched] = None
            self._wake.set()

    async def _follow(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._dirty:
                    batch = list(itertools.islice(self._dirty, TOGETHER))
                    for watched in batch:
                        # What is published while it is read makes it be read once more.
                        del self._dirty[watched]
                    await self._read(batch)
        except GeneratorExit:
            # The loop was closed without any ado: there whoever makes the next hub lets go of this one.
            raise
        except BaseException:
            self._end()
            raise

    async def _read(self, batch: Sequence[_Watched]) -> None:
        requests = [(watched.tail, watched.tail.request(), watched.tail.forms) for watched in batch]
        try:
            answers = await self.gathering.run(lambda: _read_tails(requests))
        except Exception as error:
            if not isinstance(error, StoreUnavailable):
                logger.exception("Feeds that are listened to could not be read; this is tried again.")
            for watched in batch:
                if not watched.is_forgotten:
                    self._dirty[watched] = None
            await asyncio.sleep(PAUSE)
            return
        for watched, answer in zip(batch, answers, strict=True):
            try:
                await self._take(watched, answer)
            except Exception:  # one feed's fault keeps no other from being followed
                logger.exception("The feed %r can't be followed; this is tried again.", str(watched.tail.feed.name))

    async def _take(self, watched: _Watched, answer: _Answer) -> None:
        """Take in what was read of a feed, and tell those who listen."""
        if isinstance(answer, CursorExpired):
            watched.tail.refuse(answer)
            await _wake(watched.tail)
        elif isinstance(answer, StoreUnavailable):
            # The server is there, and doesn't give this one: it is read again with the others, in a few seconds.
            return
        elif isinstance(answer, Exception):
            raise answer
        elif not watched.tail.take(*answer):
            self._mark(watched)
        else:
            if answer[0].more:
                self._mark(watched)
            if answer[0].stored:
                await _wake(watched.tail)

    async def _beat(self) -> None:
        due = 0.0
        while True:
            await asyncio.sleep(BEAT)
            unused: list[str] = []
            due += len(self._rotation) * BEAT / READ_AGAIN
            while due >= 1 and self._rotation:
                due -= 1
                watched = self._rotation.popleft()
                if watched.is_forgotten:
                    continue
                if self._is_idle(watched):
                    unused += self._forget(watched)
                    continue
                self._rotation.append(watched)
                self._mark(watched)
            self._unsubscribe(unused)
            if not self._tails and not self._listeners:
                self.close()

    def _is_idle(self, watched: _Watched) -> bool:
        """Whether nobody has listened for a while; looked at every few seconds, when old diffs are forgotten, too."""
        now = asyncio.get_running_loop().time()
        if now - watched.aged_at >= KEEP:
            watched.aged_at = now
            watched.tail.age()
        if watched.tail.listeners or not watched.opened.done():
            watched.idle_since = None
        elif watched.idle_since is None:
            watched.idle_since = now
        return watched.idle_since is not None and now - watched.idle_since >= KEEP

    def _end(self) -> None:
        for watched in list(self._tails.values()):
            watched.opened.cancel()
        for task in self._tasks:
            task.cancel()
        self.release()
        hubs.drop(self)


class _Watched:
    """A feed that somebody listens to, or did a moment ago."""

    opened: asyncio.Task[None]
    """Done when it is kept up with."""

    def __init__(self, target: Target, channels: Sequence[str]) -> None:
        self.tail = Tail(target)
        self.channels = channels
        self.unheard = set(channels)
        self.subscribed = asyncio.Event()
        self.idle_since: float | None = None
        self.aged_at = asyncio.get_running_loop().time()
        self.is_forgotten = False


async def _wake(tail: Tail) -> None:
    """Tell all who listen, in small groups: what one does is thrown away before the next begins."""
    for number, listener in enumerate(tuple(tail.listeners), 1):
        listener.wake()
        if number % GROUP == 0:
            await asyncio.sleep(0)


def _read_tails(requests: Sequence[tuple[Tail, Read, Sequence[Form]]]) -> list[_Answer]:
    """Read where feeds end, and render what is new in all forms that are wanted.

    In one trip unless that fails: one feed's fault keeps no other from being followed.
    """
    store = get_store()
    try:
        pages = store.read([request for _, request, _ in requests])
    except Exception as error:
        # Where the server is away, none can be read.
        store.check()
        if len(requests) == 1:
            return [error]
        middle = len(requests) // 2
        return [*_read_tails(requests[:middle]), *_read_tails(requests[middle:])]
    return [_rendered(store, *asked, page) for asked, page in zip(requests, pages, strict=True)]


def _rendered(store: Store, tail: Tail, request: Read, forms: Sequence[Form], page: Page | CursorExpired) -> _Answer:
    if isinstance(page, CursorExpired):
        return page
    try:
        shown = {form: recent.add(tail.feed.name, tail.own, form, page) for form in forms if page.stored}
        for rendered in shown.values():
            found = trusted(store, request, Found(rendered, page.cursor, page.more))
            if isinstance(found, CursorExpired):
                return found
        return page, shown
    except Exception as error:  # raised where it concerns no other feed
        return error


hubs = PerLoop(lambda: Hub(gatherings.get()), Hub.release)
