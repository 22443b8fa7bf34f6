"""The state of the server and its feeds, and what of it would lose or bloat diffs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from diffs.conf import NAME, settings
from diffs.registration import find_label, registrations, window_of
from diffs.store import FeedSurvey, Upkeep

from .amounts import age_text, count_text, size_text
from .waiting import Waiting, everywhere

OLDEST_VERSION = (6, 2)
MIN_WINDOW = 60_000_000
"""Microseconds: a client that polls every few seconds survives a short break of its connection."""
COMPACT_LIMIT = 128
"""Bytes: below it, small diffs of a few fields already leave Redis's compact form."""
NEARLY_FULL = 0.9
LONGEST_LAG = 60_000_000
"""Microseconds: by then somebody should have sent what is in an outbox."""
EXAMPLES = 10

_LIMITS = ("zset-max-listpack-value", "zset-max-ziplist-value")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What the server says of itself; ``None`` where it says nothing."""

    name: str
    """``"Redis"``, ``"Valkey"``, or ``"in-process fake"``."""
    version: str | None
    address: str | None
    role: str | None
    """``"master"`` or ``"slave"``."""
    replication_id: str | None
    """Another one after a restart or a failover: then all old cursors are refused."""
    memory_used: int | None
    """Bytes."""
    memory_limit: int | None
    """Bytes; 0: none."""
    eviction_policy: str | None
    evicted_keys: int | None
    persistence: tuple[str, ...] | None
    """``"rdb"`` and ``"aof"``, where they are on."""
    compact_limit: int | None
    """The longest member, in bytes, that leaves a feed in its compact form."""


@dataclasses.dataclass(slots=True, kw_only=True)
class ModelStatus:
    """The feeds of one model's objects, and its model feed."""

    model: str
    is_registered: bool
    window: int
    """Microseconds."""
    feeds: int = 0
    diffs: int = 0
    oldest: int | None = None
    """Timestamp, microseconds; ``None`` where there are no diffs."""
    newest: int | None = None

    def add(self, other: FeedSurvey | ModelStatus) -> None:
        """Count a feed, or a model's feeds, in."""
        self.feeds += other.feeds if isinstance(other, ModelStatus) else 1
        self.diffs += other.diffs
        self.oldest = min((time for time in (self.oldest, other.oldest) if time is not None), default=None)
        self.newest = max((time for time in (self.newest, other.newest) if time is not None), default=None)


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """Something that would lose or bloat diffs."""

    id: str
    message: str
    advice: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of everything."""

    now: int
    """The server's time, microseconds."""
    servers: Sequence[Server]
    """One, or a cluster's masters."""
    models: Sequence[ModelStatus]
    wrong_type: Sequence[str]
    """Keys in the place of feeds that are no sorted sets; the first few of them."""
    wrong_type_count: int
    outboxes: Sequence[Waiting]
    findings: Sequence[Finding]

    @property
    def total(self) -> ModelStatus:
        """All models together."""
        total = ModelStatus(model="", is_registered=True, window=0)
        for model in self.models:
            total.add(model)
        return total


