"""``relay_diffs``: sends what is left in the outbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser
from django.db import Error, connections

from diffs.capture.relay import AT_ONCE, Relayed, relay
from diffs.conf import NAME, did_you_mean, settings
from diffs.errors import ConfigurationError
from diffs.management.amounts import count_text
from diffs.management.progress import Progress
from diffs.management.waiting import in_database, recorded_aliases
from diffs.store import drain

STOPPED = 130
"""What shells report of a process that Ctrl-C has ended."""
WATCHED_GRACE = 1.0
"""While it stays, what is younger is left to those who have just written it, in seconds."""


class Command(BaseCommand):
    """Sends what a killed process or an outage of Redis has left in the outbox."""

    help = (
        "Sends the diffs that are left in the outbox, oldest first. Processes that commit do so, too, every few "
        "seconds; where none does for a while, or where an outage left much, run this. Several at once are safe."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--watch", action="store_true", help="Stay, and send what is left again and again.")
        parser.add_argument(
            "--interval", type=float, default=1.0, metavar="SECONDS", help="With --watch: how often to look (1)."
        )
        parser.add_argument(
            "--batch-size",
            type=int,
            default=AT_ONCE,
            metavar="N",
            help=f"How many rows of the outbox are sent together ({AT_ONCE}).",
        )
        parser.add_argument(
            "--database",
            action="append",
            metavar="ALIAS",
            help="Only this database's outbox; may be repeated. All whose changes are recorded unless given.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Relay, tell how far it is, and sum up."""
        if options["batch_size"] < 1 or options["interval"] <= 0:
            raise CommandError("--batch-size and --interval take positive numbers.")
        aliases = _aliases(options["database"])
        self.verbosity = options["verbosity"]
        self._progress = Progress(self.stdout, every_step=self.verbosity > 1)
        self._sum = Relayed()
        try:
            if options["watch"]:
                self._watch(aliases, options["batch_size"], options["interval"])
            else:
                self._run(aliases, options["batch_size"], 0.0)
        except KeyboardInterrupt:
            raise CommandError("Stopped. What is left stays in the outbox.", returncode=STOPPED) from None
        except ConfigurationError as error:
            raise CommandError(str(error)) from None
        except Error as error:
            raise CommandError(f"The outbox can't be read ({error}). Has manage.py migrate been run?") from None
        finally:
            self._progress.finish()
            if self.verbosity:
                self.stdout.write(f"{_text(self._sum)}.")
        if self._sum.left:
            raise CommandError(
                f"Redis didn't take {count_text(self._sum.left, 'row')}: they stay in the outbox. Run this again."
            )

    def _watch(self, aliases: Sequence[str], batch_size: int, interval: float) -> None:
        while True:
            self._sum = self._sum._replace(left=0)
            try:
                self._run(aliases, batch_size, WATCHED_GRACE)
            except Error as error:
                # The database may be back the next time.
                self.stderr.write(self.style.WARNING(f"The outbox can't be read ({error}); this is tried again."))
            for alias in aliases:
                connections[alias].close_if_unusable_or_obsolete()
            time.sleep(interval)

    def _run(self, aliases: Sequence[str], batch_size: int, grace: float) -> None:
        """Send what each database has now."""
        for alias in aliases:
            waiting = in_database(alias)
            if waiting.rows:
                self._progress.total = waiting.rows
                self._show(0, waiting.text)
                self._relay(alias, batch_size, grace)

    def _relay(self, alias: str, batch_size: int, grace: float) -> None:
        done = above = 0
        while True:
            relayed = relay(alias, limit=batch_size, grace=grace, above=above)
            self._sum = _added(self._sum, relayed)
            done, above = done + relayed.rows, relayed.last
            self._show(done, f"{alias}: {_text(self._sum)}")
            if relayed.left or relayed.rows < batch_size:
                # What takes the place of late diffs may wait for a thread.
                drain()
                return

    def _show(self, done: int, text: str) -> None:
        if self.verbosity:
            self._progress.show(done, text)


def _aliases(given: Sequence[str] | None) -> Sequence[str]:
    """The databases whose outboxes are wanted."""
    known = list(connections)
    for alias in given or ():
        if alias not in known:
            raise CommandError(f"DATABASES has no {alias!r}. {did_you_mean(alias, known)}")
    if given:
        return list(dict.fromkeys(given))
    if not settings.outbox:
        raise CommandError(
            f"{NAME}['outbox'] is off. To send what was left from before it was turned off, name the database: "
            "--database default"
        )
    return recorded_aliases()


def _added(total: Relayed, more: Relayed) -> Relayed:
    counts: Callable[[str], int] = lambda name: getattr(total, name) + getattr(more, name)  # noqa: E731
    return Relayed(**{name: counts(name) for name in Relayed._fields[:-1]}, last=more.last)


def _text(relayed: Relayed) -> str:
    return (
        f"{count_text(relayed.rows, 'row')} sent: {count_text(relayed.sent, 'diff')} delivered, {relayed.late:,} read "
        f"again, {count_text(relayed.refused, 'feed')} refused, {relayed.left:,} left"
    )
