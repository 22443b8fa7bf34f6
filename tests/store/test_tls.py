"""A server, a cluster and sentinels that ask for a certificate are reached with one, and not without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from diffs.errors import StoreUnavailable
from diffs.store import Store, Upkeep, get_store
from tests.needs import missing
from tests.servers import Certificates, Cluster, RedisServer, ServerMissing, Watched, has_tls

from .feeds import add, feed, numbers, read_all

pytestmark = pytest.mark.slow

KIND = "redis"
FEEDS = [feed(f"polls.question:{pk}") for pk in range(9)]


@pytest.fixture(scope="module")
def certificates() -> Iterator[Certificates]:
    try:
        has_tls(KIND) or missing("The system's redis-server was built without TLS.")
    except ServerMissing as error:
        missing(str(error))
    made = Certificates()
    yield made
    made.remove()


@pytest.fixture
def use(settings: Any) -> Callable[..., Store]:
    """Make the store of some options."""

    def make(options: Mapping[str, Any], *without: str, **more: Any) -> Store:
        options = {name: value for name, value in {**options, **more}.items() if name not in without}
        settings.DIFFS_SETTINGS = {"redis": options}
        return get_store()

    return make


CERTIFICATE = ("ssl_certfile", "ssl_keyfile")


def assert_works(store: Store) -> None:
    for one in FEEDS:
        add(store, 1, to=one)
    assert [numbers(read_all(store, one)) for one in FEEDS] == [[1]] * len(FEEDS)


def assert_refused(store: Store) -> None:
    with pytest.raises(StoreUnavailable):
        read_all(store)


def test_server(certificates: Certificates, use: Callable[..., Store]) -> None:
    with RedisServer(KIND, {"port": "0"}, certificates) as server:
        options = server.tls_options
        assert options is not None
        assert_works(use(options))
        assert Upkeep(use(options)).address == f"rediss://127.0.0.1:{server.tls_port}/0"
        assert_refused(use(options, *CERTIFICATE))
        assert_refused(use(options, "ssl_ca_certs"))


def test_cluster(certificates: Certificates, use: Callable[..., Store]) -> None:
    with Cluster(KIND, certificates=certificates) as cluster:
        options = cluster.tls_options
        assert options is not None
        store = use(options)
        assert_works(store)
        assert [server.address for server in Upkeep(store).servers()] == [
            f"rediss://127.0.0.1:{node.tls_port}/0" for node in cluster.masters
        ]
        url = f"rediss://127.0.0.1:{cluster.nodes[2].tls_port}/0"
        cluster.cli("FLUSHALL")
        assert_works(use(options, "startup_nodes", "ssl", url=url))
        assert_refused(use(options, *CERTIFICATE))


def test_sentinel(certificates: Certificates, use: Callable[..., Store]) -> None:
    with Watched(KIND, certificates) as watched:
        store = use(watched.options)
        assert_works(store)
        (server,) = Upkeep(store).servers()
        assert server.address == f"rediss://127.0.0.1:{watched.master.tls_port}/0 (mymaster)"
        assert_refused(use(watched.options, *CERTIFICATE))
        assert_refused(use(watched.options, "sentinel_kwargs"))
