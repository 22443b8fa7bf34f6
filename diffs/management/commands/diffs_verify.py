"""``diffs_verify``: finds changes that no feed was told of."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management import BaseCommand, CommandError, CommandParser
from django.db import connections

from diffs.conf import did_you_mean
from diffs.management.amounts import count_text, parse_age
from diffs.management.progress import Progress
from diffs.management.server import upkeep
from diffs.management.verify import Baseline, BaselineError, Counts, Difference, Verification
from diffs.registration import Registration, find_label, registrations
from diffs.store import get_store

STOPPED = 130
"""What shells report of a process that Ctrl-C has ended."""

SETTLE = "5s"
BATCH_SIZE = 500
REPORTED = 100


class Command(BaseCommand):
    """Compares objects with what the readers of their feeds would have."""

    help = (
        "Compares objects with what the readers of their feeds would have, and reports changes that no feed was told "
        "of: a process that is killed between its commit and its write to Redis leaves such ones."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "models", nargs="*", metavar="APP.MODEL", help="The models whose objects are compared; all, unless named."
        )
        parser.add_argument(
            "--state",
            metavar="FILE",
            help="Keep digests of all objects in this SQLite file, and find every change that was missed since the run "
            "before. Without it, only what contradicts the diffs that are still kept is found.",
        )
        parser.add_argument("--repair", action="store_true", help="Refuse the old cursors of the feeds concerned.")
        parser.add_argument("--database", metavar="ALIAS", help="Compare with the objects of this database.")
        parser.add_argument(
            "--settle",
            metavar="AGE",
            default=SETTLE,
            help=f"How long a diff may need to reach its feed (2s, 1m); {SETTLE} unless given. What counts is the same"
            " after that time.",
        )
        parser.add_argument(
            "--batch-size", type=int, metavar="N", default=BATCH_SIZE, help=f"Objects in a query; {BATCH_SIZE}."
        )
        parser.add_argument(
            "--limit-report", type=int, metavar="N", default=REPORTED, help=f"Name the first {REPORTED} differences."
        )
        parser.add_argument("--show-values", action="store_true", help="Show the values, too, not only fields' names.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare, tell how far it is, report and sum up."""
        chosen = _chosen(options["models"], options["database"])
        settle = _seconds(options["settle"])
        if options["batch_size"] < 1:
            raise CommandError(f"--batch-size takes a positive number, not {options['batch_size']}.")
        if options["limit_report"] < 0:
            raise CommandError(f"--limit-report takes no negative number, such as {options['limit_report']}.")
        self.verbosity = options["verbosity"]
        self.limit, self.shows_values = options["limit_report"], options["show_values"]
        progress = Progress(self.stdout, every_step=self.verbosity > 1)
        with upkeep(), _files(options["state"]) as baseline:
            verification = Verification(
                get_store(),
                chosen,
                using=options["database"],
                settle=settle,
                batch_size=options["batch_size"],
                baseline=baseline,
                repair=options["repair"],
            )
            try:
                self._follow(verification, progress)
            except KeyboardInterrupt:
                raise CommandError("Stopped half-way: the rest was not compared.", returncode=STOPPED) from None
            finally:
                progress.finish()
                self._sum_up(verification.counts, is_repairing=options["repair"])
        left = verification.counts.differences - verification.counts.repaired
        if left:
            advice = "With --repair, old cursors of their feeds are refused."
            if options["repair"]:
                advice = "They could not be refused: run it again."
            raise CommandError(f"The readers of {count_text(left, 'object')} have something else. {advice}")

    def _follow(self, verification: Verification, progress: Progress) -> None:
        reported = 0
        for found in verification.run():
            if found is not None:
                reported += 1
                if reported <= self.limit:
                    self._report(found, progress)
                elif reported == self.limit + 1:
                    self._write("Further differences are counted only (--limit-report).", progress)
            counts = verification.counts
            if self.verbosity:
                progress.total = verification.total
                progress.show(counts.done, _text(counts, is_reading=verification.total is None))

    def _report(self, found: Difference, progress: Progress) -> None:
        whose = "" if found.feed == f"{found.model}:{found.pk}" else f" of {found.model}:{found.pk}"
        self._write(f"{found.feed}: {found.kind}{whose}{self._fields(found)}", progress)

    def _fields(self, found: Difference) -> str:
        if not found.values:
            return ""
        if not self.shows_values:
            return f": {', '.join(sorted(found.values))}"
        shown = (f"{name} is {_json(now)}, {_said(told)}" for name, (now, told) in sorted(found.values.items()))
        return f": {'; '.join(shown)}"

    def _write(self, text: str, progress: Progress) -> None:
        progress.interrupt()
        self.stdout.write(text)

    def _sum_up(self, counts: Counts, *, is_repairing: bool) -> None:
        if not self.verbosity:
            return
        repaired = f", {counts.repaired:,} repaired" if is_repairing else ""
        self.stdout.write(f"{_text(counts)}{repaired}.")
        if counts.not_comparable:
            is_one = counts.not_comparable == 1
            whose, have = ("its", "has it") if is_one else ("their", "has them")
            self.stdout.write(
                f"{count_text(counts.not_comparable, 'object')} could not be compared: hooks hold {whose} diffs back, "
                f"or fail, or another database {have}, too."
            )
        if counts.unsettled:
            self.stdout.write(
                f"{count_text(counts.unsettled, 'object')} changed all the time; the next run looks again."
            )


def _text(counts: Counts, *, is_reading: bool = False) -> str:
    if is_reading:
        return f"{count_text(counts.diffs, 'diff')} read"
    return f"{count_text(counts.compared, 'object')} compared, {counts.differences:,} with differences"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _said(told: tuple[Any] | None) -> str:
    return "no diff says so" if told is None else f"the last diff says {_json(told[0])}"


def _chosen(labels: Sequence[str], using: str | None) -> list[Registration]:
    if using is not None and using not in connections:
        raise CommandError(f"--database: there is no {using!r}. {did_you_mean(using, list(connections))}")
    if labels:
        return list(dict.fromkeys(_registration(label, using) for label in labels))
    found = [one for one in registrations() if using is None or using in one.options.databases]
    if not found:
        raise CommandError("No model is registered" + (f" for the database {using!r}." if using else "."))
    return found


def _registration(label: str, using: str | None) -> Registration:
    try:
        registration = find_label(str(apps.get_model(label)._meta.concrete_model._meta.label_lower))
    except (LookupError, ValueError):
        registration = None
    if registration is None:
        known = [one.model._meta.label for one in registrations()]
        raise CommandError(f"{label!r} is no registered model. {did_you_mean(label, known)}")
    if using is not None and using not in registration.options.databases:
        raise CommandError(f"{registration.model._meta.label} isn't recorded on the database {using!r}.")
    return registration


def _seconds(age: Any) -> float:
    try:
        return parse_age(age) / 1_000_000
    except ValueError as error:
        raise CommandError(f"--settle: {error}") from None


@contextlib.contextmanager
def _files(path: str | None) -> Iterator[Baseline | None]:
    """The file that was asked for; what is wrong with it, or with the one for the time of the run, ends the command."""
    try:
        if path is None:
            yield None
        else:
            with contextlib.closing(Baseline(Path(path))) as baseline:
                yield baseline
    except BaselineError as error:
        raise CommandError(f"--state: {error}") from error
    except sqlite3.Error as error:
        raise CommandError(f"SQLite can't keep what was read, in --state or a temporary file: {error}.") from error
