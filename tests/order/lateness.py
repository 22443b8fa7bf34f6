"""Which diffs came late: noted before anything is done about them, so that whoever is killed then has said so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffs.capture import late
from diffs.codec import decode


def note_late_diffs(log: Path) -> None:
    """Let this process note feed and actor of each diff that it finds late.

    Args:
        log: a file that several processes add lines to.
    """
    replace: Callable[..., Any] = late.replace
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note_and_replace(using: str, listed: Any) -> Any:
        lines = [f"{one.entry.feed.name} {decode(one.entry.member).actor}\n" for one in listed]
        os.write(file, "".join(lines).encode())
        return replace(using, listed)

    late.replace = note_and_replace


def read_late_diffs(log: Path) -> set[tuple[str, str]]:
    """Feeds and actors of what was noted."""
    lines = log.read_text().splitlines() if log.exists() else []
    return {(feed, actor) for feed, actor in map(str.split, lines)}
