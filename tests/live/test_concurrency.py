"""P1 while processes write all the time: clients come, go on, leave and come back, and each gets each diff once."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator

import pytest

from diffs.cursor import parse
from tests.endpoint.feeds import Feed
from tests.servers import RedisServer
from tests.store.processes import ENVIRONMENT
from tests.testapp.models import Notice

from .clients import Client, Stream, listeners, until

WRITER = """
import sys, threading, time
import redis
from diffs.codec import Encoder
from diffs.keys import parse_feed
from diffs.store import Entry, FeedRef, Store
socket, writer = sys.argv[1], int(sys.argv[2])
feeds = [FeedRef(parse_feed(name), 3600 * 10**6) for name in sys.argv[3:]]
store = Store(redis.Redis(unix_socket_path=socket), "diffs")
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
print("ready", flush=True)
number = 0
while not stop.is_set():
    nonce = (writer << 24 | number).to_bytes(4, "big")
    member = Encoder("update", 7, nonce, {"number": number}, None).own()
    store.append([Entry(feed, member) for feed in feeds[: 1 + number % len(feeds)]])
    number += 1
    if number % 10 == 0:
        time.sleep(0.02)
print(number, flush=True)
"""


@pytest.fixture
def feeds() -> list[Feed]:
    return [Feed(Notice, pk) for pk in range(1, 4)]


@pytest.fixture
def writers(redis_server: RedisServer, feeds: list[Feed]) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that write until their input ends, and then say how often they did."""
    names = [feed.name for feed in feeds]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(redis_server.socket), str(number), *names],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(1, 3)
    ]
    for process in started:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    yield started
    for process in started:
        process.communicate()


class Follower:
    """A client that comes back again and again, each time behind its last id."""

    def __init__(self, feeds: list[Feed], start: str, seed: int) -> None:
        self.feeds = feeds
        self.start = start
        self.random = random.Random(seed)
        self.last_id = ""
        self.had: dict[str, list[int]] = defaultdict(list)
        self.connections = 0
        self.base: dict[str, int] = {}

    @property
    def path(self) -> str:
        if len(self.feeds) == 1:
            return f"/testapp.notice/{self.feeds[0].pk}/?since={self.start}&limit=7"
        return "/?limit=7&" + "&".join(f"feed={self.start}@{feed.name}" for feed in self.feeds)

    async def follow(self, stop: asyncio.Event) -> None:
        """Come and go until that is set, and then stay until everything is there."""
        while not stop.is_set():
            await self.visit(self.random.randint(1, 60), stop)
            await asyncio.sleep(self.random.random() * 0.02)
        async with self.stream() as client:
            await client.live()
            # Nothing is written any more.
            assert [str(feed.now()) for feed in self.feeds] == client.last_id.split(",")
        self.take(client)

    async def visit(self, number: int, stop: asyncio.Event) -> None:
        """Stay until so many diffs have come."""
        async with self.stream() as client:
            await until(lambda: len(client.events) >= number or client.is_complete or stop.is_set())
            # Now and then it reads slowly.
            if self.random.random() < 0.2:
                client.reads.clear()
                await asyncio.sleep(0.05)
                client.reads.set()
        self.take(client)

    def stream(self) -> Stream:
        self.connections += 1
        return Stream(self.path, self.last_id)

    def take(self, client: Stream) -> None:
        assert client.resets == []
        if client.bare_ids and not self.last_id and self.start == "now":
            first = (client.events[0].id if client.events else client.bare_ids[0]).split(",")
            self.base = {feed.name: parse(at).timestamp for feed, at in zip(self.feeds, first, strict=True)}
            if client.events:
                diff = client.events[0].data
                self.base[diff.get("feed", self.feeds[0].name)] = diff["timestamp"] - 1
        self.last_id = client.last_id
        for diff in client.diffs:
            self.had[diff.get("feed", self.feeds[0].name)].append(diff["timestamp"])


async def test_p1_streams_give_each_diff_once_while_processes_write(
    feeds: list[Feed], writers: list[subprocess.Popen[str]]
) -> None:
    followers = [
        Follower(feeds[: 1 + number % len(feeds)], "" if number % 4 else "now", number) for number in range(16)
    ]
    stop = asyncio.Event()
    following = asyncio.gather(*(follower.follow(stop) for follower in followers))
    while sum(follower.connections for follower in followers) < 200 and not following.done():
        await asyncio.sleep(0.01)
    written = [int((await asyncio.to_thread(process.communicate))[0]) for process in writers]
    stop.set()
    await following
    there = {feed.name: [stored.position for stored in feed.stored()] for feed in feeds}
    for follower in followers:
        for feed in follower.feeds:
            base = follower.base.get(feed.name, 0)
            assert follower.had[feed.name] == [position for position in there[feed.name] if position > base]
    had = sum(len(positions) for follower in followers for positions in follower.had.values())
    connections = sum(follower.connections for follower in followers)
    print(
        f"{written} transactions of two processes, {had} diffs to {len(followers)} clients, {connections} connections"
    )
    assert had > 1000
    assert listeners() == 0


async def test_p1_long_polls_give_each_diff_once_while_processes_write(
    feeds: list[Feed], writers: list[subprocess.Popen[str]]
) -> None:
    async def follow(number: int) -> list[int]:
        positions: list[int] = []
        cursor, is_last = "", False
        while not is_last:
            is_last = stop.is_set()
            wait = "" if is_last else "&wait=1"
            client = Client(f"/testapp.notice/1/?since={cursor}&limit={number}{wait}")
            client.start()
            page = await client.answer()
            assert client.status == 200
            is_last = is_last and not page["more"]
            positions += [diff["timestamp"] for diff in page["diffs"]]
            cursor = page["cursor"]
        return positions

    stop = asyncio.Event()
    following = asyncio.gather(*(follow(number) for number in (1, 3, 20, 100)))
    await asyncio.sleep(0.5)
    for process in writers:
        await asyncio.to_thread(process.communicate)
    stop.set()
    there = [stored.position for stored in feeds[0].stored()]
    assert len(there) > 100
    assert await following == [there] * 4
    assert listeners() == 0
