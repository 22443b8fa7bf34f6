"""The chart of a result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import table
from .row import Row

COLOURS = ("#0b7285", "#f08c00", "#868e96")
MET, MISSED = "#2f9e44", "#e03131"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw what the field costs, and how near the goals are.

    Args:
        rows: of a result.
        path: the PNG that is written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    goals = [row for row in rows if row.met is not None]
    heights = [1 + len(table.field(rows)) * 0.5, 1 + len(goals) * 0.22]
    figure, (above, below) = pyplot.subplots(
        2, 1, figsize=(12, sum(heights)), height_ratios=heights, layout="constrained"
    )
    _draw_field(above, rows)
    _draw_goals(below, goals)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot.close(figure)


def _draw_field(axes: Any, rows: Sequence[Row]) -> None:
    # Several databases are one bar, as long as the highest ratio, with a mark at each.
    measured: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if {"peer", "operation"} <= row.details.keys() and row.value is not None:
            measured.setdefault((row.details["peer"], row.details["operation"]), []).append(row.value)
    peers = list(dict.fromkeys(peer for peer, _ in measured))
    operations = list(dict.fromkeys(operation for _, operation in measured))
    height = 0.8 / max(len(operations), 1)
    for number, operation in enumerate(operations):
        ratios = [measured.get((peer, operation), []) for peer in peers]
        places = [index + number * height for index in range(len(peers))]
        axes.barh(
            places,
            [max(values, default=0) for values in ratios],
            height=height * 0.9,
            color=COLOURS[number % len(COLOURS)],
            label=operation,
        )
        for place, values in zip(places, ratios, strict=True):
            axes.plot(values, [place] * len(values), "|", color="black", markersize=7)
    axes.set_yticks([index + 0.4 - height / 2 for index in range(len(peers))], peers)
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("times a plain model's time (marks: SQLite, PostgreSQL)")
    axes.set_title("The field")
    axes.margins(y=0.02)
    axes.legend(loc="lower right")


def _draw_goals(axes: Any, goals: Sequence[Row]) -> None:
    # Turned round where more is better, so that bars to the left are good ones everywhere.
    widths = [_share(row) - 1 for row in goals]
    axes.barh(range(len(goals)), widths, left=1, color=[MET if row.met else MISSED for row in goals], height=0.7)
    axes.set_yticks(range(len(goals)), [f"{row.goal}  {row.what}, {row.where}" for row in goals], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.margins(y=0.02)
    axes.set_xlabel("share of what the goal allows; below 1 it is met")
    axes.set_title("Goals")


def _share(row: Row) -> float:
    assert row.value is not None and row.limit is not None
    return row.limit / row.value if row.at_least else row.value / row.limit
