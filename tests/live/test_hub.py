"""Many listen over one connection and by one reading, and what nobody listens to any more is let go."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from diffs.codec import Encoder
from diffs.http.documents import Form
from diffs.http.live.gathering import gatherings
from diffs.http.live.hub import Hub, hubs
from diffs.http.recent import Recent
from diffs.keys import FeedName
from diffs.store import Entry, Floors, get_store
from tests.endpoint.feeds import Feed
from tests.servers import RedisServer
from tests.store.processes import wait_for
from tests.testapp.models import Notice

from .clients import Client, Stream, listeners, until

NOTICE = "/testapp.notice/1/"
OWN_THREADS = ("diffs-news", "diffs-channels", "diffs-live", "diffs-rules")


def threads(*names: str) -> list[str]:
    """The threads of the live modes."""
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith(names or OWN_THREADS))


def calls(server: RedisServer) -> int:
    """How many scripts were run since they were counted last."""
    stats = server.client.info("commandstats")
    server.cli("CONFIG", "RESETSTAT")
    return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])


async def streams(number: int, path: str = NOTICE) -> list[Stream]:
    """Clients that listen."""
    clients = [Stream(path) for _ in range(number)]
    for client in clients:
        client.start()
    await asyncio.gather(*(client.live() for client in clients))
    return clients


async def leave(clients: list[Stream]) -> None:
    await asyncio.gather(*(client.leave() for client in clients))


async def test_many_who_listen_to_many_feeds_share_one_connection(redis_server: RedisServer) -> None:
    clients = [client for pk in range(1, 11) for client in await streams(5, f"/testapp.notice/{pk}/")]
    assert len(redis_server.client.client_list(_type="pubsub")) == 1
    channels = {name.decode() for name in redis_server.client.pubsub_channels()}
    assert {name.rpartition(":feed:")[2] for name in channels if ":feed:" in name} == {
        f"testapp.notice:{pk}" for pk in range(1, 11)
    }
    assert listeners() == 50
    await leave(clients)
    assert listeners() == 0


async def test_diff_is_read_once_and_encoded_once_however_many_listen(
    notices: Feed, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, configure: Callable[..., None]
) -> None:
    monkeypatch.setattr("diffs.http.live.hub.READ_AGAIN", 10_000)
    configure(heartbeat=10_000)
    clients = await streams(200)
    made = []
    frame = "diffs.http.live.stream.diff_frame"
    monkeypatch.setattr(frame, lambda *arguments: made.append(arguments) or b"id: 1\ndata: {}\n\n")
    calls(redis_server)
    notices.append_member(Encoder("update", 7, bytes(4), {"body": "x"}, None).own())
    await asyncio.gather(*(client.count(1) for client in clients))
    # One that appends and one that reads; what comes while it reads may make it read once more.
    assert calls(redis_server) <= 3
    assert len(made) == 1
    await leave(clients)


async def test_more_diffs_than_are_read_at_once_come_without_further_news(
    notices: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffs.http.live.hub.READ_AGAIN", 10_000)
    monkeypatch.setattr("diffs.http.live.tail.MAX_ENTRIES", 2)
    async with Stream(NOTICE) as client:
        await client.live()
        members = [Encoder("update", 7, bytes([0, 0, 0, number]), {}, None).own() for number in range(9)]
        get_store().append([Entry(notices.ref, member) for member in members])
        await client.count(9)
        assert client.positions == [stored.position for stored in notices.stored()]


async def test_those_who_come_together_are_read_for_together(notices: Feed, redis_server: RedisServer) -> None:
    notices.append()
    async with Stream(NOTICE) as first:
        await first.live()
        calls(redis_server)
        clients = await streams(200)
        assert calls(redis_server) < 20
        assert all(client.diffs == first.diffs for client in clients)
        await leave(clients)


@pytest.mark.usefixtures("hasty")
async def test_feeds_are_let_go_when_nobody_listens_and_kept_where_somebody_does(
    notices: Feed, redis_server: RedisServer
) -> None:
    async with Stream(NOTICE) as stays:
        await stays.live()
        clients = [client for pk in range(2, 30) for client in await streams(1, f"/testapp.notice/{pk}/")]
        await leave(clients)
        await until(lambda: len(hubs.get()._tails) == 1)
        await until(lambda: len(redis_server.client.pubsub_channels()) == 2)
        diff = notices.append()
        await stays.count(1)
        assert stays.diffs == [diff]


@pytest.mark.usefixtures("hasty")
async def test_connection_threads_and_tasks_are_given_up_when_nobody_listens(
    notices: Feed, redis_server: RedisServer
) -> None:
    tasks = asyncio.all_tasks()
    for _ in range(3):
        clients = await streams(3)
        assert threads("diffs-news", "diffs-channels") == ["diffs-channels_0", "diffs-news"]
        hub = hubs.get()
        await leave(clients)
        await until(lambda hub=hub: hubs._things.get(asyncio.get_running_loop()) is not hub)
        await until(lambda: asyncio.all_tasks() == tasks)
        await until(lambda: not threads("diffs-news", "diffs-channels"))
        await until(lambda: not redis_server.client.client_list(_type="pubsub"))


@pytest.mark.usefixtures("hasty")
async def test_p1_feeds_that_are_let_go_and_taken_again_miss_nothing(
    notices: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffs.http.live.hub.KEEP", 0.01)
    last_id, had = str(notices.now()), []
    for number in range(40):
        async with Stream(NOTICE, last_id) as client:
            await client.live()
            notices.append()
            await client.count(1)
        notices.append()
        had += client.positions
        last_id = client.last_id
        # So that some come while the feed is being given up.
        await asyncio.sleep(number % 10 * 0.01)
    async with Stream(NOTICE, last_id) as client:
        await client.live()
        assert had + client.positions == [stored.position for stored in notices.stored()]


async def test_hub_that_is_closing_takes_nobody_in(notices: Feed) -> None:
    notices.append()
    async with Stream(NOTICE) as client:
        await client.live()
        hub = hubs.get()
    hub.close()
    # At once, before any of its tasks has ended.
    assert hubs.get() is not hub
    async with Stream(NOTICE) as client:
        await client.live()
        notices.append()
        await client.count(2)


async def test_too_many_are_told_when_to_come_back(configure: Callable[..., None]) -> None:
    configure(max_listeners=2)
    async with Stream(NOTICE) as first, Client(NOTICE + "?since=now&wait=20") as waiting:
        await first.live()
        await until(lambda: waiting.waiters)
        for client in (Stream(NOTICE), Client(NOTICE + "?since=now&wait=20")):
            client.start()
            document = await client.answer()
            assert (client.status, document["status"], client.headers["retry-after"]) == (503, 503, "5")
            assert client.headers["content-type"] == "application/problem+json"
        # Whoever doesn't wait is no listener.
        at_once = Client(NOTICE)
        at_once.start()
        await at_once.answer()
        assert at_once.status == 200
    assert listeners() == 0
    async with Stream(NOTICE) as client:
        await client.live()


@pytest.mark.usefixtures("hasty")
async def test_diffs_come_also_where_redis_lets_its_user_listen_to_no_channel(
    redis_server: RedisServer, notices: Feed, configure: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    redis_server.cli("ACL", "SETUSER", "deaf", "on", ">secret", "~*", "+@all", "resetchannels")
    try:
        configure(redis={**redis_server.options, "username": "deaf", "password": "secret"})
        async with Stream(NOTICE) as client, Client(NOTICE + "?since=now&wait=20") as waiting:
            await client.live()
            await until(lambda: waiting.waiters)
            diff = notices.append()
            await client.count(1)
            page = await waiting.answer()
        assert client.diffs == page["diffs"] == [diff]
    finally:
        redis_server.cli("ACL", "DELUSER", "deaf")
    assert "ACL SETUSER" in caplog.text


async def test_feed_that_can_not_be_read_keeps_no_other_from_being_followed(hasty: None, notices: Feed) -> None:
    broken = Feed(Notice, 2)
    client = get_store().client
    async with Stream(NOTICE) as stream, Stream("/testapp.notice/2/") as of_broken:
        await asyncio.gather(stream.live(), of_broken.live())
        key = get_store().keys.feed(broken.ref.name)
        client.set(key, "no sorted set")
        for number in range(1, 6):
            # Both are to be read at once.
            client.publish(key, broken.now().timestamp + 10**9)
            notices.append()
            await stream.count(number)

        client.delete(key)
        broken.append()
        await of_broken.count(1)


async def test_feed_that_can_not_be_read_fails_no_other_request(notices: Feed) -> None:
    get_store().client.set(get_store().keys.feed(Feed(Notice, 2).ref.name), "no sorted set")
    clients = [Client(f"/testapp.notice/{pk}/?limit={limit}") for limit in range(1, 5) for pk in (1, 2)]
    for client in clients:
        client.start()

    await asyncio.gather(*(client.answer() for client in clients))

    assert [client.status for client in clients] == [200, 503] * 4


async def test_feed_that_can_not_be_shown_keeps_no_other_from_being_followed(
    notices: Feed, others: list[Feed], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add = Recent.add

    def fails(self: Recent, feed_name: FeedName, own: Any, form: Form, page: Any) -> Any:
        if feed_name == others[0].ref.name:
            raise RuntimeError("A defect.")
        return add(self, feed_name, own, form, page)

    async with Stream("/testapp.notice/2/") as broken, Stream(NOTICE) as client:
        await broken.live()
        await client.live()
        monkeypatch.setattr(Recent, "add", fails)
        caplog.set_level(logging.ERROR)
        others[0].append()
        await until(lambda: "can't be followed" in caplog.text)
        assert "A defect." in caplog.text
        diff = notices.append()
        await client.count(1)
        assert client.diffs == [diff]


def test_loop_that_ends_leaves_no_thread_that_listens_and_the_next_begins_anew(
    notices: Feed, redis_server: RedisServer
) -> None:
    async def main() -> list[Any]:
        async with Stream(NOTICE + "?since=now") as client:
            await client.live()
            diff = notices.append()
            await client.count(1)
            assert client.diffs == [diff]
        return [hubs.get(), gatherings.get()]

    first = asyncio.run(main())
    wait_for(lambda: not threads("diffs-news", "diffs-channels"))
    second = asyncio.run(main())
    wait_for(lambda: not threads("diffs-news", "diffs-channels"))
    assert not set(first) & set(second)
    # Of the last loop a few idle threads stay, until another asks.
    assert len(threads()) <= 4
    wait_for(lambda: not redis_server.client.client_list(_type="pubsub"))


def test_loop_that_is_closed_with_clients_in_it_is_let_go_by_the_next(notices: Feed) -> None:
    loop = asyncio.new_event_loop()

    async def connect() -> tuple[Stream, Hub]:
        client = Stream(NOTICE)
        client.start()
        await client.live()
        return client, hubs.get()

    client, hub = loop.run_until_complete(connect())
    tasks = asyncio.all_tasks(loop)
    loop.close()

    async def main() -> None:
        async with Stream(NOTICE) as other:
            await other.live()
            assert hubs.get() is not hub
            assert threads("diffs-news", "diffs-channels").count("diffs-news") <= 2

    asyncio.run(main())
    wait_for(lambda: not threads("diffs-news", "diffs-channels"))
    for task in tasks:
        # Python would complain of each that is thrown away.
        task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_each_of_two_loops_has_its_own(notices: Feed, redis_server: RedisServer) -> None:
    together = threading.Barrier(2)
    had: list[list[Any]] = []
    counts: list[int] = []

    async def listen() -> None:
        async with Stream(NOTICE) as client:
            await client.live()
            await asyncio.to_thread(together.wait)
            await asyncio.to_thread(together.wait)
            await client.count(1)
            had.append(client.diffs)
            counts.append(listeners())

    def run() -> None:
        asyncio.run(listen())

    workers = [threading.Thread(target=run)]
    for worker in workers:
        worker.start()

    async def main() -> None:
        async with Stream(NOTICE) as client:
            await client.live()
            await asyncio.to_thread(together.wait)
            assert len(redis_server.client.client_list(_type="pubsub")) == 2
            diff = notices.append()
            await asyncio.to_thread(together.wait)
            await client.count(1)
            had.append(client.diffs)
            counts.append(listeners())
            assert client.diffs == [diff]

    asyncio.run(main())
    for worker in workers:
        worker.join()
    assert had[0] == had[1]
    assert counts == [1, 1]


async def test_feed_with_many_channels_of_one_shard_is_reset_by_its_model_s_floor(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffs.http.live.hub.READ_AGAIN", 10_000)
    feeds = [Feed(Notice, pk) for pk in range(1, 41)]
    clients = [client for feed in feeds for client in await streams(1, f"/testapp.notice/{feed.pk}/")]
    get_store().raise_floors(Floors(models=["testapp.notice"]))
    for client in clients:
        await client.until(lambda client=client: client.resets)
        assert len(client.resets) == 1
    await leave(clients)


async def test_fake_server_of_the_test_mode_is_followed_too(configure: Callable[..., None]) -> None:
    configure(test_mode=True)
    feed = Feed(Notice, 1)
    first = feed.append()
    async with Stream(NOTICE) as client, Client(NOTICE + "?since=now&wait=20") as waiting:
        await client.live()
        await until(lambda: waiting.waiters)
        second = feed.append()
        await client.count(2)
        page = await waiting.answer()

        assert (client.diffs, page["diffs"]) == ([first, second], [second])
