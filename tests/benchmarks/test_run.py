"""The program that runs the benchmarks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from benchmarks import run as program
from benchmarks.harness import pages
from benchmarks.harness.row import Row
from benchmarks.harness.runs import Run

Measure = Callable[[Run], Iterator[Row]]


def met(run: Run) -> Iterator[Row]:
    yield run.row("A1", "something", value=1.0, limit=1.1)


def missed(run: Run) -> Iterator[Row]:
    yield run.row("B1", "something else", value=1.2, limit=1.1)


def broken(run: Run) -> Iterator[Row]:
    yield run.row("B1", "something else", value=1.0)
    raise ValueError("It is broken.")


@pytest.fixture
def families(monkeypatch: pytest.MonkeyPatch) -> dict[str, Measure]:
    """By goal what measures it; a test may exchange it."""
    measures: dict[str, Measure] = {"A1": met, "B1": missed}

    def found() -> list[Any]:
        return [SimpleNamespace(GOALS=(goal,), measure=measure) for goal, measure in measures.items()]

    monkeypatch.setattr(program, "_families", found)
    return measures


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """The results that were shown in documents."""
    shown: list[Any] = []
    monkeypatch.setattr(pages, "RESULT", tmp_path / "result.json")
    monkeypatch.setattr(pages, "render", shown.append)
    monkeypatch.setattr(program.importlib.util, "find_spec", lambda name: ModuleType(name))
    return shown


def test_goal_that_is_missed_is_no_failure(families: dict[str, Measure], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[2:]] == ["yes", "no"]


def test_error_is_a_failure_that_keeps_what_else_was_measured(families: dict[str, Measure], tmp_path: Path) -> None:
    families["B1"] = broken
    assert program.main(["--output", str(tmp_path / "result.json")]) == 1
    rows = json.loads((tmp_path / "result.json").read_text())["rows"]
    assert [(row["goal"], row["value"], row["error"]) for row in rows] == [
        ("A1", 1.0, ""),
        ("B1", 1.0, ""),
        ("B1", None, "ValueError: It is broken."),
    ]


def test_only_the_goals_that_are_named_are_measured(families: dict[str, Measure]) -> None:
    families["B1"] = broken
    assert program.main(["--only", "A1"]) == 0


@pytest.mark.parametrize("arguments", [["--only", "A1,C1"], ["--only", "A1", "--save"]])
def test_what_makes_no_sense_is_refused_before_anything_is_measured(
    families: dict[str, Measure], arguments: list[str]
) -> None:
    families["A1"] = broken
    assert program.main(arguments) == 2


def test_saved_result_is_shown_in_the_documents(families: dict[str, Measure], written: list[Any]) -> None:
    assert program.main(["--save"]) == 0
    assert [[row["goal"] for row in result["rows"]] for result in written] == [["A1", "B1"]]
    assert json.loads(pages.RESULT.read_text()) == json.loads(json.dumps(written[0]))


def test_result_with_an_error_is_not_saved(families: dict[str, Measure], written: list[Any]) -> None:
    families["B1"] = broken
    assert program.main(["--save"]) == 1
    assert (written, pages.RESULT.exists()) == ([], False)
