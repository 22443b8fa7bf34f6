"""Versions rise, whatever the clock does."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from diffs.capture import versions


def test_versions_rise_even_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = versions.next_version()
    monkeypatch.setattr(time, "time_ns", lambda: 5000)
    assert [versions.next_version() for _ in range(3)] == [first + 1, first + 2, first + 3]


def test_versions_are_microseconds_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    later = versions.next_version() + 1_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later * 1000 + 999)
    assert versions.next_version() == later


def test_no_version_is_drawn_twice() -> None:
    def draw(_: int) -> list[int]:
        return [versions.next_version() for _ in range(500)]

    with ThreadPoolExecutor(4) as threads:
        drawn = [version for each in threads.map(draw, range(4)) for version in each]
    assert len(set(drawn)) == 2000


def test_a_forked_child_doesnt_wait_for_a_thread_that_it_doesnt_have() -> None:
    versions._lock.acquire()
    versions._renew_lock()
    assert versions.next_version() > 0
