"""What Redis publishes is heard over one connection, through restarts and refusals, whatever client a site has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from diffs.keys import parse_feed
from diffs.store import Entry, FeedRef, Floors, News, Read, Store, close_store, get_store, news
from tests.servers import Cluster, RedisServer, TlsProxy, Watched, best_kind
from tests.store.processes import wait_for

DIALECTS: dict[str, dict[str, Any]] = {
    "resp2": {"protocol": 2},
    "resp2-text": {"protocol": 2, "decode_responses": True},
    "resp3": {"protocol": 3},
    "resp3-text": {"protocol": 3, "decode_responses": True},
}
QUICKLY = {"socket_timeout": 1.0, "retry": Retry(NoBackoff(), 0)}


class Ear:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.words: list[tuple[Any, ...]] = []

    def ready(self, channel: str) -> None:
        self.words.append(("ready", channel))

    def heard(self, channel: str, position: int) -> None:
        self.words.append(("heard", channel, position))

    def lost(self, *, is_refused: bool) -> None:
        self.words.append(("lost", is_refused))

    def wait(self, *word: Any, since: int = 0) -> None:
        wait_for(lambda: word in self.words[since:])


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def listen(ear: Ear) -> Iterator[Callable[..., News]]:
    """Make an object that listens through a client, until the test ends."""
    made: list[News] = []

    def make(client: redis.Redis | Callable[[], redis.Redis]) -> News:
        made.append(News(client if callable(client) else lambda: client, ear))
        return made[-1]

    before = set(threading.enumerate())
    yield make
    for one in made:
        one.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(news, "LONGEST_PAUSE", 0.1)


def ref(name: str) -> FeedRef:
    return FeedRef(parse_feed(name), 3600 * 10**6)


@pytest.mark.store
@pytest.mark.parametrize("dialect", DIALECTS)
def test_appends_and_floors_are_heard_with_their_timestamps(
    store_server: RedisServer, ear: Ear, listen: Callable[..., News], dialect: str
) -> None:
    client = redis.Redis(**store_server.options, **QUICKLY, **DIALECTS[dialect])
    store = Store(client, "diffs")
    feed, other = ref("polls.question:ünï:{1}"), ref("polls.question:2")
    channel, meta = store.keys.feed(feed.name), store.keys.meta(feed.name.shard)
    heard = listen(client)
    heard.subscribe([channel, meta])
    ear.wait("ready", channel)
    ear.wait("ready", meta)
    store.append([Entry(other, b"nobody listens")])
    store.append([Entry(feed, b"one"), Entry(feed, b"two")])
    stored = last(store, feed)
    ear.wait("heard", channel, stored)
    store.raise_floors(Floors([feed]))
    ear.wait("heard", channel, clock(store, feed))
    store.raise_floors(Floors(models=["polls.question"]))
    ear.wait("heard", meta, clock(store, feed))

    assert [word for word in ear.words if word[0] == "heard"][0] == ("heard", channel, stored)
    assert len(store_server.client.client_list(_type="pubsub")) == 1


def last(store: Store, feed: FeedRef) -> int:
    return store.read_one(Read(feed, 10)).stored[-1].position


def clock(store: Store, feed: FeedRef) -> int:
    return store.read_one(Read(feed, mode="cursor")).cursor.timestamp


@pytest.mark.store
def test_each_channel_is_told_to_be_ready_also_where_it_was_before(
    store_server: RedisServer, ear: Ear, listen: Callable[..., News]
) -> None:
    heard = listen(store_server.client)
    heard.subscribe(["one", "meta"])
    ear.wait("ready", "one")
    ear.wait("ready", "meta")
    since = len(ear.words)
    heard.subscribe(["two", "meta"])
    ear.wait("ready", "two", since=since)
    ear.wait("ready", "meta", since=since)


@pytest.mark.store
def test_channel_that_is_given_up_is_not_heard_and_can_be_taken_again(
    store_server: RedisServer, ear: Ear, listen: Callable[..., News]
) -> None:
    heard = listen(store_server.client)
    heard.subscribe(["one", "two"])
    ear.wait("ready", "two")
    heard.unsubscribe(["one", "two"])
    wait_for(lambda: not store_server.client.pubsub_channels())
    for number in range(50):
        since = len(ear.words)
        heard.subscribe(["one"])
        heard.unsubscribe(["one"])
        heard.subscribe(["one"])
        ear.wait("ready", "one", since=since)
        wait_for(lambda since=since: ear.words[since:].count(("ready", "one")) == 2)
        store_server.client.publish("one", number)
        ear.wait("heard", "one", number, since=since)
        heard.unsubscribe(["one"])

    assert ("lost", False) not in ear.words


@pytest.mark.store
def test_very_many_channels_share_the_connection(
    store_server: RedisServer, ear: Ear, listen: Callable[..., News]
) -> None:
    heard = listen(store_server.client)
    names = [f"channel {number}" for number in range(3000)]
    for start in range(0, 3000, 2):
        heard.subscribe(names[start : start + 2])
    wait_for(lambda: {word[1] for word in ear.words} == set(names))
    assert len(store_server.client.client_list(_type="pubsub")) == 1
    heard.unsubscribe(names[:-1])
    wait_for(lambda: store_server.client.pubsub_channels() == [names[-1].encode()])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_everything_is_subscribed_to_again_when_the_server_is_back(
    server: RedisServer, ear: Ear, listen: Callable[..., News], dialect: str
) -> None:
    client = redis.Redis(**server.options, **QUICKLY, **DIALECTS[dialect])
    heard = listen(client)
    heard.subscribe(["one", "two"])
    ear.wait("ready", "two")
    for number in range(3):
        since = len(ear.words)
        server.kill()
        ear.wait("lost", False, since=since)
        heard.subscribe([f"meanwhile {number}"])
        heard.unsubscribe(["two"])
        server.restart()
        for name in ("one", f"meanwhile {number}"):
            ear.wait("ready", name, since=since)
        server.client.publish("one", number)
        ear.wait("heard", "one", number, since=since)

    assert sorted(server.client.pubsub_channels()) == [b"meanwhile 0", b"meanwhile 1", b"meanwhile 2", b"one"]
    assert ("lost", True) not in ear.words


@pytest.mark.parametrize("options", [{}, {"retry": Retry(NoBackoff(), 3)}])
def test_connections_that_are_cut_while_channels_are_taken_leave_nothing_unheard(
    redis_server: RedisServer,
    ear: Ear,
    listen: Callable[..., News],
    options: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard = listen(redis.Redis(**redis_server.options, **{**QUICKLY, **options}))
    heard.subscribe(["one"])
    ear.wait("ready", "one")
    for number in range(30):
        since = len(ear.words)
        redis_server.cli("CLIENT", "KILL", "TYPE", "pubsub")
        heard.subscribe([f"channel {number}"])
        ear.wait("lost", False, since=since)
        # Those who were told that they aren't heard are told when they are.
        since = ear.words.index(("lost", False), since)
        for name in ("one", f"channel {number}"):
            ear.wait("ready", name, since=since)
        redis_server.client.publish("one", number)
        ear.wait("heard", "one", number, since=since)

    assert caplog.records == []


def test_server_that_hangs_is_noticed(
    server: RedisServer, ear: Ear, listen: Callable[..., News], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "SILENCE", 0.1)
    heard = listen(redis.Redis(**server.options, **QUICKLY))
    heard.subscribe(["one"])
    ear.wait("ready", "one")
    server.pause()
    try:
        ear.wait("lost", False)
    finally:
        server.resume()
    since = ear.words.index(("lost", False))
    ear.wait("ready", "one", since=since)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_silent_server_that_is_there_is_not_given_up(
    redis_server: RedisServer, ear: Ear, listen: Callable[..., News], monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    monkeypatch.setattr(news, "SILENCE", 0.03)
    heard = listen(redis.Redis(**redis_server.options, **QUICKLY, **DIALECTS[dialect]))
    heard.subscribe(["one"])
    ear.wait("ready", "one")
    pings = redis_server.client.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"]
    wait_for(lambda: redis_server.client.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"] > pings + 4)
    redis_server.client.publish("one", 7)
    ear.wait("heard", "one", 7)

    assert ear.words == [("ready", "one"), ("heard", "one", 7)]


@pytest.mark.store
@pytest.mark.parametrize("rights", ["resetchannels", "-subscribe", "resetchannels &other:*"])
def test_user_without_channels_is_told_to_be_refused_and_heard_when_it_has_them(
    store_server: RedisServer,
    ear: Ear,
    listen: Callable[..., News],
    caplog: pytest.LogCaptureFixture,
    rights: str,
) -> None:
    store_server.cli("ACL", "SETUSER", "web", "on", ">secret", "~*", "&*", "+@all", *rights.split())
    try:
        client = redis.Redis(**store_server.options, **QUICKLY, username="web", password="secret")
        heard = listen(client)
        heard.subscribe(["diffs:one"])
        ear.wait("lost", True)
        wait_for(lambda: ear.words.count(("lost", True)) > 2)
        assert set(ear.words) == {("lost", True)}
        assert [record.message.split(":")[0] for record in caplog.records] == [
            "Redis lets its user subscribe to no channel"
        ]
        assert "secret" not in caplog.text
        store_server.cli("ACL", "SETUSER", "web", "resetchannels", "&diffs:*", "+subscribe")
        ear.wait("ready", "diffs:one")
    finally:
        store_server.cli("ACL", "DELUSER", "web")


def test_tls(tls_server: TlsProxy, ear: Ear, listen: Callable[..., News], redis_server: RedisServer) -> None:
    heard = listen(redis.Redis.from_url(tls_server.url, **QUICKLY))
    names = [f"channel {number}" for number in range(400)]
    stop = threading.Event()

    def publish() -> None:
        client = redis.Redis(**redis_server.options)
        number = 0
        while not stop.is_set():
            client.publish("channel 0", number := number + 1)
        client.close()

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        # Channels are taken and given up while others are heard: two threads share the connection.
        for start in range(0, 400, 2):
            heard.subscribe(names[start : start + 2])
            if start:
                heard.unsubscribe([names[start - 1]])
        ear.wait("ready", names[-1])
    finally:
        stop.set()
        thread.join()
    redis_server.client.publish(names[-1], 7)
    ear.wait("heard", names[-1], 7)

    assert ("lost", False) not in ear.words
    numbers = [word[2] for word in ear.words if word[:2] == ("heard", "channel 0")]
    assert numbers == sorted(numbers)


def test_fake_server_of_the_test_mode_is_heard(ear: Ear, listen: Callable[..., News]) -> None:
    fake = fakeredis.FakeRedis(server=fakeredis.FakeServer())
    store = Store(fake, "diffs")
    feed = ref("polls.question:1")
    channel = store.keys.feed(feed.name)
    heard = listen(fake)
    heard.subscribe([channel])
    ear.wait("ready", channel)
    store.append([Entry(feed, b"one")])

    ear.wait("heard", channel, last(store, feed))


def test_news_of_all_masters_of_a_cluster_are_heard_on_one(
    cluster: Cluster, ear: Ear, listen: Callable[..., News]
) -> None:
    store = get_store()
    refs = [ref(f"polls.question:{pk}") for pk in range(20)]
    channels = [store.keys.feed(one.name) for one in refs]
    heard = listen(store.publisher)
    heard.subscribe(channels)
    for channel in channels:
        ear.wait("ready", channel)
    store.append([Entry(one, b"one") for one in refs])
    for channel, one in zip(channels, refs, strict=True):
        ear.wait("heard", channel, last(store, one))

    assert len({cluster.master_of(channel).port for channel in channels}) == 3
    assert len(listeners(cluster)) == 1
    # Whoever begins to listen does so on another, so that they share the work.
    others = [listen(store.publisher) for _ in range(2)]
    for other in others:
        other.subscribe(channels[:1])
    wait_for(lambda: len(listeners(cluster)) == 3)


def listeners(cluster: Cluster) -> list[RedisServer]:
    return [node for node in cluster.nodes if node.is_running and node.client.client_list(_type="pubsub")]


@pytest.mark.slow
def test_master_that_was_listened_on_and_is_gone_is_left_for_another(
    settings: Any, ear: Ear, listen: Callable[..., News]
) -> None:
    with Cluster(best_kind(), config={"cluster-require-full-coverage": "no"}) as own:
        settings.DIFFS_SETTINGS = {"redis": own.options}
        store = get_store()
        channel = "diffs:one"
        heard = listen(store.publisher)
        heard.subscribe([channel])
        ear.wait("ready", channel)
        (gone,) = listeners(own)
        since = len(ear.words)
        gone.kill()
        ear.wait("lost", False, since=since)
        ear.wait("ready", channel, since=since)
        (other,) = listeners(own)
        other.client.publish(channel, 7)
        ear.wait("heard", channel, 7)
        heard.close()
        close_store()


@pytest.mark.slow
def test_master_that_sentinel_has_replaced_is_left_for_the_new_one(
    settings: Any, ear: Ear, listen: Callable[..., News]
) -> None:
    with Watched(best_kind()) as watched:
        settings.DIFFS_SETTINGS = {"redis": watched.options}
        heard = listen(lambda: get_store().publisher())
        heard.subscribe(["one"])
        ear.wait("ready", "one")
        since = len(ear.words)
        watched.master.kill()
        ear.wait("lost", False, since=since)
        ear.wait("ready", "one", since=since)
        watched.replica.client.publish("one", 7)
        ear.wait("heard", "one", 7)
        heard.close()
        close_store()


def test_what_others_publish_on_a_channel_does_no_harm(
    redis_server: RedisServer, ear: Ear, listen: Callable[..., News], caplog: pytest.LogCaptureFixture
) -> None:
    heard = listen(redis_server.client)
    heard.subscribe(["one"])
    ear.wait("ready", "one")
    redis_server.client.publish("one", "no number")
    wait_for(lambda: ear.words.count(("ready", "one")) == 2)
    redis_server.client.publish("one", 7)
    ear.wait("heard", "one", 7)


def test_each_connection_is_of_the_client_of_then(
    server: RedisServer, redis_server: RedisServer, ear: Ear, listen: Callable[..., News]
) -> None:
    clients = [redis.Redis(**server.options, **QUICKLY)]
    heard = listen(lambda: clients[-1])
    heard.subscribe(["one"])
    ear.wait("ready", "one")
    clients.append(redis.Redis(**redis_server.options, **QUICKLY))
    clients[0].close()
    wait_for(lambda: ear.words.count(("ready", "one")) == 2)
    redis_server.client.publish("one", 7)
    ear.wait("heard", "one", 7)


@pytest.mark.parametrize("when", ["before it listens", "while it waits for a channel", "while it is away"])
def test_thread_ends_when_it_is_closed(server: RedisServer, ear: Ear, when: str) -> None:
    heard = News(lambda: redis.Redis(**server.options, **QUICKLY), ear)
    if when != "before it listens":
        heard.subscribe(["one"])
        ear.wait("ready", "one")
    if when == "while it waits for a channel":
        heard.unsubscribe(["one"])
    if when == "while it is away":
        server.kill()
        ear.wait("lost", False)
    heard.close()
    heard.close()
    wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name == "diffs-news"])
    if when != "while it is away":
        wait_for(lambda: not server.client.client_list(_type="pubsub"))
