"""What may happen to a cluster, or to a server that sentinels watch, while others work with it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from redis.crc import key_slot

from tests.servers import Cluster, RedisServer, Watched
from tests.servers.redis_server import wait_until

from .injecting import Fault


@contextlib.contextmanager
def resharded(cluster: Cluster) -> Iterator[None]:
    """The master with the most keys gives all of them to the next one, slot by slot."""
    source = _fullest(cluster)
    to = cluster.masters[(cluster.masters.index(source) + 1) % len(cluster.masters)]
    for slot in sorted({key_slot(key) for key in source.client.scan_iter(count=1000)}):
        cluster.move(slot, to)
    yield


@contextlib.contextmanager
def handed_over(cluster: Cluster) -> Iterator[None]:
    """A replica takes its living master's place, with all that it has; and that takes it back."""
    master = _fullest(cluster)
    (replica,) = cluster.replicas_of(master)
    cluster.hand_over(replica)
    yield
    cluster.hand_over(master)


@contextlib.contextmanager
def master_killed(cluster: Cluster) -> Iterator[None]:
    """The others promote its replica, which lacks the last writes; it comes back, and takes over again."""
    master = _fullest(cluster)
    (replica,) = cluster.replicas_of(master)
    replica.fall_behind(master)
    yield
    master.kill()
    replica.resume()
    cluster.wait_until_it_serves()
    cluster.come_back(master)
    cluster.hand_over(master)


@contextlib.contextmanager
def watched_killed(watched: Watched) -> Iterator[None]:
    """Sentinels promote the replica, which lacks the last writes; what was the master comes back as its replica."""
    master, replica = watched.roles()
    replica.fall_behind(master)
    yield
    master.kill()
    replica.resume()
    wait_until(lambda: watched.is_promoted(replica))
    master.restart()
    master.follow(replica)


def _fullest(cluster: Cluster) -> RedisServer:
    return max(cluster.masters, key=lambda node: int(node.cli("DBSIZE")))


MOVING: Mapping[str, Fault] = {"slots moved": resharded, "master handed over": handed_over}
"""After which a cluster's data is as it was, elsewhere."""
PROMOTING: Mapping[str, Fault] = {"master killed": master_killed}
"""After which a cluster has lost the last of it."""
SENTINEL: Mapping[str, Fault] = {"sentinels' master": watched_killed}
"""The same under the eyes of sentinels."""
