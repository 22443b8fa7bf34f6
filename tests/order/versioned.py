"""What a client makes of feeds that looks at versions, as the package's own one does."""

from __future__ import annotations

from typing import Any

from diffs import client
from diffs.diff import Diff

from .app.models import Row
from .views import Rows, View, read_rows


class VersionedView(View):
    """Follows the feed of all rows, and lets a late diff change nothing that a later one has said.

    Links are left out: the diff of a creation says nothing of them, and where the deletion before it comes late the row
    keeps those that it had then.
    """

    def __init__(self) -> None:
        super().__init__(["order.row"])
        self._kept = client.Rows()

    def fill(self, feed: str) -> None:
        self._kept.clear()
        for pk, data in read_rows(Row.objects.all()).items():
            self._kept.put("order.row", pk, data)

    def apply(self, feed: str, diff: dict[str, Any]) -> None:
        fields = ("id", "action", "data", "model", "pk")
        told = {name: diff[name] for name in fields}
        self._kept.apply(Diff(**told, position=diff["timestamp"], cursor="", version=int(diff["version"])))

    def in_database(self) -> Rows:
        return {pk: _without_links(data) for pk, data in super().in_database().items()}

    def wrong(self) -> list[str]:
        self.rows = {pk: _without_links(data) for (_, pk), data in self._kept.items()}
        return super().wrong()


def _without_links(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "tags"}
