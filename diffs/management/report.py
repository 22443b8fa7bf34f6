"""The state of the server and its feeds as JSON and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .amounts import age_text, size_text, time_of
from .status import ModelStatus, Server, Status

_HEADINGS = ("Model", "Feeds", "Diffs", "Oldest", "Newest", "Window")
_RIGHT = (False, True, True, False, False, True)
_UNKNOWN = "unknown"


def document(status: Status) -> dict[str, Any]:
    """The state in a form that JSON knows; times in ISO 8601, lengths of time in seconds, sizes in bytes."""
    servers = [_server(server) for server in status.servers]
    return {
        "time": _time(status.now),
        # A cluster has several.
        **({"server": servers[0]} if len(servers) == 1 else {"servers": servers}),
        "models": [
            {
                "model": model.model,
                "registered": model.is_registered,
                "window": model.window / 1_000_000,
                **_counts(model),
            }
            for model in status.models
        ],
        "total": _counts(status.total),
        "outboxes": [
            {
                "database": waiting.database,
                "rows": waiting.rows,
                "lag": None if waiting.rows is None else waiting.lag / 1_000_000,
            }
            for waiting in status.outboxes
        ],
        "wrong_type": {"count": status.wrong_type_count, "keys": list(status.wrong_type)},
        "warnings": [
            {"id": finding.id, "message": finding.message, "advice": finding.advice} for finding in status.findings
        ],
    }


def _server(server: Server) -> dict[str, Any]:
    return {
        "name": server.name,
        "version": server.version,
        "address": server.address,
        "role": server.role,
        "replication_id": server.replication_id,
        "memory_used": server.memory_used,
        "memory_limit": server.memory_limit,
        "eviction_policy": server.eviction_policy,
        "evicted_keys": server.evicted_keys,
        "persistence": None if server.persistence is None else list(server.persistence),
        "compact_limit": server.compact_limit,
    }


def _counts(model: ModelStatus) -> dict[str, Any]:
    return {
        "feeds": model.feeds,
        "diffs": model.diffs,
        "oldest": _time(model.oldest),
        "newest": _time(model.newest),
    }


def _time(microseconds: int | None) -> str | None:
    return None if microseconds is None else time_of(microseconds).isoformat()


def lines(status: Status) -> Iterator[str]:
    """The state for people, without the warnings."""
    rows_of_servers = [list(_server_rows(server)) for server in status.servers]
    if len(rows_of_servers) == 1:
        yield from _aligned(rows_of_servers[0], (False, False))
    else:
        # A cluster's masters: what one server shows in rows stands in columns.
        headings = [heading for heading, _ in rows_of_servers[0]]
        table = [headings, *([cell for _, cell in each] for each in rows_of_servers)]
        yield from _aligned(table, [False] * len(headings))
    if status.outboxes:
        yield from _aligned([("Outbox", waiting.text) for waiting in status.outboxes], (False, False))
    yield ""
    rows: list[Sequence[str]] = [_HEADINGS]
    for model in status.models:
        name = model.model if model.is_registered else f"{model.model} (not registered)"
        rows.append((name, *_cells(model, status.now), age_text(model.window)))
    rows.append(("Total", *_cells(status.total, status.now), ""))
    yield from _aligned(rows, _RIGHT)


def _server_rows(server: Server) -> Iterator[Sequence[str]]:
    name = " ".join(filter(None, (server.name, server.version)))
    role = " (a replica)" if server.role == "slave" else ""
    yield "Server", f"{name}{role}"
    if server.address is not None:
        yield "Address", server.address
    yield "Memory", _memory(server)
    yield "Eviction", server.eviction_policy or _UNKNOWN
    yield "Persistence", _UNKNOWN if server.persistence is None else " and ".join(server.persistence) or "none"
    yield "Compact up to", _UNKNOWN if server.compact_limit is None else f"{server.compact_limit} bytes a diff"


def _memory(server: Server) -> str:
    if server.memory_used is None:
        return _UNKNOWN
    limit = f"of {size_text(server.memory_limit)}" if server.memory_limit else "no limit"
    return f"{size_text(server.memory_used)} used, {limit}"


def _cells(model: ModelStatus, now: int) -> Sequence[str]:
    return f"{model.feeds:,}", f"{model.diffs:,}", _ago(model.oldest, now), _ago(model.newest, now)


def _ago(microseconds: int | None, now: int) -> str:
    if microseconds is None:
        return "-"
    return f"{age_text((now - microseconds) // 1_000_000 * 1_000_000)} ago ({time_of(microseconds):%Y-%m-%d %H:%M:%S}Z)"


def _aligned(rows: Iterator[Sequence[str]] | Sequence[Sequence[str]], right: Sequence[bool]) -> Iterator[str]:
    """Rows with their cells below each other, some columns flush right."""
    listed = list(rows)
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    for row in listed:
        cells = [
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        ]
        yield "  ".join(cells).rstrip()
