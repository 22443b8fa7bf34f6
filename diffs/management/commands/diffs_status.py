"""``diffs_status``: the server, the feeds, and what would lose or bloat diffs."""

from __future__ import annotations

import json
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from diffs.management import report
from diffs.management.server import upkeep
from diffs.management.status import Status, look


class Command(BaseCommand):
    """Shows the state of the server and its feeds."""

    help = "Shows the server, the feeds of each model, and warns of what would lose or bloat diffs."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--format", choices=["table", "json"], default="table", help="How to show it.")
        parser.add_argument("--check", action="store_true", help="End with an error where there are warnings.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Show it."""
        with upkeep() as work:
            status = look(work)
        if options["format"] == "json":
            self.stdout.write(json.dumps(report.document(status), indent=2))
        else:
            self._write_table(status)
        if options["check"] and status.findings:
            raise CommandError(f"diffs_status has warnings: {', '.join(finding.id for finding in status.findings)}")

    def _write_table(self, status: Status) -> None:
        for line in report.lines(status):
            self.stdout.write(line)
        for finding in status.findings:
            self.stdout.write(f"\n{self.style.WARNING('Warning:')} {finding.message}\n  {finding.advice}")
