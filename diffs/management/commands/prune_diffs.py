"""``prune_diffs``: removes old diffs at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from django.apps import apps
from django.core.management import BaseCommand, CommandError, CommandParser

from diffs.conf import did_you_mean
from diffs.management.amounts import count_text, parse_age, size_text
from diffs.management.progress import Progress
from diffs.management.server import upkeep
from diffs.registration import find_label, registrations, window_of
from diffs.store import PruneResult, Upkeep

STOPPED = 130
"""What shells report of a process that Ctrl-C has ended."""

Labels = Sequence[str | None]


class Command(BaseCommand):
    """Removes diffs that are older than their model's window, or than an age."""

    help = (
        "Removes old diffs from all feeds at once, to make room. It need not be run: feeds trim themselves as they are "
        "written to, and idle ones expire."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--older-than",
            metavar="AGE",
            help="Remove what is older than this (90s, 10m, 1.5h, 2d; a bare number is seconds), instead of what is "
            "older than each model's window. Cursors from before are refused.",
        )
        parser.add_argument(
            "--model",
            action="append",
            metavar="APP.MODEL",
            help="Only this model's feeds; may be repeated. A model that is no longer registered may have feeds, too.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Count what would go, and change nothing.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prune, tell how far it is, and sum up."""
        ages = _ages(options["older_than"])
        labels = _labels(options["model"])
        self.verbosity = options["verbosity"]
        progress = Progress(self.stdout, every_step=self.verbosity > 1)
        results: dict[str | None, PruneResult] = {}
        try:
            with upkeep() as work:
                if progress.is_terminal:
                    self._count(work, labels, progress)
                for label in labels:
                    for result in work.prune(ages, label, dry_run=options["dry_run"]):
                        results[label] = result
                        done = _Sum(results)
                        self._show(progress, done.feeds, done.text(options["dry_run"]))
        except KeyboardInterrupt:
            raise CommandError("Stopped half-way. Run it again for the rest.", returncode=STOPPED) from None
        finally:
            progress.finish()
            if results:
                self._sum_up(results, dry_run=options["dry_run"])

    def _count(self, work: Upkeep, labels: Labels, progress: Progress) -> None:
        """A bar needs to know how much there is to do."""
        count = 0
        for label in labels:
            for names in work.feeds(label):
                count += len(names)
                self._show(progress, 0, f"Counting: {count_text(count, 'feed')}")
        progress.total = count

    def _show(self, progress: Progress, done: int, text: str) -> None:
        if self.verbosity:
            progress.show(done, text)

    def _sum_up(self, results: dict[str | None, PruneResult], *, dry_run: bool) -> None:
        if not self.verbosity:
            return
        done = _Sum(results)
        if dry_run:
            self.stdout.write(f"{done.text(dry_run)}, about {size_text(done.freed)} to free. Nothing was changed.")
        else:
            self.stdout.write(f"{done.text(dry_run)}, {size_text(done.freed)} freed.")
        for label, result in results.items():
            if label is not None and find_label(label) is None and not (result.feeds or result.wrong_type):
                known = [registration.label for registration in registrations()]
                self._warn(f"There are no feeds of {label!r}, which is not registered. {did_you_mean(label, known)}")
        wrong = [key for result in results.values() for key in result.wrong_type]
        if wrong:
            self._warn(f"Left alone, because they hold no feeds (keys of another type): {', '.join(wrong)}")

    def _warn(self, text: str) -> None:
        self.stderr.write(self.style.WARNING(text))


class _Sum:
    def __init__(self, results: dict[str | None, PruneResult]) -> None:
        self.feeds = sum(result.feeds for result in results.values())
        self.removed = sum(result.removed for result in results.values())
        self.freed = sum(result.freed for result in results.values())

    def text(self, dry_run: bool) -> str:
        removed = f"{count_text(self.removed, 'diff')} {'to remove' if dry_run else 'removed'}"
        return f"{count_text(self.feeds, 'feed')} seen, {removed}"


def _ages(older_than: Any) -> Callable[[str], tuple[int, int]]:
    """For a model's label its window and the age above which its diffs go."""
    if older_than is None:
        return lambda label: (window_of(label), window_of(label))
    try:
        age = parse_age(older_than)
    except ValueError as error:
        raise CommandError(f"--older-than: {error}") from None
    return lambda label: (window_of(label), age)


def _labels(given: Sequence[str] | None) -> Labels:
    """The models' labels as feeds have them, each once; ``None`` for all models."""
    return list(dict.fromkeys(map(_label, given))) if given else [None]


def _label(given: str) -> str:
    if not re.fullmatch(r"[^.:\s]+\.[^.:\s]+", given):
        raise CommandError(f"--model takes a model's label, such as polls.Question, and not {given!r}.")
    try:
        model: Any = apps.get_model(given)._meta.concrete_model
    except LookupError:
        app, _, name = given.partition(".")
        return f"{app}.{name.lower()}"
    return str(model._meta.label_lower)
