"""Two results of the benchmarks side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness import comparison

from .rows import row

COMPARE = Path(__file__).resolve().parent.parent.parent / "benchmarks" / "compare.py"


def test_rows_of_either_result_are_shown_with_old_new_and_ratio() -> None:
    old = [row("save", value=2.0, low=1.9, high=2.1), row("gone", value=1.0), row("broken", value=1.0)]
    new = [row("save", value=1.0, low=0.9, high=1.1), row("broken", error="broken."), row("came", note="why")]
    assert comparison.compare(old, new)[1:] == [
        ("W1 | save | SQLite", "2.00", "1.000", "0.500", "differs"),
        ("W1 | gone | SQLite", "1.000", "not there", "", ""),
        ("W1 | broken | SQLite", "1.000", "error", "", ""),
        ("W1 | came | SQLite", "not there", "not measured", "", ""),
    ]


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ((1.0, 0.9, 1.1), (1.2, 1.15, 1.25), False),
        ((1.0, 0.95, 1.05), (1.2, 1.1, 1.4), False),
        ((1.0, 0.95, 1.05), (1.2, 1.15, 1.25), True),
        ((1.2, 1.15, 1.25), (1.0, 0.95, 1.05), True),
    ],
)
def test_what_differs_lies_further_apart_than_the_quartiles_of_either(
    old: tuple[float, float, float], new: tuple[float, float, float], differs: bool
) -> None:
    before, after = (row(value=value, low=low, high=high) for value, low, high in (old, new))
    assert comparison.differs(before, after) is differs


def test_figure_without_spread_differs_when_it_is_another() -> None:
    assert comparison.differs(row(value=93), row(value=94))
    assert not comparison.differs(row(value=93), row(value=93))


def compare(*paths: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, COMPARE, *paths], capture_output=True, text=True)


def test_program_succeeds_whatever_differs_and_fails_only_where_a_file_is_none(tmp_path: Path) -> None:
    old, new, none = (tmp_path / name for name in ("old.json", "new.json", "none.json"))
    for path, value in ((old, 1.0), (new, 2.0)):
        path.write_text(json.dumps({"rows": [{"goal": "W1", "what": "save", "value": value, "met": None}]}))
    none.write_text("[]")
    done = compare(old, new)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[2].split() == ["W1", "|", "save", "1.000", "2.00", "2.00", "differs"]
    for missing in (none, tmp_path / "missing.json"):
        done = compare(old, missing)
        assert (done.returncode, done.stdout) == (2, "")
        assert str(missing) in done.stderr
