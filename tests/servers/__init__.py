"""Real servers for the tests: each is started in a folder of its own and leaves nothing behind."""

from .binaries import KINDS, ServerMissing, best_kind, binary_of, has_tls
from .cluster import Cluster
from .databases import mariadb_database, postgresql_database, sqlite_database
from .mariadb import MariaDb
from .postgres import Postgres
from .redis_server import RedisServer
from .sentinel import Watched
from .tls import Certificates, TlsProxy

__all__ = [
    "KINDS",
    "Certificates",
    "Cluster",
    "MariaDb",
    "Postgres",
    "RedisServer",
    "ServerMissing",
    "TlsProxy",
    "Watched",
    "best_kind",
    "binary_of",
    "has_tls",
    "mariadb_database",
    "postgresql_database",
    "sqlite_database",
]
