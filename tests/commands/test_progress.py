"""A bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import os
import shutil

import pytest
from django.core.management.base import OutputWrapper

from diffs.management import progress
from diffs.management.progress import Progress

CLEAR = "\r\x1b[K"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """The time, which stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((80, 24)))


def test_bar_grows_on_a_terminal_and_stays_at_the_end(clock: Clock) -> None:
    out = Terminal()
    bar = Progress(OutputWrapper(out))
    bar.show(0, "counting")
    bar.total = 40
    for done in (0, 10, 20, 40):
        clock.now += progress.REDRAW_SECONDS
        bar.show(done, f"{done} done")
    bar.finish()
    assert out.getvalue().split(CLEAR) == [
        "",
        "counting",
        "[------------------------]   0%  0 done",
        "[######------------------]  25%  10 done",
        "[############------------]  50%  20 done",
        "[########################] 100%  40 done",
        "[########################] 100%  40 done\n",
    ]


def test_bar_is_not_drawn_more_often_than_one_can_see(clock: Clock) -> None:
    out = Terminal()
    bar = Progress(OutputWrapper(out))
    for done in range(1000):
        bar.show(done, str(done))
    assert out.getvalue() == f"{CLEAR}0"
    bar.finish()
    assert out.getvalue() == f"{CLEAR}0{CLEAR}999\n"


@pytest.mark.parametrize(("total", "done", "share"), [(0, 0, "100%"), (10, 11, "100%"), (1000, 999, " 99%")])
def test_bar_is_never_too_long_and_full_only_at_the_end(clock: Clock, total: int, done: int, share: str) -> None:
    out = Terminal()
    bar = Progress(OutputWrapper(out))
    bar.total = total
    bar.show(done, "")
    assert out.getvalue()[-6:].strip() == share.strip()
    assert len(out.getvalue()) == len(f"{CLEAR}[{'#' * progress.BAR}] 100%  ")


def test_line_is_cut_where_the_terminal_ends(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((10, 24)))
    out = Terminal()
    Progress(OutputWrapper(out)).show(0, "0123456789ABC")
    assert out.getvalue() == f"{CLEAR}012345678"


def test_line_is_written_now_and_then_elsewhere(clock: Clock) -> None:
    out = io.StringIO()
    lines = Progress(OutputWrapper(out))
    for done in range(25):
        lines.show(done, f"{done} done")
        clock.now += 1
    lines.finish()
    assert out.getvalue() == "10 done\n20 done\n"


def test_line_is_written_at_each_step_on_demand_and_never_twice(clock: Clock) -> None:
    out = io.StringIO()
    lines = Progress(OutputWrapper(out), every_step=True)
    for done in (0, 0, 1, 1, 2):
        lines.show(done, f"{done} done")
    lines.finish()
    assert out.getvalue() == "0 done\n1 done\n2 done\n"


@pytest.mark.parametrize("out", [Terminal(), io.StringIO()])
def test_nothing_to_show_leaves_nothing(out: io.StringIO) -> None:
    Progress(OutputWrapper(out)).finish()
    assert out.getvalue() == ""
