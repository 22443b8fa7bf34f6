"""Redis is away, hangs, comes back empty or with its data: who listens stays, and misses neither a diff nor a reset."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from diffs.codec import Encoder
from diffs.http.live import hub
from diffs.keys import Keyspace
from diffs.store import Entry, Store, close_store, news, outage
from diffs.store.connection import connect
from tests.endpoint.feeds import Feed
from tests.servers import RedisServer, best_kind

from .clients import Client, Stream, listeners, until

NOTICE = "/testapp.notice/1/"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, hasty: None, configure: Callable[..., None]) -> None:
    """Asks again soon whether the server is back."""
    for module in (news, outage):
        monkeypatch.setattr(module, "FIRST_PAUSE", 0.02)
        monkeypatch.setattr(module, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(news, "SILENCE", 0.1)
    monkeypatch.setattr(hub, "PATIENCE", 0.3)
    configure(heartbeat=0.02)


@pytest.fixture
def lasting_server(settings: Any) -> Iterator[RedisServer]:
    """A server that has its data again after a restart."""
    with RedisServer(best_kind(), {"appendonly": "yes", "appendfsync": "always"}) as own:
        settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "redis": own.options}
        yield own


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(function, *arguments)


def put(feed: Feed, number: int) -> None:
    """Append as another process does, which has noticed no outage."""
    store = Store(connect(), "diffs")
    try:
        member = Encoder("update", 7, number.to_bytes(4, "big"), {"number": number}, None).own()
        store.append([Entry(feed.ref, member)])
    finally:
        store.close()


async def test_p4_server_that_comes_back_empty_resets_those_who_stayed(server: RedisServer, notices: Feed) -> None:
    notices.append()
    async with Stream(NOTICE) as client:
        await client.live()
        last_id = client.last_id
        await in_thread(server.kill)
        beats = len(client.bare_ids)
        await client.until(lambda: len(client.bare_ids) > beats + 5)
        assert (client.last_id, client.is_complete, client.resets) == (last_id, False, [])
        await in_thread(server.restart)
        await client.until(lambda: client.resets)
        later = await in_thread(notices.append)
        await client.count(2)

        assert client.diffs[1:] == [later]


async def test_p1_connections_that_are_cut_reset_nobody_and_nobody_misses_a_diff(
    server: RedisServer, notices: Feed, others: list[Feed]
) -> None:
    await in_thread(put, notices, 1)
    async with Stream(NOTICE) as client, Stream("/testapp.notice/2/") as other:
        await client.live()
        await other.live()
        for kind in ("pubsub", "normal"):
            await in_thread(server.cli, "CLIENT", "KILL", "TYPE", kind)
        # By now nobody listens again yet.
        await in_thread(put, notices, 2)
        await client.count(2)
        await in_thread(put, others[0], 3)
        await other.count(1)

        assert [diff["data"]["number"] for diff in client.diffs] == [1, 2]
        assert client.resets == other.resets == []


async def test_p4_server_that_comes_back_with_its_data_resets_those_who_stayed(
    lasting_server: RedisServer, notices: Feed, others: list[Feed]
) -> None:
    await in_thread(put, notices, 1)
    async with Stream(NOTICE) as client, Stream("/testapp.notice/2/") as other:
        await client.live()
        await other.live()
        await in_thread(lasting_server.restart)
        # It may lack what was written last, and takes the clock beyond what was handed out.
        await in_thread(put, notices, 2)
        for one, feed, number in ((client, notices, 3), (other, others[0], 4)):
            await one.until(lambda one=one: one.resets)  # type: ignore[misc]
            had = len(one.diffs)
            await in_thread(put, feed, number)
            await one.count(had + 1)
            assert [diff["data"]["number"] for diff in one.diffs[had:]] == [number]
            assert len(one.resets) == 1


async def test_p4_evicted_key_resets_those_who_stayed_although_nobody_tells_of_it(
    server: RedisServer, notices: Feed
) -> None:
    await in_thread(put, notices, 1)
    async with Stream(NOTICE) as client:
        await client.live()
        assert await in_thread(server.evict, Keyspace("diffs").feed(notices.ref.name))
        await client.until(lambda: client.resets)
        await in_thread(put, notices, 2)
        await client.count(2)

        assert [diff["data"]["number"] for diff in client.diffs] == [1, 2]
        assert len(client.resets) == 1


@pytest.fixture
def address(settings: Any, tmp_path: Path) -> Path:
    """Where the site finds its server, whichever that is at the moment."""
    socket = tmp_path / "redis.sock"
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "redis": {"unix_socket_path": str(socket)}}
    return socket


@pytest.mark.parametrize("appends", [0, 3])
async def test_p4_replica_that_lacks_the_last_writes_resets_those_who_listen_and_wait(
    address: Path, notices: Feed, appends: int
) -> None:
    with RedisServer(best_kind()) as master, RedisServer(best_kind()) as replica:
        await in_thread(replica.follow, master)
        address.symlink_to(master.socket)
        await in_thread(put, notices, 1)
        await in_thread(replica.follow, master)
        await in_thread(replica.lag_behind)
        async with Stream(NOTICE) as client:
            await client.live()
            await in_thread(put, notices, 2)
            await client.count(2)
            waiting = Client(f"{NOTICE}?since={client.last_id}&wait=20")
            waiting.start()
            await until(lambda: waiting.waiters)

            await in_thread(master.kill)
            await in_thread(replica.take_over)
            address.unlink()
            address.symlink_to(replica.socket)
            # Others may write before it is noticed, so many that the clock passes what was handed out.
            for number in range(10, 10 + appends):
                await in_thread(put, notices, number)
            page = await waiting.answer()
            assert (waiting.status, page["reason"]) == (410, "reset")
            await client.until(lambda: client.resets)
            had = len(client.diffs)
            await in_thread(put, notices, 20)
            await client.count(had + 1)

            assert [diff["data"]["number"] for diff in client.diffs[had:]] == [20]
            # Neither what this process remembers of the feed, nor what was lost, is told again.
            assert [diff["data"]["number"] for diff in client.diffs[:had]] == [1, 2]
            assert len(client.resets) == 1


@pytest.mark.parametrize("what", ["killed", "paused"])
async def test_p4_diffs_that_were_lost_while_the_server_was_away_reset_those_who_stayed(
    server: RedisServer, notices: Feed, what: str
) -> None:
    await in_thread(notices.append)
    async with Stream(NOTICE) as client:
        await client.live()
        await in_thread(server.kill if what == "killed" else server.pause)
        # As a save would: floors are raised as soon as the server is back.
        await in_thread(notices.append_member, b"lost")
        await in_thread(server.restart if what == "killed" else server.resume)
        await client.until(lambda: client.resets)
        later = await in_thread(notices.append)
        await client.until(lambda: client.diffs[-1:] == [later])

        assert not client.is_complete


async def test_server_that_hangs_is_noticed_and_heard_again_when_it_goes_on(server: RedisServer, notices: Feed) -> None:
    async with Stream(NOTICE) as client:
        await client.live()
        pubsub = await in_thread(subscriptions, server)
        await in_thread(server.pause)
        own = hub.hubs.get()
        await until(lambda: all(watched.unheard for watched in own._tails.values()))
        await in_thread(server.resume)
        await until(lambda: not any(watched.unheard for watched in own._tails.values()))
        await in_thread(put, notices, 1)
        await client.count(1)

        assert (await in_thread(subscriptions, server)) != pubsub
        assert client.resets == []


def subscriptions(server: RedisServer) -> list[int]:
    """The ids of the connections that listen."""
    return [client["id"] for client in server.client.client_list(_type="pubsub")]


async def test_stream_that_can_not_begin_is_told_at_once_when_to_come_back(server: RedisServer) -> None:
    await in_thread(server.kill)
    async with Stream(NOTICE) as client:
        document = await client.answer()
        assert (client.status, document["status"], client.headers["retry-after"]) == (503, 503, "1")
        assert client.headers["content-type"] == "application/problem+json"
    assert listeners() == 0
    await in_thread(server.restart)

    async def works() -> bool:
        async with Stream(NOTICE) as again:
            await again.until(lambda: again.status)
            return again.status == 200

    for _ in range(100):
        if await works():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("It doesn't recover.")


async def test_stream_of_a_server_that_hangs_is_refused_too(server: RedisServer, notices: Feed) -> None:
    await in_thread(notices.now)
    await in_thread(server.pause)
    try:
        async with Stream(NOTICE) as client:
            await client.answer()
            assert (client.status, listeners()) == (503, 0)
    finally:
        await in_thread(server.resume)


async def test_p1_long_history_is_sent_on_when_the_server_is_back(
    server: RedisServer, notices: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffs.http.live.stream.PAGE", 1)
    monkeypatch.setattr(outage, "FIRST_PAUSE", 0.02)
    for number in range(20):
        await in_thread(put, notices, number)
    async with Stream(NOTICE + "?limit=1") as client:
        await client.count(2)
        client.reads.clear()
        await in_thread(server.pause)
        client.reads.set()
        had = len(client.diffs)
        await client.until(lambda: client.bare_ids)
        assert len(client.diffs) <= had + 1
        await in_thread(server.resume)
        await client.count(20)

        assert [diff["data"]["number"] for diff in client.diffs] == list(range(20))
        assert client.resets == []


@pytest.mark.parametrize("wait", ["0", "1"])
async def test_poll_while_the_server_is_away_is_answered_503(server: RedisServer, notices: Feed, wait: str) -> None:
    since = await in_thread(notices.now)
    await in_thread(server.kill)
    client = Client(f"{NOTICE}?since={since}&wait={wait}")
    client.start()
    await client.answer()

    assert (client.status, client.headers["retry-after"], listeners()) == (503, "1", 0)


async def test_poll_whose_server_goes_away_is_answered_503_at_the_end_of_its_wait(
    server: RedisServer, notices: Feed
) -> None:
    since = await in_thread(notices.now)
    client = Client(f"{NOTICE}?since={since}&wait=1")
    client.start()
    await until(lambda: client.waiters)
    await in_thread(server.kill)
    await client.answer()

    assert (client.status, listeners()) == (503, 0)


async def test_p1_poll_that_waits_while_the_server_hangs_gets_what_comes(server: RedisServer, notices: Feed) -> None:
    since = await in_thread(notices.now)
    client = Client(f"{NOTICE}?since={since}&wait=20")
    client.start()
    await until(lambda: client.waiters)
    await in_thread(server.pause)
    own = hub.hubs.get()
    await until(lambda: all(watched.unheard for watched in own._tails.values()))
    await in_thread(server.resume)
    await in_thread(put, notices, 1)
    page = await client.answer()

    assert [diff["data"] for diff in page["diffs"]] == [{"number": 1}]


async def test_p4_poll_that_waits_through_a_restart_is_refused(lasting_server: RedisServer, notices: Feed) -> None:
    since = await in_thread(notices.now)
    client = Client(f"{NOTICE}?since={since}&wait=20")
    client.start()
    await until(lambda: client.waiters)
    await in_thread(lasting_server.restart)
    await in_thread(put, notices, 1)
    problem = await client.answer()

    assert (client.status, problem["reason"]) == (410, "reset")


async def test_other_settings_lead_to_another_server_for_those_who_stay(
    server: RedisServer, notices: Feed, configure: Callable[..., None], redis_server: RedisServer
) -> None:
    await in_thread(notices.append)
    async with Stream(NOTICE) as client:
        await client.live()
        configure(redis=redis_server.options)
        await client.until(lambda: client.resets)
        later = await in_thread(notices.append)
        await client.until(lambda: client.diffs[-1:] == [later])
        await until(lambda: subscriptions(redis_server))
        assert subscriptions(server) == []


def test_outage_leaves_no_thread_behind_when_the_loop_ends(server: RedisServer, notices: Feed) -> None:
    async def main() -> None:
        async with Stream(NOTICE) as client:
            await client.live()
            await in_thread(server.kill)
            beats = len(client.bare_ids)
            await client.until(lambda: len(client.bare_ids) > beats + 3)

    asyncio.run(main())
    close_store()
    for thread in threading.enumerate():
        if thread.name in ("diffs-news", "diffs-outage"):
            thread.join(20)
            assert not thread.is_alive()
