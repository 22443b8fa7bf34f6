"""Rows to make tables of."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.row import Row


def row(what: str = "a save", **fields: Any) -> Row:
    return Row(**{"goal": "W1", "what": what, "where": "SQLite", **fields})


def of_field(peer: str, operation: str, database: str, value: float | None) -> Row:
    details = {"peer": peer, "operation": operation, "database": database}
    return Row(goal="peers", what=f"{peer}: {operation}", where=database, value=value, details=details)
