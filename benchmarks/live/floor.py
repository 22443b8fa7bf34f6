"""Applications that only pass on what is published, the same to everyone who listens: the floor of a fan-out.

Both read one channel of Redis by redis-py's asyncio, send what comes as it is, and notice when a client goes. That is
all: no cursor, no permission, no heartbeat, no end.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import redis.asyncio

from benchmarks.project.settings import BENCH

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CHANNEL = f"floor:{BENCH['redis'].get('db', 0)}"

START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
        (b"x-content-type-options", b"nosniff"),
    ],
}


def body(text: bytes) -> Message:
    """A part of the answer."""
    return {"type": "http.response.body", "body": text, "more_body": True}


OPENING = body(b":\nretry: 2000\n\n")
NOTHING_NEW = body(b"id: 0\n\n")


async def published(is_heard: asyncio.Event) -> AsyncIterator[bytes]:
    """What comes over the channel, from when `is_heard` says so."""
    async with redis.asyncio.Redis(**BENCH["redis"]) as client, client.pubsub() as channel:
        await channel.subscribe(CHANNEL)
        async for message in channel.listen():
            if message["type"] == "message":
                yield message["data"]
            else:
                is_heard.set()


async def gone(receive: Receive) -> None:
    """Wait until the client is."""
    while (await receive())["type"] != "http.disconnect":
        pass


class InTurn:
    """One task sends to all, one after the other; a listener's own task only waits for it to go.

    Nothing can cost less: and yet nobody should serve like that, as one who doesn't read keeps all others waiting.
    """

    def __init__(self) -> None:
        self._sends: dict[Receive, Send] = {}
        self._is_heard = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._follow())
        await send(START)
        await send(OPENING)
        await self._is_heard.wait()
        self._sends[receive] = send
        try:
            # Whoever has read this misses nothing.
            await send(NOTHING_NEW)
            await gone(receive)
        finally:
            del self._sends[receive]

    async def _follow(self) -> None:
        async for text in published(self._is_heard):
            message = body(text)
            for send in tuple(self._sends.values()):
                await send(message)


class ByItself:
    """Each listener waits for news in a task of its own, beside the one that waits for it to go: the usual way."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[Message]] = []
        self._is_heard = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._follow())
        await send(START)
        await send(OPENING)
        await self._is_heard.wait()
        sending = asyncio.create_task(self._send_all(send))
        try:
            await gone(receive)
        finally:
            sending.cancel()

    async def _send_all(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        message = NOTHING_NEW
        while True:
            news: asyncio.Future[Message] = loop.create_future()
            self._waiting.append(news)
            # Whoever has read the first misses nothing.
            await send(message)
            message = await news

    async def _follow(self) -> None:
        async for text in published(self._is_heard):
            message = body(text)
            waiting, self._waiting = self._waiting, []
            for news in waiting:
                if not news.done():
                    news.set_result(message)


application = {"in turn": InTurn, "by itself": ByItself}[os.environ["DIFFS_BENCH_FLOOR"]]()
