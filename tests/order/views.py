"""What a client makes of feeds: it applies what comes in the order in which it comes, and knows nothing of versions."""

from __future__ import annotations

from typing import Any

from diffs.capture.values import row_data
from diffs.registration import require

from .app.models import Parent, Row

Diff = dict[str, Any]
Rows = dict[Any, dict[str, Any]]


class View:
    """Rows that feeds keep in step: those of one model."""

    def __init__(self, feeds: list[str]) -> None:
        self.feeds = feeds
        self.rows: Rows = {}

    def fill(self, feed: str) -> None:
        """Read anew what a feed is about, behind its cursor."""
        raise NotImplementedError

    def apply(self, feed: str, diff: Diff) -> None:
        """Do what a diff says."""
        pk, data = diff["pk"], diff["data"]
        if diff["action"] == "delete":
            self.rows.pop(pk, None)
        elif diff["action"] == "create":
            # Links come behind it, as changes.
            self.rows[pk] = {"tags": [], **data}
        elif pk in self.rows:
            self.rows[pk].update(data)

    def in_database(self) -> Rows:
        """What the rows should be."""
        return read_rows(Row.objects.all())

    def wrong(self) -> list[str]:
        """The rows that aren't as the database has them, described."""
        expected = self.in_database()
        return [
            f"{type(self).__name__} {pk}: {self.rows.get(pk)} instead of {expected.get(pk)}"
            for pk in sorted({*expected, *self.rows}, key=str)
            if self.rows.get(pk) != expected.get(pk)
        ]


class ObjectsView(View):
    """Follows the feeds of all rows, each by itself."""

    def __init__(self, count: int) -> None:
        super().__init__([f"order.row:{pk}" for pk in range(1, count + 1)])

    def fill(self, feed: str) -> None:
        pk = int(feed.partition(":")[2])
        self.rows.pop(pk, None)
        self.rows.update(read_rows(Row.objects.filter(pk=pk)))


class ModelView(View):
    """Follows the feed of all rows."""

    def __init__(self) -> None:
        super().__init__(["order.row"])

    def fill(self, feed: str) -> None:
        self.rows = read_rows(Row.objects.all())


class ParentView(View):
    """Follows a parent's feed: the parent, and those rows that are its own at the time."""

    def __init__(self, parent: int) -> None:
        super().__init__([f"order.parent:{parent}"])
        self._parent = parent

    def fill(self, feed: str) -> None:
        self.rows = self.in_database()

    def apply(self, feed: str, diff: Diff) -> None:
        if diff["model"] == "order.parent":
            self.rows["parent"].update(diff["data"])
            return
        pk = diff["pk"]
        if diff["action"] == "update" and pk not in self.rows:
            # It has come here from elsewhere: of what it was there nothing is known.
            self.rows.update(read_rows(Row.objects.filter(pk=pk)))
        else:
            super().apply(feed, diff)
        if pk in self.rows and self.rows[pk]["parent"] != self._parent:
            del self.rows[pk]

    def in_database(self) -> Rows:
        parent = Parent.objects.get(pk=self._parent)
        return {"parent": row_data(require(Parent), parent), **read_rows(parent.rows.all())}


def read_rows(queryset: Any) -> Rows:
    """Rows by primary key, in the form of diffs."""
    return {row.pk: row_data(require(Row), row) for row in queryset}
