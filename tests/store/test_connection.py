"""The server that the settings name is reached in every usual way, and no password shows anywhere."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from diffs.errors import ConfigurationError, CursorExpired, StoreUnavailable
from diffs.store import Floors, Read, Store, Upkeep, close_store, get_store
from diffs.store import connection as connection_module
from diffs.store import process as process_module
from diffs.store.connection import CONNECT_TIMEOUT, SOCKET_TIMEOUT, connect
from diffs.store.options import known_arguments
from tests.servers import RedisServer, TlsProxy

from .conftest import DIALECTS
from .feeds import WINDOW, add, cursor_now, feed, numbers, read_all
from .processes import ENVIRONMENT

PASSWORD = "correct horse battery staple"


@pytest.fixture
def guarded(redis_server: RedisServer) -> Iterator[RedisServer]:
    """The session's server, which asks for a password for as long as the test takes."""
    redis_server.cli("ACL", "SETUSER", "guest", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    yield redis_server
    redis_server.cli("ACL", "DELUSER", "guest")


def write_and_read(settings: Any, **options: Any) -> list[int]:
    """Use the server that these options name."""
    settings.DIFFS_SETTINGS = {"redis": options}
    store = get_store()
    add(store, 1)
    return numbers(read_all(store))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_server_is_reached_by_host_and_port(settings: Any, redis_server: RedisServer, dialect: str) -> None:
    assert write_and_read(settings, host="127.0.0.1", port=redis_server.port, **DIALECTS[dialect]) == [1]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_server_is_reached_by_its_unix_socket(settings: Any, redis_server: RedisServer, dialect: str) -> None:
    assert write_and_read(settings, unix_socket_path=str(redis_server.socket), **DIALECTS[dialect]) == [1]
    assert write_and_read(settings, url=f"unix://{redis_server.socket}", **DIALECTS[dialect]) == [1]


def test_database_of_the_options_or_the_url_is_used(settings: Any, redis_server: RedisServer) -> None:
    address = f"redis://127.0.0.1:{redis_server.port}"
    assert write_and_read(settings, host="127.0.0.1", port=redis_server.port, db=3) == [1]
    assert write_and_read(settings, url=f"{address}/4") == [1]
    assert set(redis_server.client.info("keyspace")) == {"db3", "db4"}


def test_server_is_reached_with_user_and_password(settings: Any, guarded: RedisServer) -> None:
    address = {"host": "127.0.0.1", "port": guarded.port}
    assert write_and_read(settings, **address, username="guest", password=PASSWORD) == [1]
    quoted = PASSWORD.replace(" ", "%20")
    assert write_and_read(settings, url=f"redis://guest:{quoted}@127.0.0.1:{guarded.port}/0") == [1]


def test_server_is_reached_through_tls(settings: Any, tls_server: TlsProxy) -> None:
    assert write_and_read(settings, url=tls_server.url) == [1]
    port, authority = tls_server.port, str(tls_server.authority)
    assert write_and_read(settings, host="127.0.0.1", port=port, ssl=True, ssl_ca_certs=authority) == [1]


def test_server_whose_certificate_nobody_vouches_for_is_not_talked_to(settings: Any, tls_server: TlsProxy) -> None:
    settings.DIFFS_SETTINGS = {"redis": {"url": tls_server.url_without_authority}}
    with pytest.raises(StoreUnavailable) as caught:
        read_all(get_store())
    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value.__cause__)


def test_in_process_fake_stands_in_where_the_settings_say_so(settings: Any) -> None:
    settings.DIFFS_SETTINGS = {"test_mode": True, "redis": {"url": "redis://nowhere.invalid"}}
    store = get_store()
    add(store, 1)
    assert numbers(read_all(store)) == [1]
    assert get_store() is store
    close_store()
    assert read_all(get_store()).stored == []


