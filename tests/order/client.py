"""A process that follows feeds by pulling them, and then compares what it has with the database."""

from __future__ import annotations

import time
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any

from django.test import Client

from .operations import PARENTS
from .scenario import Scenario
from .versioned import VersionedView
from .views import ModelView, ObjectsView, ParentView, View

PATIENCE = 60.0
"""How long a client waits for an answer, in seconds."""


class Follower:
    """Pulls feeds and lets views make something of them.

    Args:
        rows: how many there are.
        limit: of a page.
    """

    def __init__(self, rows: int, limit: int) -> None:
        self._http = Client(SERVER_NAME="localhost")
        self._limit = limit
        self.versioned = VersionedView()
        self.views: list[View] = [ObjectsView(rows), ModelView(), *map(ParentView, PARENTS), self.versioned]
        self._feeds = list(dict.fromkeys(feed for view in self.views for feed in view.feeds))
        self._cursors = dict.fromkeys(self._feeds, "now")
        self._seen: set[tuple[str, str]] = set()
        self.counts: Counter[str] = Counter(polls=0, received=0, refused=0, unavailable=0, twice=0)

    def begin(self) -> None:
        """Take cursors, then read the rows."""
        while not self._pages():
            time.sleep(0.1)
        for feed in self._feeds:
            self._fill(feed)

    def poll(self) -> bool | None:
        """Pull a page of each feed; whether anything came. ``None``: Redis is away."""
        pages = self._pages()
        if not pages:
            return None
        moved = False
        for page in pages:
            feed = page["feed"]
            if "error" in page:
                self.counts["refused"] += 1
                self._fill(feed)
                moved = True
            for diff in page.get("diffs", ()):
                self._apply(feed, diff)
                moved = True
        return moved

    def catch_up(self) -> None:
        """Pull until nothing is left."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.poll()) is not False:
            assert time.monotonic() < deadline, "Redis doesn't come back."
            if found is None:
                time.sleep(0.1)

    def compare(self) -> dict[str, list[str]]:
        """The rows that are wrong, for one who applies diffs as they come, and for one who looks at versions."""
        in_order = [view for view in self.views if view is not self.versioned]
        return {"wrong": [text for view in in_order for text in view.wrong()], "versioned": self.versioned.wrong()}

    def _pages(self) -> list[dict[str, Any]]:
        feeds = [f"{self._cursors[feed]}@{feed}" for feed in self._feeds]
        reply = self._http.get("/diffs/", {"feed": feeds, "limit": self._limit})
        self.counts["polls"] += 1
        if reply.status_code == 503:
            self.counts["unavailable"] += 1
            return []
        assert reply.status_code == 200, reply.content
        pages: list[dict[str, Any]] = reply.json()["feeds"]
        for page in pages:
            error = page.get("error", page)
            assert error.get("status", 410) == 410, error
            self._cursors[page["feed"]] = error["cursor"]
        return pages

    def _fill(self, feed: str) -> None:
        for view in self.views:
            if feed in view.feeds:
                view.fill(feed)

    def _apply(self, feed: str, diff: dict[str, Any]) -> None:
        self.counts["received"] += 1
        self.counts["twice"] += (feed, diff["id"]) in self._seen
        self._seen.add((feed, diff["id"]))
        for view in self.views:
            if feed in view.feeds:
                view.apply(feed, diff)


def follow(line: Connection, scenario: Scenario, pace: float, limit: int) -> dict[str, Any]:
    """Say ``ready``, pull until something is said on the line, pull what is left, and compare; go on after ``compare``.

    Args:
        line: to whoever runs this.
        scenario: what it takes part in.
        pace: seconds between polls.
        limit: of a page.

    Returns:
        How often what was done.
    """
    follower = Follower(scenario.rows, limit)
    follower.begin()
    line.send("ready")
    while True:
        while not line.poll(pace):
            follower.poll()
        if line.recv() != "compare":
            return dict(follower.counts)
        follower.catch_up()
        line.send(follower.compare())
