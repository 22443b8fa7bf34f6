"""`diffs_status`: what it measures, how it shows it, and what it warns of."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from diffs.capture import sending
from diffs.errors import StoreUnavailable
from diffs.keys import FeedName, parse_feed
from diffs.management import report
from diffs.management.status import EXAMPLES, look
from diffs.models import OutboxItem
from diffs.registration import registrations
from diffs.store import Entry, FeedRef, FeedSurvey, ServerInfo, Survey, Upkeep, get_store
from diffs.testing import fresh_store
from tests.servers import RedisServer
from tests.testapp.models import Author

from .conftest import MINUTE, Fill, Run

FEEDS = {
    "testapp.question:1": [50 * MINUTE, 20 * MINUTE, 5],
    "testapp.question:2": [30 * MINUTE],
    "testapp.airport": [90],
    "testapp.airport:1": [90],
    "testapp.ticker:1": [20],
}
SECOND = 1_000_000
NOW = 1_700_000_000 * SECOND
HEALTHY = {
    "redis_version": "7.4.1",
    "role": "master",
    "used_memory": 1_500_000,
    "maxmemory": 100_000_000,
    "maxmemory_policy": "noeviction",
    "evicted_keys": 0,
    "aof_enabled": 0,
    "server_time_usec": NOW,
    "save": "",
    "zset-max-listpack-value": "256",
    "zset-max-ziplist-value": "256",
}
EVICTING = "Set maxmemory-policy noeviction, or give the diffs a server of their own."
COMPACT = "Set zset-max-listpack-value 256 (zset-max-ziplist-value before Redis 7)."


class Invented(Upkeep):
    """A server that says of itself, and of its feeds, what a test wants."""

    def __init__(
        self, info: dict[str, Any], feeds: Sequence[FeedSurvey] = (), wrong_type: Sequence[str] = (), **more: Any
    ) -> None:
        self._servers = [{**info, **more}]
        self._surveys = list(feeds)
        self._wrong_type = list(wrong_type)

    def servers(self) -> list[ServerInfo]:
        return [ServerInfo("redis://cache:6379/0", info) for info in self._servers]

    def feeds(self, model: str | None = None) -> Iterator[list[FeedName]]:
        yield [feed.name for feed in self._surveys]

    def survey(self, names: Sequence[FeedName]) -> Survey:
        return Survey(self._surveys, self._wrong_type)


def findings(upkeep: Upkeep) -> list[tuple[str, str, str]]:
    return [(finding.id, finding.message, finding.advice) for finding in look(upkeep).findings]


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in HEALTHY.items() if name not in names}


# What it warns of

INFO: list[tuple[dict[str, Any], list[tuple[str, str, str]]]] = [
    (HEALTHY, []),
    ({**HEALTHY, "maxmemory": 0}, []),
    ({**HEALTHY, "redis_version": "6.2.0"}, []),
    ({**HEALTHY, "redis_version": "10.0.0"}, []),
    ({**HEALTHY, "redis_version": "6.0.0", "valkey_version": "8.1.0"}, []),
    ({**HEALTHY, "zset-max-listpack-value": "128"}, []),
    (without("zset-max-listpack-value", "zset-max-ziplist-value"), []),
    ({**HEALTHY, "used_memory": 89_999_999}, []),
    (
        {},
        [
            (
                "info",
                "The server says nothing of itself: most of what could go wrong can't be seen, and neither a failover "
                "nor an eviction refuses the cursors that it should.",
                "Allow this user the commands INFO and CONFIG GET.",
            )
        ],
    ),
    (
        {**HEALTHY, "redis_version": "6.0.16"},
        [("version", "Redis 6.0.16 is too old.", "Use Redis 6.2 or newer, or Valkey.")],
    ),
    (
        {**HEALTHY, "role": "slave"},
        [
            (
                "replica",
                "The server is a replica: it takes no diffs.",
                "Name its master in DIFFS_SETTINGS['redis'].",
            )
        ],
    ),
    (
        {**HEALTHY, "maxmemory_policy": "allkeys-lru"},
        [
            (
                "eviction",
                "The eviction policy is allkeys-lru: a full server removes keys, and whenever it does, all old cursors "
                "are refused.",
                EVICTING,
            )
        ],
    ),
    (
        {**HEALTHY, "maxmemory_policy": "volatile-ttl", "maxmemory": 0},
        [
            (
                "eviction",
                "The eviction policy is volatile-ttl: without maxmemory it does nothing, but with it keys are removed, "
                "and then all old cursors are refused.",
                EVICTING,
            )
        ],
    ),
    (
        {**HEALTHY, "maxmemory_policy": "allkeys-lfu", "evicted_keys": 1234},
        [
            (
                "eviction",
                "The eviction policy is allkeys-lfu: it has removed 1,234 keys since the server started, and "
                "whenever it does, all old cursors are refused.",
                EVICTING,
            )
        ],
    ),
    (
        {**HEALTHY, "used_memory": 90_000_000},
        [
            (
                "memory",
                "85.8 MB of 95.4 MB are used: a full server takes no diffs, and old cursors are refused.",
                "Raise maxmemory, or shorten max_element_age and run prune_diffs.",
            )
        ],
    ),
    (
        {**HEALTHY, "zset-max-listpack-value": "64", "zset-max-ziplist-value": "64"},
        [
            (
                "compact",
                "zset-max-listpack-value is 64: a feed with a longer diff takes much more memory.",
                COMPACT,
            )
        ],
    ),
    (
        {**without("zset-max-listpack-value"), "zset-max-ziplist-value": "127"},
        [
            (
                "compact",
                "zset-max-listpack-value is 127: a feed with a longer diff takes much more memory.",
                COMPACT,
            )
        ],
    ),
]


@pytest.mark.parametrize(("info", "found"), INFO)
def test_what_the_server_says_leads_to_warnings_with_advice(
    info: dict[str, Any], found: list[tuple[str, str, str]]
) -> None:
    assert findings(Invented(info)) == found


def test_several_warnings_come_together() -> None:
    upkeep = Invented(HEALTHY, role="slave", maxmemory_policy="allkeys-lru", used_memory=99_000_000)
    assert [finding.id for finding in look(upkeep).findings] == ["replica", "eviction", "memory"]


def test_short_window_is_a_warning(settings: Any) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "max_element_age": 59.5}
    (found,) = findings(Invented(HEALTHY))
    assert found[0] == "window"
    assert found[1].startswith("Windows of less than a minute: ")
    assert ", testapp.airport (59s), testapp.archive (59s), " in found[1]
    assert "testapp.ticker" not in found[1]  # its own is a minute, and that is enough
    assert found[2] == "Set max_element_age to some multiple of the time between two polls, at least 60."


def test_feeds_of_a_model_that_is_not_registered_are_a_warning() -> None:
    feeds = [FeedSurvey(parse_feed(name), 1, NOW, NOW) for name in ("gone.model:1", "gone.model:2", "old.model:1")]
    assert findings(Invented(HEALTHY, feeds)) == [
        (
            "unregistered",
            "There are feeds of models that are not registered: gone.model, old.model.",
            "They expire by themselves; at once: prune_diffs --older-than 0 --model gone.model.",
        )
    ]


def test_keys_of_another_type_are_a_warning_that_names_some() -> None:
    few = findings(Invented(HEALTHY, wrong_type=["a", "b"]))
    assert few == [
        (
            "wrong-type",
            "Keys in the place of feeds are of another type: a, b. Their diffs are lost.",
            "Delete them, or choose another DIFFS_SETTINGS['prefix'].",
        )
    ]
    status = look(Invented(HEALTHY, wrong_type=[str(number) for number in range(1200)]))
    assert (len(status.wrong_type), status.wrong_type_count) == (EXAMPLES, 1200)
    assert ", 9, and 1,190 more. Their" in status.findings[0].message


def test_test_mode_is_the_warning_that_leaves_no_other(run: Run) -> None:
    with fresh_store(fake=True):
        ran = run("diffs_status", "--format", "json")
    status = json.loads(ran.out)
    assert [warning["id"] for warning in status["warnings"]] == ["test-mode"]
    assert (status["server"]["name"], status["server"]["address"]) == ("in-process fake", None)


# What it measures, on real servers


@pytest.mark.store
@pytest.mark.parametrize(
    "dialect",
    [{"protocol": protocol, "decode_responses": is_text} for protocol in (2, 3) for is_text in (False, True)],
    ids=str,
)
def test_json_is_the_whole_state(
    run: Run, fill: Fill, store_server: RedisServer, settings: Any, dialect: dict[str, Any]
) -> None:
    raw = settings.DIFFS_SETTINGS
    settings.DIFFS_SETTINGS = {**raw, "redis": {**raw["redis"], **dialect}}
    fill({**FEEDS, "gone.model:7": [20 * MINUTE]})
    client = get_store().client
    wrong = get_store().keys.feed(parse_feed("testapp.question:3"))
    client.set(wrong, "not mine")

    ran = run("diffs_status", "--format", "json")
    assert (ran.err, ran.error) == ("", None)
    status = json.loads(ran.out)

    now = dt.datetime.fromisoformat(status["time"])
    assert abs(now - dt.datetime.now(dt.timezone.utc)) < dt.timedelta(minutes=1)

    def age(text: str) -> int:
        """Whole minutes."""
        return int((now - dt.datetime.fromisoformat(text)).total_seconds() // MINUTE)

    def counts(feeds: int, diffs: int, oldest: int, newest: int) -> dict[str, Any]:
        return {"feeds": feeds, "diffs": diffs, "oldest": oldest, "newest": newest}

    for row in (*status["models"], status["total"]):
        row.update({name: age(row[name]) for name in ("oldest", "newest") if row["diffs"]})
    assert status["total"] == counts(6, 8, 50, 0)
    assert {row["model"]: row for row in status["models"] if row["feeds"]} == {
        "gone.model": {
            "model": "gone.model",
            "registered": False,
            "window": 3600.0,
            **counts(1, 1, 20, 20),
        },
        "testapp.airport": {"model": "testapp.airport", "registered": True, "window": 3600.0, **counts(2, 2, 1, 1)},
        "testapp.question": {
            "model": "testapp.question",
            "registered": True,
            "window": 3600.0,
            **counts(2, 4, 50, 0),
        },
        "testapp.ticker": {"model": "testapp.ticker", "registered": True, "window": 60.0, **counts(1, 1, 0, 0)},
    }
    labels = [row["model"] for row in status["models"]]
    assert labels == sorted({"gone.model", *(registration.label for registration in registrations())})

    info = store_server.client.info()
    assert status["server"].pop("memory_used") > 100_000
    assert status["server"] == {
        "name": "Valkey" if store_server.kind == "valkey" else "Redis",
        "version": info.get("valkey_version") or info["redis_version"],
        "address": f"unix://{store_server.socket}?db=0",
        "role": "master",
        "replication_id": info["master_replid"],
        "memory_limit": 0,
        "eviction_policy": "noeviction",
        "evicted_keys": 0,
        "persistence": [],
        "compact_limit": 256,
    }
    assert status["outboxes"] == []
    assert status["wrong_type"] == {"count": 1, "keys": [wrong]}
    assert [sorted(warning) for warning in status["warnings"]] == [["advice", "id", "message"]] * 2
    assert [warning["id"] for warning in status["warnings"]] == ["unregistered", "wrong-type"]
    assert set(status) == {"time", "server", "models", "total", "outboxes", "wrong_type", "warnings"}


@pytest.mark.store
def test_settings_of_the_server_are_seen(run: Run, store_server: RedisServer) -> None:
    before = {name: store_server.client.config_get(name)[name] for name in ("maxmemory-policy", "save", "appendonly")}
    changed = {"maxmemory-policy": "volatile-lru", "save": "3600 1", "appendonly": "yes"}
    limit = {"zset-max-ziplist-value": "64"}
    try:
        for name, value in {**changed, **limit}.items():
            store_server.cli("CONFIG", "SET", name, value)
        status = json.loads(run("diffs_status", "--format", "json").out)
    finally:
        for name, value in {**before, "zset-max-ziplist-value": "256"}.items():
            store_server.cli("CONFIG", "SET", name, value)
    assert [warning["id"] for warning in status["warnings"]] == ["eviction", "compact"]
    server = status["server"]
    assert (server["eviction_policy"], server["compact_limit"]) == ("volatile-lru", 64)
    assert server["persistence"] == ["rdb", "aof"]


@pytest.mark.store
def test_server_that_may_not_be_asked_still_has_its_feeds_counted(
    run: Run, fill: Fill, store_server: RedisServer, settings: Any
) -> None:
    rules = ["on", ">secret", "~*", "&*", "+@all", "-info", "-config"]
    store_server.cli("ACL", "SETUSER", "reader", "reset", *rules)
    raw = settings.DIFFS_SETTINGS
    fill(FEEDS)
    settings.DIFFS_SETTINGS = {**raw, "redis": {**raw["redis"], "username": "reader", "password": "secret"}}
    try:
        ran = run("diffs_status")
        status = json.loads(run("diffs_status", "--format", "json").out)
    finally:
        store_server.cli("ACL", "DELUSER", "reader")
    assert "secret" not in ran.out
    assert "reader" not in ran.out
    assert ran.lines[:6] == [
        "Server         Redis",
        f"Address        unix://{store_server.socket}?db=0",
        "Memory         unknown",
        "Eviction       unknown",
        "Persistence    unknown",
        "Compact up to  unknown",
    ]
    assert status["total"]["diffs"] == 7
    assert [warning["id"] for warning in status["warnings"]] == ["info"]
    assert (status["server"]["persistence"], status["server"]["replication_id"]) == (None, None)


@pytest.mark.store
def test_server_that_refuses_to_show_its_feeds_is_an_error(
    run: Run, fill: Fill, store_server: RedisServer, settings: Any
) -> None:
    store_server.cli("ACL", "SETUSER", "blind", "reset", "on", ">secret", "~*", "&*", "+@all", "-zrange")
    raw = settings.DIFFS_SETTINGS
    fill(FEEDS)
    settings.DIFFS_SETTINGS = {**raw, "redis": {**raw["redis"], "username": "blind", "password": "secret"}}
    try:
        ran = run("diffs_status")
    finally:
        store_server.cli("ACL", "DELUSER", "blind")
    assert str(ran.error).startswith(
        f"Redis refuses (NoPermissionError) at unix://{store_server.socket}?db=0 (NoPermissionError): is the server of "
    )


@pytest.mark.store
def test_feeds_are_measured_a_few_hundred_at_a_time(
    run: Run, store_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [parse_feed(f"testapp.question:{pk}") for pk in range(3000)]
    get_store().append([Entry(FeedRef(name, 3600 * SECOND), b"\x11\0member") for name in names])
    asked: list[int] = []
    survey = Upkeep.survey

    def counted(self: Upkeep, names: Sequence[FeedName]) -> Survey:
        asked.append(len(names))
        return survey(self, names)

    monkeypatch.setattr(Upkeep, "survey", counted)
    assert json.loads(run("diffs_status", "--format", "json").out)["total"]["feeds"] == sum(asked) == 3000
    assert max(asked) < 1000


def test_feed_that_is_gone_by_now_is_left_out() -> None:
    assert Upkeep(get_store()).survey([parse_feed("testapp.question:1")]) == Survey([], [])
    assert Upkeep(get_store()).survey([]) == Survey([], [])


def test_server_that_is_gone_by_now_is_an_error(server: RedisServer) -> None:
    upkeep = Upkeep(get_store())
    server.kill()
    with pytest.raises(StoreUnavailable):
        upkeep.survey([parse_feed("testapp.question:1")])
    with pytest.raises(StoreUnavailable):
        upkeep.servers()


# How it shows it


def test_table_is_aligned() -> None:
    feeds = [
        FeedSurvey(parse_feed("testapp.question:1"), 1200, NOW - 3000 * SECOND, NOW - 61 * SECOND),
        FeedSurvey(parse_feed("testapp.question:2"), 34, NOW - 2000 * SECOND, NOW - 5 * SECOND),
        FeedSurvey(parse_feed("gone.model"), 1, NOW - 90000 * SECOND, NOW - 90000 * SECOND),
    ]
    upkeep = Invented(HEALTHY, feeds, maxmemory=0, valkey_version="9.1.2", save="60 1", aof_enabled=1)
    lines = list(report.lines(look(upkeep)))
    assert lines[:7] == [
        "Server         Valkey 9.1.2",
        "Address        redis://cache:6379/0",
        "Memory         1.4 MB used, no limit",
        "Eviction       noeviction",
        "Persistence    rdb and aof",
        "Compact up to  256 bytes a diff",
        "",
    ]
    empty = re.compile(r"\w+app\.\w+ +0 +0  -  +-  +1[hm]")
    assert [line for line in lines[7:] if not empty.fullmatch(line)] == [
        "Model                        Feeds  Diffs  Oldest                            "
        "Newest                            Window",
        "gone.model (not registered)      1      1  1d 1h ago (2023-11-13 21:13:20Z)  "
        "1d 1h ago (2023-11-13 21:13:20Z)      1h",
        "testapp.question                 2  1,234  50m ago (2023-11-14 21:23:20Z)    "
        "5s ago (2023-11-14 22:13:15Z)         1h",
        "Total                            3  1,235  1d 1h ago (2023-11-13 21:13:20Z)  5s ago (2023-11-14 22:13:15Z)",
    ]
    assert len({len(line) for line in lines[7:-1]}) == 1


def test_table_says_what_the_server_is() -> None:
    lines = list(report.lines(look(Invented(HEALTHY, role="slave", aof_enabled=1))))
    assert lines[0] == "Server         Redis 7.4.1 (a replica)"
    assert lines[2] == "Memory         1.4 MB used, of 95.4 MB"
    assert lines[4] == "Persistence    aof"


def test_time_of_the_fake_is_this_machine_s() -> None:
    with fresh_store(fake=True) as store:
        status = look(Upkeep(store))
        lines = list(report.lines(status))
    assert abs(status.now - dt.datetime.now().timestamp() * SECOND) < 60 * SECOND
    assert lines[:2] == ["Server         in-process fake", "Memory         unknown"]


def test_warnings_follow_the_table(run: Run, fill: Fill) -> None:
    fill({"gone.model:1": [5]})
    ran = run("diffs_status")
    assert ran.lines[-3:] == [
        "",
        "Warning: There are feeds of models that are not registered: gone.model.",
        "  They expire by themselves; at once: prune_diffs --older-than 0 --model gone.model.",
    ]
    assert ran.error is None


def test_check_is_an_error_where_there_are_warnings(run: Run, fill: Fill) -> None:
    assert run("diffs_status", "--check").error is None
    fill({"gone.model:1": [5]})
    ran = run("diffs_status", "--check", "--format", "json")
    assert len(json.loads(ran.out)["warnings"]) == 1
    assert str(ran.error) == "diffs_status has warnings: unregistered"
    assert ran.error is not None
    assert ran.error.returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("testapp.question:1", 0), ("gone.model:1", 1)])
def test_command_line_ends_with_1_where_there_are_warnings(
    fill: Fill, process_env: dict[str, str], name: str, code: int
) -> None:
    fill({name: [5]})
    command = [sys.executable, "-m", "django", "diffs_status", "--check"]
    done = subprocess.run(command, env=process_env, capture_output=True, text=True)
    assert done.returncode == code
    assert done.stderr == ("CommandError: diffs_status has warnings: unregistered\n" if code else "")


def test_redis_away_is_an_error_with_advice(run: Run, server: RedisServer) -> None:
    server.kill()
    ran = run("diffs_status")
    assert ran.out == ""
    assert str(ran.error).startswith(f"Redis can't be reached at unix://{server.socket}?db=0 (ConnectionError): is the")
    assert ran.error is not None
    assert ran.error.returncode == 1


def test_no_database_is_asked(run: Run, fill: Fill) -> None:
    # Without the mark pytest-django refuses every access to the database.
    fill(FEEDS)
    assert run("diffs_status").error is None


@pytest.mark.parametrize(
    ("options", "address"),
    [
        ({}, "redis://localhost:6379/0"),
        ({"host": "cache", "port": 6380, "db": 3, "password": "secret"}, "redis://cache:6380/3"),
        ({"url": "redis://ada:secret@cache"}, "redis://cache:6379/0"),
        ({"url": "rediss://:secret@cache:1234/7"}, "rediss://cache:1234/7"),
        ({"url": "unix://ada:secret@/run/redis.sock?db=2"}, "unix:///run/redis.sock?db=2"),
        ({"url": "redis://[::1]:6379"}, "redis://[::1]:6379/0"),
        ({"host": "cache", "ssl": True}, "rediss://cache:6379/0"),
    ],
)
def test_address_has_neither_user_nor_password(settings: Any, options: dict[str, Any], address: str) -> None:
    settings.DIFFS_SETTINGS = {"redis": options}
    assert Upkeep(get_store()).address == address


# The outbox


@pytest.fixture
def waiting(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process has left two diffs in the outbox, a while ago."""
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "outbox": True, "flush": "commit"}
    with monkeypatch.context() as patch:
        patch.setattr(sending, "hand_over", lambda *_: None)
        for name in "ab":
            Author.objects.create(name=name)


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_what_waits_in_outboxes_is_shown(run: Run, waiting: None) -> None:
    (line,) = [line for line in run("diffs_status").lines if line.startswith("Outbox  default")]
    assert line.startswith("Outbox  default: 2 rows waiting, the oldest for ")
    default, other = json.loads(run("diffs_status", "--format", "json").out)["outboxes"]
    assert (default["database"], default["rows"], 0 <= default["lag"] < 60) == ("default", 2, True)
    assert other == {"database": "other", "rows": 0, "lag": 0}


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_what_waits_for_long_is_a_warning(run: Run, waiting: None) -> None:
    OutboxItem.objects.update(created=Now() - dt.timedelta(seconds=125))
    ran = run("diffs_status", "--check")
    assert "Diffs have waited in the outbox of the database 'default' for 2m 5s." in ran.out
    assert "outbox" in str(ran.error)


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_an_outbox_without_a_table_is_a_warning(run: Run, waiting: None) -> None:
    with connection.schema_editor() as editor:
        editor.delete_model(OutboxItem)
    try:
        ran = run("diffs_status", "--check")
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(OutboxItem)
    assert "Outbox  default: unknown" in ran.out
    assert "Run manage.py migrate diffs --database default." in ran.out
