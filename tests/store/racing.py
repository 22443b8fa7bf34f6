"""A process that writes rows, and a reader that follows them, while something happens to the servers.

Each change of a row is its number plus one, written to a file first, which is the database, and then to the row's feed.
So a reader knows of each diff whether it has passed over one, and in the end whether it has what the database has.
"""

from __future__ import annotations

import contextlib
import json
import logging
import mmap
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import django.conf

from diffs.cursor import Cursor, parse
from diffs.errors import CursorExpired, StoreUnavailable
from diffs.store import Entry, FeedRef, Floors, Read, Store, get_store

from .feeds import cursor_now, feed, member
from .processes import ENVIRONMENT, wait_for

FEEDS: list[FeedRef] = [feed(f"polls.question:{pk}") for pk in range(1, 9)]
"""Of different shards."""
NUMBER = struct.Struct("<q")


class Rows:
    """Numbers in a file, which processes share."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(len(FEEDS) * NUMBER.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def __getitem__(self, row: int) -> int:
        (number,) = NUMBER.unpack_from(self._map, row * NUMBER.size)
        return int(number)

    def __setitem__(self, row: int, number: int) -> None:
        NUMBER.pack_into(self._map, row * NUMBER.size, number)


class Writer:
    """The process that writes, as long as the context lasts."""

    def __init__(self, options: Mapping[str, Any], path: Path) -> None:
        self._arguments = [sys.executable, "-m", __name__, json.dumps(options), str(path)]
        self.outages = 0
        """How often it found Redis away; known in the end."""

    def __enter__(self) -> Writer:
        self._process = subprocess.Popen(
            self._arguments, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def finish(self) -> None:
        """Let it end, once whatever it missed is refused."""
        told, _ = self._process.communicate("", timeout=60)
        self.outages = int(told)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


class Reader:
    """Follows all feeds in a thread, as long as the context lasts."""

    def __init__(self, store: Store, rows: Rows) -> None:
        self._store = store
        self._rows = rows
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="reader")
        self.cursors: list[Cursor] = [cursor_now(store, one) for one in FEEDS]
        self.state = [rows[row] for row in range(len(FEEDS))]
        self.read = self.refused = self.away = 0
        self.passed_over: list[tuple[int, int, int]] = []
        """Row, the number before, and the one that came next."""

    def catch_up(self) -> None:
        """Stop, read what is left, and see whether anything is wrong."""
        self._stop()
        for row in range(len(FEEDS)):
            wait_for(lambda row=row: self._poll(row) == 0)  # type: ignore[misc]

    def _poll(self, row: int) -> int | None:
        try:
            page = self._store.read_one(Read(feed=FEEDS[row], limit=500, cursor=self.cursors[row]))
        except CursorExpired as error:
            self.refused += 1
            self.cursors[row] = parse(error.cursor)
            self.state[row] = self._rows[row]
            return None
        except StoreUnavailable:
            self.away += 1
            time.sleep(0.01)
            return None
        for stored in page.stored:
            number = int(stored.member[4:])
            if number > self.state[row] + 1:
                self.passed_over.append((row, self.state[row], number))
            self.state[row] = max(number, self.state[row])
        self.cursors[row] = page.cursor
        self.read += len(page.stored)
        return len(page.stored)

    def _follow(self) -> None:
        while not self._ended.is_set():
            for row in range(len(FEEDS)):
                self._poll(row)

    def _stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()


class Race:
    """What happened."""

    def __init__(self, rows: Rows, reader: Reader, writer: Writer) -> None:
        self._rows = rows
        self._reader = reader
        self._writer = writer

    @property
    def written(self) -> int:
        """How many changes there were so far."""
        return sum(self._rows[row] for row in range(len(FEEDS)))

    @property
    def read(self) -> int:
        """How many diffs the reader got so far."""
        return self._reader.read

    @property
    def refused(self) -> int:
        """How often it was refused so far."""
        return self._reader.refused

    @property
    def outages(self) -> int:
        """How often the writer found Redis away; known in the end."""
        return self._writer.outages

    def go_on(self, changes: int = 400) -> None:
        """Wait for so many changes more, and for half as many diffs."""
        written, read = self.written + changes, self.read + changes // 2
        wait_for(lambda: self.written >= written and self.read >= read, 60)

    def end(self) -> None:
        """Let writer and reader come to their ends: nothing is lost that wasn't refused."""
        self._writer.finish()
        self._reader.catch_up()
        wrong = [row for row in range(len(FEEDS)) if self._reader.state[row] != self._rows[row]]
        print(
            f"written {self.written}, read {self.read}, refused {self.refused}, "
            f"away {self._reader.away} times for the reader and {self._writer.outages} for the writer, "
            f"passed over {len(self._reader.passed_over)}, wrong in the end {len(wrong)}"
        )
        assert self._reader.passed_over == []
        assert wrong == []


@contextlib.contextmanager
def race(store: Store, options: Mapping[str, Any], folder: Path) -> Iterator[Race]:
    """Write and read; the test does something to the servers meanwhile, and calls `Race.end`.

    Args:
        store: what the reader reads from.
        options: what the writing process has as ``DIFFS_SETTINGS["redis"]``.
        folder: for the rows.
    """
    path = folder / "rows"
    rows = Rows(path)
    with Reader(store, rows) as reader, Writer(options, path) as writer:
        happening = Race(rows, reader, writer)
        happening.go_on()
        yield happening


class _Outages(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count what says that Redis went away."""
        self.count += record.getMessage().startswith("Redis is away")


def write(options: Mapping[str, Any], path: Path) -> None:
    """Write until standard input ends."""
    django.conf.settings.configure(DIFFS_SETTINGS={"redis": options})
    outages = _Outages()
    logging.getLogger("diffs").addHandler(outages)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    rows, store = Rows(path), get_store()
    while not ended.is_set():
        for row, one in enumerate(FEEDS):
            rows[row] += 1
            store.append([Entry(one, member(rows[row]))])
            # A reader needs its turns on a machine with few processors.
            time.sleep(0.0002)
    wait_for(lambda: store.raise_floors(Floors()), 60)
    print(outages.count)


if __name__ == "__main__":
    write(json.loads(sys.argv[1]), Path(sys.argv[2]))
