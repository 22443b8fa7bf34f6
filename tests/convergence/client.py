"""A client that keeps the board in step by nothing but pulling diffs.

Says ``ready`` when it stands at the beginning, pulls until its standard input ends, pulls what is left, and prints
what it has beside what the database has.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import django

FEEDS = ("EWR", "JFK", "LGA")


class Board:
    """The rows that diffs have told of."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.rows: dict[str, dict[str, Any]] = {}
        self.polls = self.received = self.refused = self.twice = 0
        self._ids: set[tuple[str, str]] = set()
        self._cursors = dict.fromkeys(FEEDS, "now")
        self.poll()

    def poll(self) -> bool:
        """Pull a page of each feed; whether anything came."""
        feeds = [f"{cursor}@board.airport:{code}" for code, cursor in self._cursors.items()]
        reply = self._client.get("/diffs/", {"feed": feeds, "limit": 50})
        assert reply.status_code == 200, reply.content
        self.polls += 1
        before = self.received
        for page in reply.json()["feeds"]:
            code = page["feed"].partition(":")[2]
            self.refused += "error" in page
            self._cursors[code] = page.get("error", page)["cursor"]
            for diff in page.get("diffs", ()):
                self._apply(code, diff)
        return self.received > before

    def _apply(self, code: str, diff: dict[str, Any]) -> None:
        self.received += 1
        self.twice += (code, diff["id"]) in self._ids
        self._ids.add((code, diff["id"]))
        if diff["model"] != "board.flight":
            return
        if diff["action"] == "delete":
            self.rows.pop(diff["pk"], None)
        elif diff["action"] == "create":
            self.rows[diff["pk"]] = dict(diff["data"])
        else:
            self.rows[diff["pk"]].update(diff["data"])


def in_database() -> dict[str, dict[str, Any]]:
    """The rows that there are, in the form of diffs."""
    from board.models import Flight

    from diffs.capture.values import row_data
    from diffs.registration import require

    return {flight.pk: row_data(require(Flight), flight) for flight in Flight.objects.all()}


def main() -> None:
    """Follow the board."""
    django.setup()
    from django.test import Client

    board = Board(Client(SERVER_NAME="localhost"))
    print("ready", flush=True)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.wait(0.01):
        board.poll()
    while board.poll():
        pass
    rows = json.loads(json.dumps(in_database(), default=text))
    counts = {name: getattr(board, name) for name in ("polls", "received", "refused", "twice")}
    print(json.dumps({"client": board.rows, "database": rows, **counts}))


def text(value: Any) -> str:
    """A date-time as diffs write it."""
    from diffs.codec import timestamp_text

    return timestamp_text(value)


if __name__ == "__main__":
    main()
