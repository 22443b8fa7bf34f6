"""What documents show of a result: marked blocks that are written anew from it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from . import results, table
from .environments import ROOT

FOLDER = ROOT / "benchmarks" / "results"
RESULT = FOLDER / "result.json"
TABLE = FOLDER / "table.md"
CHART = FOLDER / "chart.png"
README = ROOT / "README.rst"
PAGE = ROOT / "docs" / "performance.rst"

WIDTH = 120

BEGIN = ".. measured: begin"
END = ".. measured: end"


def render(result: dict[str, Any]) -> list[Path]:
    """Write the Markdown table, the chart, and the blocks of the documents.

    Args:
        result: as it was saved.

    Returns:
        The files that were written.
    """
    from . import chart

    rows = results.rows_of(result)
    field, goals = table.field(rows), table.goals(rows)
    about = conditions(result)
    parts = ["# Measured", about, "## The field", FIELD, table.as_markdown(field), "## Goals", GOALS]
    TABLE.write_text("\n\n".join([*parts, table.as_markdown(goals)]) + "\n", encoding="utf-8")
    chart.draw(rows, CHART)
    replace_block(README, _joined(FIELD, field, about))
    replace_block(PAGE, _joined(about, FIELD, field, GOALS, goals))
    return [TABLE, CHART, README, PAGE]


FIELD = (
    "How many times a plain model's time it takes to create a row, to update two of eight fields, and to load 5000 "
    "rows; medians of one interleaved run."
)
GOALS = "What was aimed at, and what was measured; ratios unless a unit is shown, medians and quartiles of the rounds."


def conditions(result: dict[str, Any]) -> str:
    """A sentence about the machine and the versions."""
    machine, first = result["machine"], result["environments"][0]
    parts = [
        f"Python {first['python']}",
        f"Django {first['django']}",
        f"redis-py {first['redis']}" + (f" with hiredis {first['hiredis']}" if "hiredis" in first else ""),
        f"SQLite {first['sqlite']} (a file; WAL, synchronous=NORMAL)",
    ]
    for name, server in result["servers"].items():
        if name == "postgresql":
            parts.append(f"PostgreSQL {server['version']} (unix socket, without fsync)")
        elif not any(part.startswith(("Valkey", "Redis")) for part in parts):
            about = server["server"]
            kind = "Valkey" if "valkey_version" in about else "Redis"
            parts.append(f"{kind} {about.get('valkey_version', about['redis_version'])} (unix socket)")
    date = result["date"][:10] + (" (a quick run)" if result["quick"] else "")
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}"
    return f"Measured on {date}: {where}; {', '.join(parts)}."


def _joined(*parts: str | table.Table) -> str:
    return "\n\n".join(textwrap.fill(part, WIDTH) if isinstance(part, str) else table.as_rst(part) for part in parts)


def replace_block(path: Path, text: str) -> None:
    """Put text between the marks of a document.

    Raises:
        ValueError: the document has no marks, or not in that order.
    """
    path.write_text(with_block(path.read_text(encoding="utf-8"), text), encoding="utf-8")


def with_block(document: str, text: str) -> str:
    """A document with other text between its marks.

    Raises:
        ValueError: it has no marks, or not in that order.
    """
    before, begin, rest = document.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(f"{END}\n")
    if not begin or not end:
        raise ValueError(f"The document has no lines {BEGIN!r} and, behind it, {END!r}.")
    return f"{before}{begin}\n{text}\n\n{end}{after}"
