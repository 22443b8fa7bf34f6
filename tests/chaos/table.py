"""What came of a run, as a table for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What came of a part."""

    part: str
    faults: Mapping[str, int]
    """How often what happened."""
    writes: int
    """Diffs of rows that were on the way to Redis."""
    reads: int
    """Polls of clients."""
    refusals: int
    """Cursors that clients had to give up."""
    overtaken: int
    """Pairs of a row's diffs that were on the way in another order than that of their commits."""
    late: int
    """Diffs that a later reading, or a later diff, took the place of."""
    account: Mapping[str, int]
    """How many diffs were committed, and what became of them; empty where that isn't kept."""
    wrong: Sequence[str]
    """Rows that clients ended with, and that the database has otherwise."""
    lost: Sequence[str] = ()
    doubled: Sequence[str] = ()
    uncommitted: Sequence[str] = ()

    @property
    def problems(self) -> list[str]:
        """What must not be, described."""
        named = {"wrong": self.wrong, "lost": self.lost, "doubled": self.doubled, "uncommitted": self.uncommitted}
        return [f"{name}: {text}" for name, texts in named.items() for text in texts]


def line_of(part: str, found: Mapping[str, Any]) -> Line:
    """Sum a run up.

    Args:
        part: its name.
        found: what `prove_order`, `prove_refusals` or `prove_delivery` gave.
    """
    clients, account = found["clients"], found.get("account", {})
    faults = {**found.get("faults", {}), **({"writer killed": found["killed"]} if found["killed"] else {})}
    return Line(
        part=part,
        faults=faults,
        writes=found["diffs"],
        reads=sum(client["polls"] for client in clients),
        refusals=sum(client["refused"] for client in clients),
        overtaken=found["inversions"],
        late=found.get("late", 0),
        account={name: account[name] for name in ("committed", "delivered", "replaced", "refused") if name in account},
        wrong=[text for client in clients for text in client["wrong"]],
        **{name: account.get(name, []) for name in ("lost", "doubled", "uncommitted")},
    )


_COUNTS = ("writes", "reads", "refusals", "overtaken", "late")
_WORDS = ("part", "fault", "faults")
_PROBLEMS = ("wrong", "lost", "doubled", "uncommitted")


def render(lines: Sequence[Line]) -> str:
    """A table with a line for each part and one for all, and behind it how often what happened in all."""
    head = ["part", *_COUNTS, *_PROBLEMS, "faults"]
    rows = [
        [
            line.part,
            *(str(getattr(line, name)) for name in _COUNTS),
            *(str(len(getattr(line, name))) for name in _PROBLEMS),
            _faults_text(line.faults),
        ]
        for line in lines
    ]
    sums = [str(sum(int(row[place]) for row in rows)) for place in range(1, len(head) - 1)]
    faults = {name: sum(line.faults.get(name, 0) for line in lines) for name in _names(lines)}
    table = _aligned([head, *rows, ["all", *sums, str(sum(faults.values()))]])
    return f"{table}\n\n{_aligned([['fault', 'times'], *([name, str(count)] for name, count in faults.items())])}"


def _names(lines: Iterable[Line]) -> list[str]:
    return sorted({name for line in lines for name in line.faults})


def _faults_text(faults: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(faults.items())) or "none"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    texts = range(len(widths))
    lines = []
    for row in rows:
        cells = [
            # Names begin where their column does, numbers end there.
            row[place].ljust(widths[place]) if rows[0][place] in _WORDS else row[place].rjust(widths[place])
            for place in texts
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
