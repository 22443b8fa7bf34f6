"""Measure, print the tables and keep the result.

    python benchmarks/run.py                      # quickly
    python benchmarks/run.py --full --save        # and show the figures in the documents
    python benchmarks/run.py --only W1,W2 --rounds 50 --output /tmp/before.json

Exits with 1 where a measure raised; a goal that is missed is a row of the table, and no failure.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    # Not the folder of this file, whose modules would be found under a second name.
    sys.path[0] = str(ROOT)

from benchmarks.harness import pages, results, table  # noqa: E402
from benchmarks.harness.row import Row  # noqa: E402
from benchmarks.harness.runs import Run  # noqa: E402

# In the order in which they are shown.
FAMILIES = (
    *("loading", "saving", "bulk", "polling", "live", "waiting", "memory", "pruning", "scale", "stages", "comparing"),
    *("outbox", "peers"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for.

    Args:
        arguments: of the command line; the program's own unless given.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    only = [goal for goal in options.only.split(",") if goal]
    families = list(_families())
    if unknown := set(only).difference(*(family.GOALS for family in families)):
        print(f"There are no goals {', '.join(sorted(unknown))}.", file=sys.stderr)
        return 2
    if options.save and (why := _reason_not_to_save(only)):
        print(why, file=sys.stderr)
        return 2
    started = time.monotonic()
    rows: list[Row] = []
    with Run(
        quick=not options.full, only=only, rounds=options.rounds, seed=options.seed, pinned=not options.unpinned
    ) as run:
        wanted = [family for family in families if any(map(run.wants, family.GOALS))]
        for row in (row for family in wanted for row in _measure(run, family)):
            rows.append(row)
            print(f"{time.monotonic() - started:6.1f} s  {'  '.join(filter(None, table.cells(row)))}", file=sys.stderr)
        result = results.as_dict(run, rows)
    print(table.as_text(table.goals(rows)))
    if len(field := table.field(rows)) > 1:
        print(f"\n{pages.FIELD}\n\n{table.as_text(field)}")
    if options.output:
        results.save(result, options.output)
    if failed := [row.name for row in rows if row.error]:
        print(f"\nErrors: {'; '.join(failed)}", file=sys.stderr)
        return 1
    if options.save:
        results.save(result, pages.RESULT)
        pages.render(result)
    return 0


def _reason_not_to_save(only: list[str]) -> str:
    if only:
        return "What is saved is of one run of everything: leave --only out."
    if importlib.util.find_spec("matplotlib") is None:
        return "The chart takes matplotlib: install the extra 'bench'."
    return ""


def _families() -> Iterator[ModuleType]:
    folder = ROOT / "benchmarks" / "measures"
    for name in FAMILIES:
        if (folder / f"{name}.py").exists():
            yield importlib.import_module(f"benchmarks.measures.{name}")


def _measure(run: Run, family: ModuleType) -> Iterator[Row]:
    yield from run.attempt("/".join(family.GOALS), "all", "", lambda: family.measure(run))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure how fast django-diffs is.")
    parser.add_argument("--full", action="store_true", help="more rounds and larger amounts")
    parser.add_argument("--only", default="", help="goals, separated by commas: L1,W1,peers")
    parser.add_argument("--rounds", type=int, help="how often each contender measures")
    parser.add_argument("--seed", type=int, default=1, help="of the order of contenders within the rounds")
    parser.add_argument("--unpinned", action="store_true", help="let contenders and servers run on any core")
    parser.add_argument("--output", type=Path, help="where to write the result, JSON")
    parser.add_argument(
        "--save", action="store_true", help="keep the result in benchmarks/results, and show it in the documents"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
