"""What a run leaves: rows, and all that has to be known to judge them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import environments
from .environments import ROOT
from .row import Row
from .runs import SQLITE_PRAGMAS, Run


def as_dict(run: Run, rows: Sequence[Row]) -> dict[str, Any]:
    """A result, as it is saved.

    Args:
        run: while its servers are still there.
        rows: what it measured.
    """
    return {
        "date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "changed_files": bool(_git("status", "--porcelain", "--", "diffs", "benchmarks")),
        "quick": run.quick,
        "seed": run.seed,
        "pinned": run.worker_cpu is not None,
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "kernel": f"{platform.system()} {platform.release()}",
        },
        "environments": [
            environments.versions(environment, tuple(sorted(packages))) for environment, packages in run.used.items()
        ],
        "sqlite": f"a file on disk; {SQLITE_PRAGMAS}",
        "servers": run.servers.as_dict(),
        "rows": [{**dataclasses.asdict(row), "met": row.met} for row in rows],
    }


def rows_of(result: dict[str, Any]) -> list[Row]:
    """The rows of a saved result."""
    names = {field.name for field in dataclasses.fields(Row)}
    return [Row(**{name: value for name, value in row.items() if name in names}) for row in result["rows"]]


def save(result: dict[str, Any], path: Path) -> None:
    """Write a result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> dict[str, Any]:
    """Read a saved result.

    Raises:
        OSError: there is no such file.
        ValueError: it is no result.
    """
    result = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(result, dict) or "rows" not in result:
        raise ValueError(f"{path} is no result of the benchmarks.")
    return result


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
