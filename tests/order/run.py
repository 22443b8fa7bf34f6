"""A run: writers write, clients follow them; obeys what it reads, and says what came of it in lines of JSON.

``python -m tests.order.run FOLDER``, which is for what processes note, with what `tests.order.settings` looks for in
the environment. It says ``"writing"``; behind ``compare`` it has everybody pause and says which rows are wrong, behind
``account`` what became of each change, behind ``count`` how many writers were killed, how many diffs were on the way to
Redis, and how many pairs of a row's in another order than that of their commits, and behind the end of its input how
often what was done. Behind ``pause`` nobody writes until ``resume``. ``clock -3600`` sets the time that Redis goes by
to an hour before the right one, where the scenario says that the processes tell it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import select
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django

PACES = ((0.05, 500), (0.2, 50), (0.5, 7))
"""Of each client: seconds between polls, and the limit of a page."""


def main() -> None:
    """Set up, and go on until the standard input ends."""
    django.setup()
    from .scenario import from_environment

    _Crew(from_environment(), Path(sys.argv[1])).run()


class _Crew:
    """The processes of a run.

    Args:
        scenario: what it is to be like.
        folder: for what the processes note.
    """

    def __init__(self, scenario: Any, folder: Path) -> None:
        from .client import follow
        from .clock import tell_time
        from .crew import Hand, call, new_flag

        self._scenario = scenario
        self._handed_over, self._late = folder / "handed-over", folder / "late"
        self._rng = random.Random(scenario.seed)
        self._offset = new_flag("q", 0)
        if scenario.tells_time:
            tell_time(self._offset)
        call(_prepare, scenario.rows)
        self._clients = [Hand(follow, scenario, *pace) for pace in PACES]
        for client in self._clients:
            client.hear()
        self._phase = new_flag("i", 0)
        self._hired = 0
        self._writers = [self._hire() for _ in range(scenario.writers)]

    def run(self) -> None:
        """Obey."""
        commands = {
            "compare": self._compare,
            "account": self._account,
            "count": self._count,
            "pause": self._pause,
            "resume": self._resume,
            "clock": self._set_clock,
        }
        _say("writing")
        while True:
            kills = 0 if self._is_paused else self._scenario.kills
            if not select.select([sys.stdin], [], [], self._rng.expovariate(kills) if kills else None)[0]:
                self._kill()
            elif words := sys.stdin.readline().split():
                _say(commands[words[0]](*words[1:]))
            else:
                break
        _say(self._end())

    def _hire(self) -> Any:
        from .crew import Hand
        from .writer import write

        self._hired += 1
        return Hand(write, self._scenario, self._hired, self._phase, self._handed_over, self._late)

    def _kill(self) -> None:
        place = self._rng.randrange(len(self._writers))
        self._writers[place].kill()
        self._writers[place] = self._hire()

    @contextlib.contextmanager
    def _pausing(self) -> Iterator[None]:
        """Nobody writes, and everything that was committed is sent."""
        from .crew import call
        from .relaying import relay

        was_paused = self._is_paused
        if not was_paused:
            self._pause()
        if self._scenario.outbox:
            call(relay, self._late)
        yield
        if not was_paused:
            self._resume()

    @property
    def _is_paused(self) -> bool:
        return bool(self._phase.value % 2)

    def _pause(self) -> None:
        self._phase.value += 1
        for writer in self._writers:
            writer.hear()

    def _resume(self) -> None:
        self._phase.value += 1

    def _compare(self) -> list[dict[str, list[str]]]:
        with self._pausing():
            for client in self._clients:
                client.line.send("compare")
            return [client.hear() for client in self._clients]

    def _account(self) -> dict[str, Any]:
        from .accounting import account
        from .crew import call
        from .gathering import floored, noted, told
        from .lateness import read_late_diffs

        with self._pausing():
            late = read_late_diffs(self._late)
            rows = self._scenario.rows
            return dataclasses.asdict(account(call(noted), call(told, rows), late, call(floored, rows)))

    def _set_clock(self, seconds: str) -> float:
        """The right time is 0."""
        self._offset.value = round(float(seconds) * 1_000_000)
        return float(seconds)

    def _count(self) -> dict[str, int]:
        from .delays import count_handed_over

        diffs, inversions = count_handed_over(self._handed_over)
        return {"diffs": diffs, "inversions": inversions, "killed": self._hired - len(self._writers)}

    def _end(self) -> dict[str, Any]:
        self._phase.value = -1
        counts: Counter[str] = Counter()
        for writer in self._writers:
            counts.update(writer.hear())
            writer.end()
        for client in self._clients:
            client.line.send("end")
        return {
            **counts,
            **self._count(),
            "clients": [client.hear() for client in self._clients],
        }


def _say(what: Any) -> None:
    print(json.dumps(what), flush=True)


def _prepare(rows: int) -> None:
    from django.core.management import call_command

    import diffs

    from .app.models import Parent, Row, Tag
    from .gathering import SETUP
    from .operations import PARENTS, TAGS, parent_of

    call_command("migrate", run_syncdb=True, verbosity=0)
    Tag.objects.bulk_create([Tag(pk=pk) for pk in TAGS])
    with diffs.actor(SETUP):
        Parent.objects.bulk_create([Parent(pk=pk) for pk in PARENTS])
        Row.objects.bulk_create([Row(pk=pk, parent_id=parent_of(pk)) for pk in range(1, rows + 1)])


if __name__ == "__main__":
    main()
