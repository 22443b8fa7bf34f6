"""Rows as text."""

from __future__ import annotations

from collections.abc import Sequence

from .row import Row

HEAD = ("goal", "measure", "where", "measured", "quartiles", "goal is", "met")


def cells(row: Row) -> tuple[str, ...]:
    """What the table shows of a row."""
    limit = "" if row.limit is None else f"{'≥' if row.at_least else '≤'} {_number(row.limit)}"
    if row.error:
        measured = f"error: {row.error}"
    elif row.value is None:
        measured = row.note or "not measured"
    else:
        measured = amount(row.value, row.unit)
    spread = "" if row.low is None or row.high is None else f"{_number(row.low)} – {_number(row.high)}"
    met = {True: "yes", False: "no", None: ""}[row.met]
    return row.goal, row.what, row.where, measured, spread, limit, met


def amount(value: float, unit: str) -> str:
    """A value with its unit."""
    return f"{_number(value)}{'' if unit == 'x' else ' ' + unit}"


def as_text(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    lines = [HEAD, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    ruled = [lines[0], tuple("-" * width for width in widths), *lines[1:]]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in ruled
    )


def as_markdown(rows: Sequence[Row]) -> str:
    """The table for a Markdown document."""
    lines = [HEAD, ("---",) * len(HEAD), *map(cells, rows)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _number(value: float) -> str:
    """Three digits that count, or all of a larger number."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}"
