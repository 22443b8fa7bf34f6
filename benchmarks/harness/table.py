"""Rows as text: for a terminal, for Markdown and for reStructuredText."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .row import Row

Table = Sequence[Sequence[str]]
"""Lines of cells, the head first."""

HEAD = ("goal", "measure", "where", "measured", "quartiles", "goal is", "met")
NOT_MEASURED = "–"
# What means something in reStructuredText.
MARKUP = re.compile(r"[*`|\\]|_\b")


def goals(rows: Sequence[Row]) -> Table:
    """All rows but the ratios of the field, whose table is `field`."""
    return [HEAD, *(cells(row) for row in rows if not _is_of_field(row))]


def cells(row: Row) -> tuple[str, ...]:
    """What a table shows of a row."""
    limit = "" if row.limit is None else f"{'≥' if row.at_least else '≤'} {number(row.limit)}"
    if row.error:
        measured = f"error: {row.error}"
    elif row.value is None:
        measured = row.note or "not measured"
    else:
        measured = f"{number(row.value)}{'' if row.unit == 'x' else ' ' + row.unit}"
    spread = "" if row.low is None or row.high is None else f"{number(row.low)} – {number(row.high)}"
    met = {True: "yes", False: "no", None: ""}[row.met]
    return row.goal, row.what, row.where, measured, spread, limit, met


def field(rows: Sequence[Row]) -> Table:
    """The packages of the field, a line each: how many times a plain model's time each operation takes.

    Returns:
        The table; of one line where nothing of that was measured.
    """
    peers = list(dict.fromkeys(row.details["peer"] for row in rows if "peer" in row.details))
    measured = [row for row in rows if _is_of_field(row)]
    operations = list(dict.fromkeys(row.details["operation"] for row in measured))
    databases = list(dict.fromkeys(row.details["database"] for row in measured))
    found = {(row.details["peer"], row.details["operation"], row.details["database"]): row for row in measured}

    def cell(peer: str, operation: str) -> str:
        ratios = (found.get((peer, operation, database)) for database in databases)
        return " / ".join(f"{row.value:.2f}" if row and row.value is not None else NOT_MEASURED for row in ratios)

    head = [" / ".join(databases), *operations]
    return [head, *([peer, *(cell(peer, operation) for operation in operations)] for peer in peers)]


def as_text(table: Table) -> str:
    """A table for a terminal."""
    return "\n".join(_ruled(table, "-"))


def as_markdown(table: Table) -> str:
    """A table of a Markdown document."""
    lines = [table[0], ["---"] * len(table[0]), *table[1:]]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def as_rst(table: Table) -> str:
    """A table of a reStructuredText document; a line's first cell must not be empty."""
    lines = _ruled([[MARKUP.sub(r"\\\g<0>", cell) for cell in line] for line in table], "=")
    return "\n".join([lines[1], *lines, lines[1]])


def number(value: float) -> str:
    """Three digits that count, or all of a larger number."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 2 else f"{value:.3f}"


def _is_of_field(row: Row) -> bool:
    return {"peer", "operation"} <= row.details.keys()


def _ruled(table: Table, rule: str) -> list[str]:
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    ruled = [table[0], [rule * width for width in widths], *table[1:]]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in ruled]
