"""Proof that the registered run recorded: a capture that slept through it would break no test at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import redis


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the server holds at the end of the run."""

    calls: int
    """Scripts that ran."""
    diffs: Counter[str]
    """Diffs in feeds, by app label."""

    def __str__(self) -> str:
        return f"{self.diffs.total()} diffs of {len(self.diffs)} apps in {self.calls} calls of scripts"

    def missing(self, labels: Iterable[str]) -> dict[str, str]:
        """What speaks against the run, in the form of failed tests: apps whose models left no diff.

        A label that names a part of an app is not asked for any: not each test writes.
        """
        apps = {label for label in labels if "." not in label}
        return {f"evidence of {app}": "its models left no diff" for app in sorted(apps - self.diffs.keys())}


def collect(socket: Path) -> Evidence:
    """Ask the server behind `socket` what the run left there."""
    with redis.Redis(unix_socket_path=str(socket), decode_responses=True) as client:
        commands = client.info("commandstats")
        calls = sum(commands.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))
        diffs: Counter[str] = Counter()
        for key in client.scan_iter(match="*}:feed:*", count=1000):
            diffs[key.partition("}:feed:")[2].partition(".")[0]] += client.zcard(key)
    return Evidence(calls=calls, diffs=diffs)
