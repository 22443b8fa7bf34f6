"""The run of everything that may go wrong says what came of it, and fails where something was lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos import __main__ as chaos
from tests.chaos.parts import CHAOS, Part
from tests.chaos.table import Line, line_of, render

CLIENT = {"polls": 10, "refused": 2, "wrong": [], "versioned": []}
FOUND = {"diffs": 100, "inversions": 5, "late": 3, "killed": 0, "clients": [CLIENT, CLIENT]}


def test_line_sums_up_what_a_run_found() -> None:
    found = {
        **FOUND,
        "killed": 7,
        "faults": {"paused": 2},
        "account": {"lost": ["a"], "doubled": [], "uncommitted": ["b"], "committed": 9, "delivered": 6, "replaced": 2},
    }
    line = line_of("delivery", found)
    assert line == Line(
        part="delivery",
        faults={"paused": 2, "writer killed": 7},
        writes=100,
        reads=20,
        refusals=4,
        overtaken=5,
        late=3,
        account={"committed": 9, "delivered": 6, "replaced": 2},
        wrong=[],
        lost=["a"],
        doubled=[],
        uncommitted=["b"],
    )
    assert line.problems == ["lost: a", "uncommitted: b"]


def test_table_has_a_line_for_each_part_and_one_for_all() -> None:
    lines = [line_of("order", FOUND), line_of("faults", {**FOUND, "faults": {"full": 1, "paused": 2}})]
    assert render(lines).splitlines() == [
        "part    writes  reads  refusals  overtaken  late  wrong  lost  doubled  uncommitted  faults",
        "order      100     20         4          5     3      0     0        0            0  none",
        "faults     100     20         4          5     3      0     0        0            0  1 full, 2 paused",
        "all        200     40         8         10     6      0     0        0            0  1 full, 2 paused",
    ]


@pytest.mark.parametrize(
    "planted",
    [
        {"clients": [{**CLIENT, "wrong": ["row 1"]}]},
        {"account": {"lost": ["row 1"]}},
        {"account": {"doubled": ["row 1"]}},
        {"account": {"uncommitted": ["row 1"]}},
    ],
    ids=["wrong", "lost", "doubled", "uncommitted"],
)
def test_planted_problem_ends_the_run_with_an_error_and_is_shown(
    planted: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CHAOS, "order, database", Part(lambda *_, **__: {**FOUND, **planted}, {}))
    words = ["--part", "order, database", "--database", "sqlite"]
    assert chaos.main(words) == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith(": row 1")
    monkeypatch.setitem(CHAOS, "order, database", Part(lambda *_, **__: FOUND, {}))
    assert chaos.main(words) == 0


def test_unknown_part_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        chaos.main(["--part", "delivry"])
    assert "There is no part delivry; there are order, database; " in capsys.readouterr().err


@pytest.mark.slow
def test_seed_and_parts_are_chosen_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--part", "order, database", "--database", "sqlite", "--seed", "7", "--seconds", "1"]
    assert chaos.main(words) == 0
    first, progress, head, part, everything = capsys.readouterr().out.splitlines()
    assert first == "Seed 7; sqlite; 1 parts in 1 seconds or more."
    assert progress == "order, database: 0 problems"
    assert [line.split("  ")[0] for line in (head, part, everything)] == ["part", "order, database", "all"]
