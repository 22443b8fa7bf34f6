"""Changes that no feed is told of, and runs of the command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from diffs.capture import sending
from diffs.errors import CursorExpired
from diffs.store import Entry, hand_over
from tests.commands.conftest import Ran, Run, run

__all__ = ["run"]

Verify = Callable[..., Ran]
SETTLE = "0.05"


@pytest.fixture
def verify(run: Run) -> Verify:
    """Run the command; what is found is sure after a moment."""
    return lambda *arguments: run("diffs_verify", "--settle", SETTLE, *arguments)


@pytest.fixture
def state(tmp_path: Path) -> str:
    """Where a state can be kept."""
    return str(tmp_path / "state.sqlite3")


@contextlib.contextmanager
def untold(where: Callable[[Entry], bool] = lambda entry: True) -> Iterator[None]:
    """What is committed in this block never reaches the feeds, as if the process had died; or only some of it does."""

    def lose(entries: Any, floors: Any = None, receipt: Any = None) -> None:
        hand_over([entry for entry in entries if not where(entry)], floors)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "hand_over", lose)
        yield


def is_refused(feed: Any, cursor: str) -> bool:
    try:
        list(feed.since(cursor))
    except CursorExpired:
        return True
    return False
