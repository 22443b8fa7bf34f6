"""The clients: the same steps, taken by httpx's two."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from types import TracebackType
from typing import NoReturn, TypeVar, cast

import httpx

from .addresses import locate
from .endpoint import Ask, Endpoint, Pause, Renew, Result, Step, Steps
from .following import Cursors, Manner, begin, follow, pull, snapshot
from .tokens import AsyncSource, Source, Token, Tokens
from .transport import FAILURES, Receiving, failure
from .values import Event, Page, Snapshot

T = TypeVar("T")
Since = str | Mapping[str, str] | None

WAIT = 30
INTERVAL = 5.0
TIMEOUT = 10.0
"""Seconds, unless something else is asked for."""

# Who waits holds a connection.
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)


class _Client:
    """What both clients know."""

    def __init__(self, url: str, token: AsyncSource, timeout: float) -> None:
        self._timeout = timeout
        self._endpoint = Endpoint(locate(url), Tokens(token), timeout, time.monotonic, random.random)

    @property
    def url(self) -> str:
        """Where the site mounts its diffs."""
        return self._endpoint.place.mount

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    def _begin(self, feeds: tuple[str, ...], since: Since) -> Cursors:
        own = self._endpoint.place.feed
        return begin(feeds or ((own,) if own else ()), since)

    def _pull(
        self, feeds: tuple[str, ...], since: Since, limit: int | None, collapse: bool, patience: float | None
    ) -> Steps[Page]:
        cursors = self._begin(feeds, since)
        return pull(self._endpoint, cursors, limit=limit, collapse=collapse, patience=patience)

    def _snapshot(self, feed: str | None, patience: float | None) -> Steps[Snapshot]:
        (name,) = self._begin((feed,) if feed else (), None)
        return snapshot(self._endpoint, name, patience)


class _Following:
    """What both ways of following know."""

    def __init__(self, steps: Generator[Step | Event, Result, NoReturn], cursors: Cursors) -> None:
        self._steps = steps
        self._cursors = cursors
        self._begun: Step | None = None
        """What is being done; where that is broken off, it is done again."""

    @property
    def cursors(self) -> dict[str, str]:
        """From where to go on, by feed: behind the event that was given last. To be kept once that is dealt with."""
        return dict(self._cursors)


class Following(_Following, Iterator[Event]):
    """Feeds that are followed: iterate to get what happens, one event after the other.

    To stop, just stop; going on later gives what happened in between. An error ends it.
    """

    def __init__(self, client: Client, steps: Generator[Step | Event, Result, NoReturn], cursors: Cursors) -> None:
        super().__init__(steps, cursors)
        self._client = client

    def __next__(self) -> Event:
        step = self._begun or self._steps.send(None)
        while isinstance(step, Ask | Pause | Renew):
            self._begun = step
            result = self._client._take(step)
            self._begun = None
            step = self._steps.send(result)
        return step


class AsyncFollowing(_Following, AsyncIterator[Event]):
    """Feeds that are followed: iterate to get what happens, one event after the other.

    To stop, just stop; going on later gives what happened in between, also where waiting was cancelled. An error
    ends it.
    """

    def __init__(self, client: AsyncClient, steps: Generator[Step | Event, Result, NoReturn], cursors: Cursors) -> None:
        super().__init__(steps, cursors)
        self._client = client

    async def __anext__(self) -> Event:
        try:
            step = self._begun or self._steps.send(None)
            while isinstance(step, Ask | Pause | Renew):
                self._begun = step
                result = await self._client._take(step)
                self._begun = None
                step = self._steps.send(result)
            return step
        except StopIteration:
            raise StopAsyncIteration from None


class Client(_Client):
    """A client of a site's diffs; use it in ``with``, or close it. It may be shared by threads.

    Args:
        url: where the site mounts ``diffs.http.urls``, or the address of a feed there, which then needn't be named.
        token: a feed token, or one for each feed by its name, or a function that gives them and is asked again when
            they are refused.
        timeout: seconds to connect, and seconds that an answer may take beyond the time for which it is held back.
        http: an httpx client to use: for proxies, certificates, cookies, other authentication. It isn't closed.

    Raises:
        ValueError: `url` or `token` can't be one.
    """

    def __init__(
        self, url: str, *, token: Source = None, timeout: float = TIMEOUT, http: httpx.Client | None = None
    ) -> None:
        super().__init__(url, token, timeout)
        self._own = None if http else httpx.Client(limits=LIMITS)
        self._http = http or cast(httpx.Client, self._own)

    def follow(
        self,
        *feeds: str,
        since: Since = None,
        limit: int | None = None,
        wait: int = WAIT,
        interval: float = INTERVAL,
        patience: float | None = None,
        idle: bool = False,
    ) -> Following:
        """Whatever happens in feeds, without end.

        Args:
            feeds: ``"polls.question:42"`` for an object's feed, ``"polls.question"`` for a model's.
            since: a cursor; for several feeds a mapping of their names to cursors; ``"now"``; unless given, or for
                feeds that are missing in the mapping, the oldest diff that is kept.
            limit: the most diffs of each feed in one answer; unless given, as the server likes.
            wait: seconds for which the server is to hold back an answer without news; 0: it isn't asked to.
            interval: seconds between questions where the server can't wait, or isn't to.
            patience: seconds for which to try again after failures; unless given, without end.
            idle: whether to give `Idle`, too: after each answer without news.

        Raises:
            ValueError: what is given can't be used.

        Returns:
            An iterator of `Diff`, `Reset` and `Idle`. It raises `ClientError`.
        """
        cursors = self._begin(feeds, since)
        steps = follow(self._endpoint, cursors, Manner.of(limit, wait, interval, patience, idle))
        return Following(self, steps, cursors)

    def pull(
        self,
        *feeds: str,
        since: Since = None,
        limit: int | None = None,
        collapse: bool = False,
        patience: float | None = 0.0,
    ) -> Page:
        """What came after a cursor, up to the limit.

        Args:
            feeds, since, limit, patience: see `follow`.
            collapse: whether only the net change of each object in the page is wanted.

        Raises:
            ClientError: there is no answer.
            ValueError: what is given can't be used.
        """
        return self._run(self._pull(feeds, since, limit, collapse, patience))

    def snapshot(self, feed: str | None = None, *, patience: float | None = 0.0) -> Snapshot:
        """An object as it is now, with a cursor to go on from.

        Args:
            feed: the object's; unless given, the one whose address the client has.
            patience: see `follow`.

        Raises:
            ClientError: there is no answer; `NotFound` where there is no object.
            ValueError: no feed is named.
        """
        return self._run(self._snapshot(feed, patience))

    def close(self) -> None:
        """Close the connections, unless the httpx client was given."""
        if self._own:
            self._own.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        result: Result = None
        try:
            while True:
                result = self._take(steps.send(result))
        except StopIteration as stop:
            return cast(T, stop.value)

    def _take(self, step: Step) -> Result:
        if isinstance(step, Ask):
            return self._ask(step)
        if isinstance(step, Pause):
            time.sleep(step.seconds)
        elif source := self._endpoint.tokens.source:
            self._endpoint.tokens.take(cast(Token, source()))
        return None

    def _ask(self, ask: Ask) -> Result:
        receiving = Receiving(ask, self._timeout)
        try:
            with self._http.stream("GET", ask.url, **receiving.options) as response:
                for chunk in response.iter_bytes():
                    receiving.add(chunk)
                return receiving.whole(response)
        except FAILURES as error:
            return failure(error)


class AsyncClient(_Client):
    """A client of a site's diffs for asyncio; use it in ``async with``, or close it.

    Args:
        url, token, timeout, http: see `Client`; the function that gives tokens may be asynchronous.

    Raises:
        ValueError: `url` or `token` can't be one.
    """

    def __init__(
        self, url: str, *, token: AsyncSource = None, timeout: float = TIMEOUT, http: httpx.AsyncClient | None = None
    ) -> None:
        super().__init__(url, token, timeout)
        self._own = None if http else httpx.AsyncClient(limits=LIMITS)
        self._http = http or cast(httpx.AsyncClient, self._own)

    def follow(
        self,
        *feeds: str,
        since: Since = None,
        limit: int | None = None,
        wait: int = WAIT,
        interval: float = INTERVAL,
        patience: float | None = None,
        idle: bool = False,
    ) -> AsyncFollowing:
        """Whatever happens in feeds, without end: see `Client.follow`."""
        cursors = self._begin(feeds, since)
        steps = follow(self._endpoint, cursors, Manner.of(limit, wait, interval, patience, idle))
        return AsyncFollowing(self, steps, cursors)

    async def pull(
        self,
        *feeds: str,
        since: Since = None,
        limit: int | None = None,
        collapse: bool = False,
        patience: float | None = 0.0,
    ) -> Page:
        """What came after a cursor, up to the limit: see `Client.pull`."""
        return await self._run(self._pull(feeds, since, limit, collapse, patience))

    async def snapshot(self, feed: str | None = None, *, patience: float | None = 0.0) -> Snapshot:
        """An object as it is now, with a cursor to go on from: see `Client.snapshot`."""
        return await self._run(self._snapshot(feed, patience))

    async def aclose(self) -> None:
        """Close the connections, unless the httpx client was given."""
        if self._own:
            await self._own.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run(self, steps: Steps[T]) -> T:
        result: Result = None
        while True:
            try:
                step = steps.send(result)
            except StopIteration as stop:
                return cast(T, stop.value)
            result = await self._take(step)

    async def _take(self, step: Step) -> Result:
        if isinstance(step, Ask):
            return await self._ask(step)
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        elif source := self._endpoint.tokens.source:
            token = source()
            self._endpoint.tokens.take(await token if inspect.isawaitable(token) else token)
        return None

    async def _ask(self, ask: Ask) -> Result:
        receiving = Receiving(ask, self._timeout)
        try:
            async with self._http.stream("GET", ask.url, **receiving.options) as response:
                async for chunk in response.aiter_bytes():
                    receiving.add(chunk)
                return receiving.whole(response)
        except FAILURES as error:
            return failure(error)
