"""The run of everything that may go wrong says what came of it, and fails where something was lost."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import __main__ as chaos
from tests.chaos.parts import CHAOS, Part
from tests.chaos.table import Line, line_of, render
from tests.programs import Programs
from tests.servers.redis_server import wait_until

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
        "all        200     40         8         10     6      0     0        0            0  3",
        "",
        "fault   times",
        "full        1",
        "paused      2",
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
    assert "There is no part delivry; there are cluster; " in capsys.readouterr().err


@pytest.mark.slow
def test_seed_and_parts_are_chosen_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--part", "order, database", "--database", "sqlite", "--seed", "7", "--seconds", "1"]
    assert chaos.main(words) == 0
    first, progress, head, part, everything, *_ = capsys.readouterr().out.splitlines()
    assert first == "Seed 7; sqlite; 1 parts in 1 seconds or more."
    assert progress == "order, database: 0 problems"
    assert [line.split("  ")[0] for line in (head, part, everything)] == ["part", "order, database", "all"]


@pytest.mark.slow
def test_run_that_is_given_up_leaves_neither_processes_nor_files() -> None:
    words = ("--part", "cluster", "--database", "sqlite", "--seconds", "60")
    # A short path, as sockets are in there.
    with tempfile.TemporaryDirectory() as folder, Programs({"TMPDIR": folder}) as programs:
        process = programs.start("-m", "tests.chaos", *words, stdout=subprocess.PIPE)
        # By then there are six servers, and writers and clients.
        wait_until(lambda: len(with_folder(folder)) > 12)
        process.send_signal(signal.SIGTERM)
        text, _ = process.communicate(timeout=60)
        left = list(Path(folder).glob("diffs-*"))
    assert process.returncode == chaos.INTERRUPTED
    assert text.splitlines()[1].split()[0] == "part"
    # What was killed takes a moment to be gone.
    wait_until(lambda: with_folder(folder) == [])
    assert left == []


def with_folder(folder: str) -> list[str]:
    """The processes whose temporary files are there, or that are there themselves, as Redis is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        # One that is just gone, or somebody else's.
        with contextlib.suppress(OSError):
            environment = (process / "environ").read_bytes()
            if f"TMPDIR={folder}\0".encode() in environment or (process / "cwd").readlink().is_relative_to(folder):
                found.append(process.name)
    return found
