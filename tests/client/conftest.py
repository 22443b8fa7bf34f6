"""The tests' site, and clients of both kinds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme
from django.db import connection

from diffs.client import AsyncClient, Client, Event
from tests.endpoint.feeds import Feed
from tests.servers import RedisServer, best_kind
from tests.testapp.models import Notice

from .sites import Site

Take = Callable[..., list[Event]]
"""``take(url, feed, ..., count=3)`` follows until there are so many events, and calls ``then`` with each."""


@pytest.fixture(scope="session")
def _authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tls") / "authority.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(autouse=True)
def _one_authority(_authority: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust one authority: reading all that there are takes longer than most of these tests."""
    monkeypatch.setenv("SSL_CERT_FILE", _authority)


@pytest.fixture
def notices() -> Feed:
    """The feed of a public object."""
    return Feed(Notice, 1)


@pytest.fixture
def others() -> Feed:
    """The feed of another one."""
    return Feed(Notice, 2)


def environment(redis: RedisServer) -> dict[str, str]:
    """The environment in which a site finds the tests' database, and a server."""
    return {
        **os.environ,
        "DIFFS_TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
        "DIFFS_TEST_REDIS_SOCKET": str(redis.socket),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": os.getcwd(),
    }


@pytest.fixture(scope="session")
def _sites(django_db_setup: None, redis_server: RedisServer) -> Iterator[dict[str, Site]]:
    sites: dict[str, Site] = {}
    yield sites
    for site in sites.values():
        site.kill()


@pytest.fixture(params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest, _sites: dict[str, Site], redis_server: RedisServer) -> Site:
    """The site on either kind of server. Not to be killed: see `mortal_site`."""
    kind = request.param
    if kind not in _sites:
        _sites[kind] = Site(kind, environment(redis_server))
        _sites[kind].start()
    return _sites[kind]


@pytest.fixture(scope="session")
def _mortals(django_db_setup: None) -> Iterator[dict[str, tuple[Site, RedisServer]]]:
    mortals: dict[str, tuple[Site, RedisServer]] = {}
    yield mortals
    for site, server in mortals.values():
        site.kill()
        server.stop()


@pytest.fixture
def mortal_site(request: pytest.FixtureRequest, _mortals: dict[str, tuple[Site, RedisServer]], settings: Any) -> Site:
    """The site on either kind of server, with a Redis of its own; a test may kill both."""
    kind = getattr(request, "param", "asgi")
    if kind not in _mortals:
        server = RedisServer(best_kind())
        _mortals[kind] = Site(kind, environment(server)), server
    site, redis = _mortals[kind]
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "redis": redis.options}
    redis.cli("FLUSHALL")
    site.start()
    return site


@pytest.fixture
def mortal_redis(mortal_site: Site, _mortals: dict[str, tuple[Site, RedisServer]]) -> RedisServer:
    """The Redis of the mortal site."""
    return _mortals[mortal_site.kind][1]


def take(url: str, *feeds: str, count: int, then: Callable[[Event], object] | None = None, **options: Any) -> Any:
    own = {name: options.pop(name) for name in ("token", "timeout", "http") if name in options}
    events: list[Event] = []
    with Client(url, **own) as client:
        for event in client.follow(*feeds, **{"interval": 0.05, **options}):
            events.append(event)
            if then:
                then(event)
            if len(events) == count:
                break
    return events


async def atake(
    url: str, *feeds: str, count: int, then: Callable[[Event], object] | None = None, **options: Any
) -> Any:
    own = {name: options.pop(name) for name in ("token", "timeout", "http") if name in options}
    events: list[Event] = []
    async with AsyncClient(url, **own) as client:
        async for event in client.follow(*feeds, **{"interval": 0.05, **options}):
            events.append(event)
            if then:
                then(event)
            if len(events) == count:
                break
    return events


@pytest.fixture(name="take", params=["sync", "async"])
def _take(request: pytest.FixtureRequest) -> Take:
    """Follows feeds with either client."""
    return take if request.param == "sync" else lambda *args, **options: asyncio.run(atake(*args, **options))
