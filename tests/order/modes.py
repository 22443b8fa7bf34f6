"""The ways in which a site may ask for rows in order, each of which is proved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MODES: Mapping[str, Mapping[str, Any]] = {
    "clock": {"journal": True},
    "database": {"versions": "database"},
    "database, in the background": {"versions": "database", "flush": "background", "moves": False},
    "outbox": {"outbox": True},
    "outbox, in the background": {"outbox": True, "flush": "background", "moves": False},
    "narrow": {"versions": "database", "register": {"narrow": True}, "stale": True, "moves": False},
    "full_saves": {"versions": "database", "register": {"full_saves": "all"}, "stale": True, "moves": False},
}
"""Options of a scenario. Rows that are saved without a lock don't move meanwhile.

By the clock of one machine versions are in order where they are drawn while the row is locked, in a transaction, which
the journal makes of each change. A save by itself is committed already when its version is drawn.
"""
