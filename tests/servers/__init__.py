"""Real servers for the tests: each is started in a folder of its own and leaves nothing behind."""

from .binaries import KINDS, ServerMissing, best_kind, binary_of
from .databases import mariadb_database, postgresql_database, sqlite_database
from .mariadb import MariaDb
from .postgres import Postgres
from .redis_server import RedisServer
from .tls import TlsProxy

__all__ = [
    "KINDS",
    "MariaDb",
    "Postgres",
    "RedisServer",
    "ServerMissing",
    "TlsProxy",
    "best_kind",
    "binary_of",
    "mariadb_database",
    "postgresql_database",
    "sqlite_database",
]
