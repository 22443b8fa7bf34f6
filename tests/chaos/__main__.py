"""Does its worst for a while, and prints what came of it: ``python -m tests.chaos --seconds 120``.

Ends with an error where anything was lost, doubled or wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.order.scenario import Scenario
from tests.servers import (
    MariaDb,
    Postgres,
    best_kind,
    mariadb_database,
    postgresql_database,
    sqlite_database,
)

from .parts import SETS, Part
from .table import Line, line_of, render

WRITERS = {"sqlite": 3}
INTERRUPTED = 130
"""The status that Ctrl-C gives programs."""


def main(words: Sequence[str]) -> int:
    """Run the parts, one after the other.

    Args:
        words: of the command line.

    Returns:
        The status to end with.
    """
    arguments = _arguments(words)
    parts = SETS[arguments.set]
    names = [name for name in parts if name in (arguments.part or parts)]
    print(f"Seed {arguments.seed}; {arguments.database}; {len(names)} parts in {arguments.seconds:g} seconds or more.")
    lines: list[Line] = []
    is_whole = False
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        databases = stack.enter_context(_databases(arguments.database))
        deadline = time.monotonic() + arguments.seconds
        for place, name in enumerate(names):
            share = max(0.0, deadline - time.monotonic()) / (len(names) - place)
            lines.append(_run(name, parts[name], arguments, share, databases))
            print(f"{name}: {len(lines[-1].problems)} problems{_account_text(lines[-1])}", flush=True)
        is_whole = True
    print(render(lines))
    problems = [f"{line.part}: {text}" for line in lines for text in line.problems]
    if problems:
        print(*problems[: arguments.show], sep="\n")
        return 1
    return 0 if is_whole else INTERRUPTED


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long, more or less")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of what happens when")
    parser.add_argument("--database", choices=("postgresql", "sqlite", "mariadb"), default="postgresql")
    parser.add_argument("--server", default=best_kind(), help="the kind of Redis server")
    parser.add_argument("--set", choices=tuple(SETS), default="chaos", help="which parts there are")
    parser.add_argument("--part", action="append", help="only this; may be repeated")
    parser.add_argument("--show", type=int, default=20, help="how many problems to describe")
    arguments = parser.parse_args(words)
    if unknown := {*(arguments.part or ())} - {*SETS[arguments.set]}:
        parser.error(f"There is no part {', '.join(sorted(unknown))}; there are {'; '.join(SETS[arguments.set])}.")
    return arguments


def _run(name: str, part: Part, arguments: argparse.Namespace, seconds: float, databases: Any) -> Line:
    scenario = Scenario(seed=arguments.seed, writers=WRITERS.get(arguments.database, 8), **part.options)
    with databases() as database, part.serve(arguments.server) as server:
        return line_of(name, part.prove(scenario, database, server, seconds=seconds))


def _account_text(line: Line) -> str:
    return "".join(f", {count} {name}" for name, count in line.account.items())


@contextlib.contextmanager
def _databases(kind: str) -> Iterator[Any]:
    """What makes an empty database, again and again."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="diffs-chaos-") as folder:
            yield lambda: contextlib.nullcontext(sqlite_database(Path(folder)))
    elif kind == "mariadb":
        with MariaDb() as mariadb:
            yield lambda: mariadb_database(mariadb)
    else:
        postgres = Postgres()
        try:
            yield lambda: postgresql_database(postgres.host)
        finally:
            postgres.stop()


def _give_up(number: int, frame: object) -> None:
    """Do as at Ctrl-C: end all that was started."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _give_up)
    # Unless it is meant to outlive its terminal.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _give_up)
    sys.exit(main(sys.argv[1:]))
