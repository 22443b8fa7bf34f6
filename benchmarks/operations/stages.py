"""Saves that stop half-way, to tell what each stage of recording takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diffs.capture import saving, sending
from diffs.store import Outcome, store

from . import floor


def _stop_before_looking() -> None:
    saving._saved = lambda write: None


def _stop_before_handing_over() -> None:
    sending.hand_over = lambda entries, floors=None, receipt=None: Outcome()  # type: ignore[attr-defined]


def _stop_before_the_trip() -> None:
    store.run_scripts = lambda lines, calls: [[b"epoch", 1]] * len(calls)  # type: ignore[attr-defined]


def _send_a_script_that_only_adds() -> None:
    sha = floor.append_sha()

    def run(lines: Any, calls: Any) -> list[Any]:
        lines.trip([("EVALSHA", sha, 1, call.keys[1], call.arguments[-1]) for call in calls])
        return [[b"epoch", 1]] * len(calls)

    store.run_scripts = run  # type: ignore[attr-defined]


STOPS: dict[str, Callable[[], None]] = {
    "compare": _stop_before_looking,
    "make": _stop_before_handing_over,
    "pack": _stop_before_the_trip,
    "trip": _send_a_script_that_only_adds,
}


def stop_after(*, stage: str) -> None:
    """From now on this process's saves go no further than a stage.

    Args:
        stage: ``"compare"`` (the instance with its row), ``"make"`` (the diff), ``"pack"`` (the command), or
            ``"trip"``, where a script that only adds a member takes the place of the one that appends.
    """
    STOPS[stage]()