def test_fake_that_is_not_installed_is_named(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DIFFS_SETTINGS = {"test_mode": True}
    monkeypatch.setitem(sys.modules, "fakeredis", None)
    with pytest.raises(ConfigurationError, match=r"needs fakeredis with Lua: pip install 'django-diffs\[test\]'"):
        connect()


def test_timeouts_are_short_and_nothing_is_tried_twice_unless_the_settings_say_so(settings: Any) -> None:
    settings.DIFFS_SETTINGS = {"redis": {"host": "cache"}}
    options = connect().get_connection_kwargs()
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (SOCKET_TIMEOUT, CONNECT_TIMEOUT)
    assert options["retry"].get_retries() == 0
    settings.DIFFS_SETTINGS = {"redis": {"url": "redis://cache?socket_timeout=7", "socket_connect_timeout": 8}}
    options = connect().get_connection_kwargs()
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (7, 8)


UNUSABLE = [
    {"url": f"http://:{PASSWORD}@cache"},
    {"url": f"redis://:{PASSWORD}@cache:port"},
    {"host": "cache", "password": PASSWORD, "no_such_argument": PASSWORD},
    {"url": 7, "password": PASSWORD},
]


@pytest.mark.parametrize("options", UNUSABLE, ids=["scheme", "port", "argument", "type"])
def test_unusable_options_are_an_error_that_does_not_quote_them(settings: Any, options: dict[str, Any]) -> None:
    settings.DIFFS_SETTINGS = {"redis": options}
    with pytest.raises(ConfigurationError, match=r"DIFFS_SETTINGS\['redis'\] can't be used") as caught:
        connect()
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_connections_that_could_not_be_made_are_found_without_making_one() -> None:
    connection_module.verify({"url": "redis://nowhere.invalid", "single_connection_client": True})
    with pytest.raises(ConfigurationError, match=r"can't be used \(TypeError\)"):
        connection_module.verify({"url": f"redis://:{PASSWORD}@cache?no_such_argument=1"})


def test_arguments_that_are_known_are_those_of_the_client_and_our_own() -> None:
    known = known_arguments()
    assert {"url", "embedded", "directory", "host", "port", "db", "password", "ssl", "protocol"} <= known
    assert "self" not in known


@pytest.mark.parametrize("how", ["options", "url", "wrong password"])
def test_password_shows_neither_in_errors_nor_in_logs_nor_in_what_objects_say_of_themselves(
    settings: Any, guarded: RedisServer, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = PASSWORD if how != "wrong password" else f"not {PASSWORD}"
    options: dict[str, Any] = {"host": "127.0.0.1", "port": guarded.port, "username": "guest", "password": secret}
    if how == "url":
        options = {"url": f"redis://guest:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{guarded.port}/0"}
    settings.DIFFS_SETTINGS = {"redis": options}
    store = get_store()
    said = [repr(store), str(store), repr(store.client), repr(store.client.connection_pool), Upkeep(store).address]
    if how != "wrong password":
        add(store, 1)
        guarded.cli("ACL", "SETUSER", "guest", "off")
        guarded.cli("CLIENT", "KILL", "USER", "guest")
    with pytest.raises(StoreUnavailable) as caught:
        read_all(store)
    said += traceback.format_exception(caught.value)
    add(store, 2)
    store.raise_floors(Floors(everything=True))
    said.append(caplog.text)
    assert "Redis is away (" in caplog.text
    for part in ("horse", "horse%20battery"):
        assert part not in "\n".join(said)


COMMANDS = (
    *("ping", "evalsha", "eval", "time"),
    *("hmget", "hset", "hdel", "del", "get", "set", "unlink"),
    *("zadd", "zcard", "zcount", "zrange", "zrangebyscore", "zrevrangebyscore", "zremrangebyrank"),
    *("pexpire", "publish", "memory|usage", "scan"),
)
"""What a user needs who may do nothing else; ``info`` and ``config|get`` only show more in ``diffs_status``."""

OPTIONAL = ("publish", "memory|usage")
"""Without them nobody is told of news, and nobody is told how many bytes were freed."""


@pytest.fixture
def limited(store_server: RedisServer) -> Iterator[Any]:
    """Make a store whose user may run these commands on our keys, and nothing else."""
    stores: list[Store] = []

    def make(commands: tuple[str, ...], channels: str = "&diffs:*") -> Store:
        rules = ("reset", "on", "nopass", "~diffs:*", "resetchannels", *channels.split())
        store_server.cli("ACL", "SETUSER", "limited", *rules, *(f"+{name}" for name in commands))
        stores.append(Store(redis.Redis(**store_server.options, username="limited", password="any"), "diffs"))
        return stores[-1]

    yield make
    for store in stores:
        store.close()
    store_server.client.acl_deluser("limited")


def use_everything(store: Store) -> None:
    """Whatever a site does, and some of it twice, as scripts do more when there is something."""
    store.client.ping()
    short = feed("polls.vote:1", window=1)
    for number in range(3):
        add(store, number)
        add(store, number, to=short)
    cursor = cursor_now(store)
    add(store, 3)
    assert numbers(store.read_one(Read(feed=feed(), cursor=cursor, limit=9))) == [3]
    assert numbers(store.read_one(Read(feed=feed(), limit=1, mode="desc"))) == [3]
    assert store.count(Read(feed=feed())) == 4
    upkeep = Upkeep(store)
    assert len(upkeep.survey([feed().name]).feeds) == 1
    *_, pruned = upkeep.prune(lambda model: (WINDOW, 0))
    assert pruned.removed >= 4
    add(store, 4)
    store.raise_floors(Floors([feed()], ["polls.question"]))
    store.clear(feed())
    add(store, 5)
    assert numbers(read_all(store)) == [5]
    upkeep.remove_everything()
    add(store, 6)
    upkeep.servers()


@pytest.mark.store
def test_user_who_may_do_just_what_is_needed_can_do_everything(
    limited: Any, caplog: pytest.LogCaptureFixture, store_server: RedisServer
) -> None:
    store_server.client.script_flush()
    use_everything(limited(COMMANDS))
    assert caplog.messages == []
    for command in (("set", "other:key", 1), ("publish", "other", 1), ("flushall",), ("get", "other:key")):
        with (
            redis.Redis(**store_server.options, username="limited", password="any") as client,
            pytest.raises(redis.exceptions.NoPermissionError),
        ):
            client.execute_command(*command)


@pytest.mark.store
@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in OPTIONAL])
def test_none_of_the_needed_commands_can_be_done_without(
    limited: Any, caplog: pytest.LogCaptureFixture, store_server: RedisServer, command: str
) -> None:
    store_server.client.script_flush()
    store = limited(tuple(name for name in COMMANDS if name != command))
    try:
        use_everything(store)
    except (StoreUnavailable, CursorExpired, AssertionError, redis.exceptions.NoPermissionError):
        return
    assert caplog.messages != []


