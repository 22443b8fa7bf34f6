"""The table of what is recorded: each case is a test."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from .recorded import Recording, Said

Feeds = dict[str, list[Said]]
Steps = Generator[None, None, "Feeds | tuple[Feeds, set[str]]"]


def case(steps: Callable[[], Steps]) -> Callable[..., None]:
    """A test of what an operation records, on every database.

    Args:
        steps: up to its ``yield`` it prepares, behind that comes the operation; it returns what all feeds say then, by
            their names, and where floors are raised also their names.
    """

    def test(recording: Recording, still: str) -> None:
        running = steps()
        next(running)
        recording.forget()
        with pytest.raises(StopIteration) as ended:
            next(running)
        expected: Any = ended.value.value
        feeds, floors = expected if isinstance(expected, tuple) else (expected, set())
        assert recording.feeds() == feeds
        assert recording.floors() == floors

    test.__name__, test.__qualname__, test.__module__ = steps.__name__, steps.__qualname__, steps.__module__
    test.__doc__ = steps.__doc__
    marked: Callable[..., None] = pytest.mark.database(test)
    return marked
