"""Servers and fixtures for all tests.

Each process of a run has a Valkey server of its own, which is empty when a test begins; a run on PostgreSQL has
one server, started by the process that the others answer to. The environment chooses:

``DIFFS_TEST_DATABASE``
    ``sqlite`` unless it says ``postgresql``.
``DIFFS_TEST_POSTGRES_HOST``
    A PostgreSQL server to use instead of starting one.
``DIFFS_TEST_SERVERS``
    The kinds of server that tests marked ``store`` run against, out of ``valkey,redis62,redis``.
``DIFFS_TEST_VERSIONS``, ``DIFFS_TEST_OUTBOX``
    The settings of those names: ``database``; anything for an outbox.
``DIFFS_REQUIRE_ALL``
    If set, what this machine lacks is a failure instead of a skip.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection, connections
from django.test import override_settings

from diffs.store import close_store

from .needs import missing
from .servers import (
    KINDS,
    Certificates,
    Cluster,
    Postgres,
    RedisServer,
    ServerMissing,
    TlsProxy,
    best_kind,
    has_tls,
    postgresql_database,
    sqlite_database,
)

POSTGRES = pytest.StashKey[Postgres]()

# A busy machine is no reason to fail.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A run in the background begins so, and the processes that tests send Ctrl-C to would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "DIFFS_TEST_SERVERS" in os.environ and (unknown := set(server_kinds()) - set(KINDS)):
        raise pytest.UsageError(f"DIFFS_TEST_SERVERS knows {', '.join(KINDS)}, not {', '.join(sorted(unknown))}.")
    is_worker = hasattr(config, "workerinput")
    if is_worker or config.option.collectonly or "DIFFS_TEST_POSTGRES_HOST" in os.environ:
        return
    if connection.vendor == "postgresql":
        config.stash[POSTGRES] = server = Postgres()
        os.environ["DIFFS_TEST_POSTGRES_HOST"] = connections.settings["default"]["HOST"] = server.host


def pytest_unconfigure(config: pytest.Config) -> None:
    if server := config.stash.get(POSTGRES, None):
        del os.environ["DIFFS_TEST_POSTGRES_HOST"]
        server.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("store"):
        if "store_server" not in metafunc.fixturenames:
            metafunc.fixturenames.append("store_server")
        metafunc.parametrize("store_server", server_kinds(), indirect=True)


def server_kinds() -> list[str]:
    """The kinds of server that tests marked ``store`` run against."""
    return os.environ.get("DIFFS_TEST_SERVERS", best_kind()).split(",")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The server of this process, named in the settings and in the environment. Not to be stopped: see `server`."""
    with RedisServer(best_kind()) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFS_TEST_REDIS_SOCKET", str(server.socket))
        with override_settings(DIFFS_SETTINGS={**django_settings.DIFFS_SETTINGS, "redis": server.options}):
            yield server


@pytest.fixture(autouse=True)
def _empty_redis(request: pytest.FixtureRequest, redis_server: RedisServer) -> None:
    redis_server.cli("FLUSHALL")
    # No diff of the test before is on its way.
    close_store()
    # `pytest_generate_tests` gives a marked test the parameter, but can't make it ask for the fixture.
    if request.node.get_closest_marker("store"):
        request.getfixturevalue("store_server")


@pytest.fixture
def redis_client(redis_server: RedisServer) -> redis.Redis:
    """A client of the session's server; replies are bytes."""
    return redis_server.client


@pytest.fixture
def server(settings: Any) -> Iterator[RedisServer]:
    """A server of the test's own, which it may pause, kill and restart; the settings name it."""
    with RedisServer(best_kind()) as own:
        settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "redis": own.options}
        yield own


@pytest.fixture
def tls_server(redis_server: RedisServer) -> Iterator[TlsProxy]:
    """TLS in front of the session's server; its `url` verifies the certificate."""
    with TlsProxy(redis_server.socket) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def _certificates() -> Iterator[Certificates]:
    made = Certificates()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def _store_servers() -> Iterator[dict[str, RedisServer]]:
    servers: dict[str, RedisServer] = {}
    yield servers
    for server in servers.values():
        server.stop()


@pytest.fixture
def store_server(
    request: pytest.FixtureRequest, settings: Any, _store_servers: dict[str, RedisServer], _certificates: Certificates
) -> RedisServer:
    """One server of each kind in turn, empty and named in the settings, for tests marked ``store``."""
    kind: str = request.param
    if kind not in _store_servers:
        try:
            _store_servers[kind] = RedisServer(kind, certificates=_certificates if has_tls(kind) else None)
        except ServerMissing as error:
            missing(str(error))
    chosen = _store_servers[kind]
    chosen.cli("FLUSHALL")
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "redis": chosen.options}
    return chosen


@pytest.fixture(scope="session")
def _clusters() -> Iterator[dict[str, Cluster]]:
    clusters: dict[str, Cluster] = {}
    yield clusters
    for cluster in clusters.values():
        cluster.stop()


@pytest.fixture
def clusters(_clusters: dict[str, Cluster], _certificates: Certificates) -> Callable[[str], Cluster]:
    """Give an empty cluster of three masters of a kind of server; it is not to be stopped or changed."""

    def of(kind: str) -> Cluster:
        if kind not in _clusters:
            _clusters[kind] = Cluster(kind, certificates=_certificates if has_tls(kind) else None)
        _clusters[kind].cli("FLUSHALL")
        return _clusters[kind]

    return of


@pytest.fixture
def cluster(clusters: Callable[[str], Cluster], settings: Any) -> Cluster:
    """The cluster of this process, empty and named in the settings; it is not to be stopped or changed."""
    chosen = clusters(best_kind())
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "redis": chosen.options}
    return chosen


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Put the SQLite databases into files, as several processes of a test use them, after Redis is there."""
    folder = tmp_path_factory.mktemp("databases")
    for alias, database in connections.settings.items():
        if database["ENGINE"].endswith("sqlite3"):
            database["TEST"]["NAME"] = str(folder / f"{alias}.sqlite3")


@pytest.fixture
def process_env(transactional_db: None) -> dict[str, str]:
    """The environment in which another process finds this test's servers and database."""
    return {
        **os.environ,
        "DIFFS_TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
    }


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium for Playwright's ``executable_path``."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    missing("There is no Chromium on the path.")


@pytest.fixture
def own_database(tmp_path: Path, django_db_setup: None) -> Iterator[dict[str, Any]]:
    """An empty database of the run's kind, for processes with settings of their own, as ``DATABASES`` takes it."""
    if connection.vendor == "sqlite":
        yield sqlite_database(tmp_path)
        return
    with postgresql_database(connection.settings_dict["HOST"], connection.settings_dict["USER"]) as database:
        yield database
