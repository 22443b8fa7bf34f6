"""Reads of one event loop, sent to Redis together.

The store is asked by a thread, one trip at a time, and whoever comes while it is on its way goes with the next. So a
process that many ask at once makes few trips.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from diffs.codec import Row
from diffs.errors import CursorExpired
from diffs.http.documents import Form
from diffs.http.recent import Found, recent
from diffs.store import Read, get_store

from .loops import PerLoop

TOGETHER = 500
"""The most feeds that one trip reads, unless one request names more."""

T = TypeVar("T")
_Pages = list[Found | CursorExpired]


class _Waiting(NamedTuple):
    """One caller."""

    requests: Sequence[Read]
    owns: Sequence[Row | None]
    form: Form
    pages: asyncio.Future[_Pages]


class Gathering:
    """What one event loop wants to know from Redis."""

    def __init__(self) -> None:
        # A trip may last as long as the server's timeout: Django's own threads are not kept waiting.
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="diffs-live")
        self._queue: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None

    async def read(self, requests: Sequence[Read], owns: Sequence[Row | None], form: Form) -> _Pages:
        """Read feeds, together with what others want to read at the moment.

        Args, Returns: see `Recent.read`.

        Raises:
            StoreUnavailable: the server is away.
        """
        pages: asyncio.Future[_Pages] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(requests, owns, form, pages))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._travel(), name="diffs-reads")
        return await pages

    async def run(self, function: Callable[[], T]) -> T:
        """Call a function in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def close(self) -> None:
        """Give up the threads."""
        self._threads.shutdown(wait=False)

    async def _travel(self) -> None:
        while self._queue:
            batch = list(self._take())
            try:
                answers = await self.run(lambda batch=batch: _trips(batch))  # type: ignore[misc]
            except BaseException as error:
                for waiting in batch:
                    if not waiting.pages.done():
                        _fail(waiting.pages, error)
                if not isinstance(error, Exception):
                    raise
                continue
            for waiting, pages in zip(batch, answers, strict=True):
                # Who asked may have gone.
                if waiting.pages.done():
                    continue
                if isinstance(pages, Exception):
                    waiting.pages.set_exception(pages)
                else:
                    waiting.pages.set_result(pages)

    def _take(self) -> Iterator[_Waiting]:
        number = 0
        while self._queue and (not number or number + len(self._queue[0].requests) <= TOGETHER):
            waiting = self._queue.popleft()
            if not waiting.pages.done():
                number += len(waiting.requests)
                yield waiting


def _fail(pages: asyncio.Future[_Pages], error: BaseException) -> None:
    if isinstance(error, asyncio.CancelledError):
        pages.cancel()
    else:
        pages.set_exception(error)


def _trips(batch: Sequence[_Waiting]) -> Sequence[_Pages | Exception]:
    """Read what each caller of a batch wants, in one trip unless that fails: one feed's fault is no other caller's."""
    try:
        return _trip(batch)
    except Exception as error:
        # Where the server is away, nobody gets anything.
        get_store().check()
        if len(batch) == 1:
            return [error]
    middle = len(batch) // 2
    return [*_trips(batch[:middle]), *_trips(batch[middle:])]


def _trip(batch: Sequence[_Waiting]) -> list[_Pages]:
    """Read what each caller of a batch wants; what several want is read once."""
    wanted: dict[Form, dict[Read, Row | None]] = defaultdict(dict)
    for waiting in batch:
        wanted[waiting.form].update(zip(waiting.requests, waiting.owns, strict=True))
    found: dict[tuple[Form, Read], Found | CursorExpired] = {}
    for form, owns in wanted.items():
        pages = recent.read(get_store(), list(owns), list(owns.values()), form)
        found.update(zip(((form, request) for request in owns), pages, strict=True))
    return [[found[waiting.form, request] for request in waiting.requests] for waiting in batch]


gatherings = PerLoop(Gathering, Gathering.close)