@pytest.mark.store
def test_what_is_done_without_takes_nothing_else_along(limited: Any, caplog: pytest.LogCaptureFixture) -> None:
    use_everything(limited(tuple(name for name in COMMANDS if name not in OPTIONAL), channels=""))
    assert caplog.messages == []


def test_store_is_made_once_and_again_when_the_settings_change(settings: Any) -> None:
    first = get_store()
    assert get_store() is first
    settings.TIME_ZONE = "UTC"
    assert get_store() is first
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "prefix": "other"}
    second = get_store()
    assert second is not first
    assert second.keys.prefix == "other"
    close_store()
    close_store()
    assert get_store() is not second


def test_unusable_settings_are_told_at_every_use(settings: Any) -> None:
    settings.DIFFS_SETTINGS = {"redis": {"no_such_argument": 1}}
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            get_store()


FORKING = """
import os, sys
import django.conf
django.conf.settings.configure(DIFFS_SETTINGS={"redis": {"unix_socket_path": sys.argv[1]}})
from diffs.keys import parse_feed
from diffs.store import Entry, FeedRef, get_store
def append(numbers):
    for number in numbers:
        member = bytes([0x11, 0xff, 0x00, 0xc3]) + str(number).encode()
        get_store().append([Entry(FeedRef(parse_feed("polls.question:1"), 3600 * 10**6), member)])
append([0])
child = os.fork()
append(range(200, 400) if child else range(1, 200))
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_forked_child_talks_to_the_server_on_a_connection_of_its_own(redis_server: RedisServer) -> None:
    subprocess.run([sys.executable, "-c", FORKING, str(redis_server.socket)], env=ENVIRONMENT, check=True)
    assert sorted(numbers(read_all(get_store()))) == list(range(400))


def test_store_that_another_thread_makes_meanwhile_is_the_one_store(monkeypatch: pytest.MonkeyPatch) -> None:
    close_store()
    made: list[Store] = []

    class Lock(contextlib.nullcontext[None]):
        """Waiting for it takes as long as another thread needs."""

        def __enter__(self) -> None:
            monkeypatch.setattr(process_module, "_lock", contextlib.nullcontext())
            made.append(get_store())

    monkeypatch.setattr(process_module, "_lock", Lock())
    assert [get_store()] == made


def test_count_that_a_server_never_gives_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(redis.Redis(), "diffs")
    monkeypatch.setattr(store, "run", lambda calls: [[b"write"]])
    with pytest.raises(StoreUnavailable, match="twice in a row"):
        store.count(Read(feed=feed()))
    store.close()