def look(upkeep: Upkeep) -> Status:
    """Measure all feeds, a few hundred at a time, and ask each server about itself.

    A feed that is there twice while Redis resizes its table of keys, or moves between masters, is counted twice.

    Raises:
        StoreUnavailable: the server is away.
    """
    found = upkeep.servers()
    servers = [_server(info, address) for address, info in found]
    models = {registration.label: _model(registration.label) for registration in registrations()}
    wrong_type: list[str] = []
    wrong_type_count = 0
    for names in upkeep.feeds():
        survey = upkeep.survey(names)
        for feed in survey.feeds:
            label = feed.name.model
            if label not in models:
                models[label] = _model(label)
            models[label].add(feed)
        wrong_type += survey.wrong_type[: EXAMPLES - len(wrong_type)]
        wrong_type_count += len(survey.wrong_type)
    ordered = [models[label] for label in sorted(models)]
    outboxes = everywhere()
    return Status(
        now=max(int(info.get("server_time_usec") or time.time_ns() // 1000) for _, info in found),
        servers=servers,
        models=ordered,
        wrong_type=wrong_type,
        wrong_type_count=wrong_type_count,
        outboxes=outboxes,
        findings=[
            *_findings_of_all(servers),
            *_model_findings(ordered),
            *_key_findings(wrong_type, wrong_type_count),
            *_outbox_findings(outboxes),
        ],
    )


def _model(label: str) -> ModelStatus:
    return ModelStatus(model=label, is_registered=find_label(label) is not None, window=window_of(label))


def _server(info: Mapping[str, Any], address: str) -> Server:
    is_fake = settings.test_mode
    valkey = info.get("valkey_version")
    limit = next((info[name] for name in _LIMITS if name in info), None)
    return Server(
        name="in-process fake" if is_fake else "Valkey" if valkey else "Redis",
        version=valkey or info.get("redis_version"),
        address=None if is_fake else address,
        role=info.get("role"),
        replication_id=info.get("master_replid"),
        memory_used=info.get("used_memory"),
        memory_limit=info.get("maxmemory"),
        eviction_policy=info.get("maxmemory_policy"),
        evicted_keys=info.get("evicted_keys"),
        persistence=_persistence(info),
        compact_limit=None if limit is None else int(limit),
    )


def _persistence(info: Mapping[str, Any]) -> tuple[str, ...] | None:
    if "save" not in info or "aof_enabled" not in info:
        return None
    return tuple(name for name, is_on in (("rdb", info["save"]), ("aof", info["aof_enabled"])) if is_on)


def _findings_of_all(servers: Sequence[Server]) -> Iterator[Finding]:
    """Each finding once; where it isn't one of all servers, it says which."""
    found: dict[Finding, list[Server]] = {}
    for server in servers:
        for finding in _server_findings(server, is_fake=settings.test_mode):
            found.setdefault(finding, []).append(server)
    for finding, concerned in found.items():
        if len(concerned) == len(servers):
            yield finding
        else:
            where = ", ".join(str(server.address) for server in concerned)
            yield dataclasses.replace(finding, message=f"{where}: {finding.message}")


def _server_findings(server: Server, *, is_fake: bool) -> Iterator[Finding]:
    if is_fake:
        yield Finding(
            "test-mode",
            f"{NAME}['test_mode'] is on: these are the feeds of this process alone, and they end with it.",
            "Name a server in 'redis', and leave 'test_mode' to tests.",
        )
        return
    if server.version is None:
        yield Finding(
            "info",
            "The server says nothing of itself: most of what could go wrong can't be seen, and neither a failover nor "
            "an eviction refuses the cursors that it should.",
            "Allow this user the commands INFO and CONFIG GET.",
        )
        return
    if server.name == "Redis" and _version(server.version) < OLDEST_VERSION:
        yield Finding("version", f"Redis {server.version} is too old.", "Use Redis 6.2 or newer, or Valkey.")
    if server.role == "slave":
        yield Finding(
            "replica",
            "The server is a replica: it takes no diffs.",
            f"Name its master in {NAME}['redis'].",
        )
    if server.eviction_policy not in (None, "noeviction"):
        yield _eviction(server)
    if server.memory_limit and server.memory_used and server.memory_used >= NEARLY_FULL * server.memory_limit:
        yield Finding(
            "memory",
            f"{size_text(server.memory_used)} of {size_text(server.memory_limit)} are used: a full server takes no "
            "diffs, and old cursors are refused.",
            "Raise maxmemory, or shorten max_element_age and run prune_diffs.",
        )
    if server.compact_limit is not None and server.compact_limit < COMPACT_LIMIT:
        yield Finding(
            "compact",
            f"zset-max-listpack-value is {server.compact_limit}: a feed with a longer diff takes much more memory.",
            "Set zset-max-listpack-value 256 (zset-max-ziplist-value before Redis 7).",
        )


def _eviction(server: Server) -> Finding:
    policy, evicted = server.eviction_policy, server.evicted_keys
    if evicted:
        gone = count_text(evicted, "key")
        effect = f"it has removed {gone} since the server started, and whenever it does, all old cursors are refused"
    elif server.memory_limit:
        effect = "a full server removes keys, and whenever it does, all old cursors are refused"
    else:
        effect = "without maxmemory it does nothing, but with it keys are removed, and then all old cursors are refused"
    return Finding(
        "eviction",
        f"The eviction policy is {policy}: {effect}.",
        "Set maxmemory-policy noeviction, or give the diffs a server of their own.",
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())


def _model_findings(models: Sequence[ModelStatus]) -> Iterator[Finding]:
    short = [model for model in models if model.is_registered and model.window < MIN_WINDOW]
    if short:
        named = ", ".join(f"{model.model} ({age_text(model.window)})" for model in short)
        yield Finding(
            "window",
            f"Windows of less than a minute: {named}. A client that polls a little late is refused.",
            "Set max_element_age to some multiple of the time between two polls, at least 60.",
        )
    unknown = [model for model in models if not model.is_registered]
    if unknown:
        named = ", ".join(model.model for model in unknown)
        yield Finding(
            "unregistered",
            f"There are feeds of models that are not registered: {named}.",
            f"They expire by themselves; at once: prune_diffs --older-than 0 --model {unknown[0].model}.",
        )


def _key_findings(examples: Sequence[str], count: int) -> Iterator[Finding]:
    if count:
        more = f", and {count - len(examples):,} more" if count > len(examples) else ""
        yield Finding(
            "wrong-type",
            f"Keys in the place of feeds are of another type: {', '.join(examples)}{more}. Their diffs are lost.",
            f"Delete them, or choose another {NAME}['prefix'].",
        )


def _outbox_findings(outboxes: Sequence[Waiting]) -> Iterator[Finding]:
    for waiting in outboxes:
        if waiting.rows is None:
            yield Finding(
                "outbox-table",
                f"The outbox of the database {waiting.database!r} can't be read.",
                f"Run manage.py migrate diffs --database {waiting.database}.",
            )
        elif waiting.lag > LONGEST_LAG:
            yield Finding(
                "outbox",
                f"Diffs have waited in the outbox of the database {waiting.database!r} for {age_text(waiting.lag)}.",
                "Run relay_diffs, or leave relay_diffs --watch running.",
            )
