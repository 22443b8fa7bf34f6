"""Real servers for the tests: each is started in a folder of its own and leaves nothing behind."""

from .binaries import KINDS, ServerMissing, best_kind, binary_of
from .cluster import Cluster
from .postgres import Postgres
from .redis_server import RedisServer
from .sentinel import Watched
from .tls import TlsProxy

__all__ = [
    "KINDS",
    "Cluster",
    "Postgres",
    "RedisServer",
    "ServerMissing",
    "TlsProxy",
    "Watched",
    "best_kind",
    "binary_of",
]
