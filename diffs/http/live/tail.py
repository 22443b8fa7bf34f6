"""What feeds have got lately, for those who listen to them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from diffs.codec import Row
from diffs.cursor import Cursor, parse
from diffs.errors import CursorExpired
from diffs.http.addresses import Target
from diffs.http.documents import Form
from diffs.http.render import Rendered
from diffs.store import FeedRef, Page, Read

MAX_ENTRIES = 1000
MAX_BYTES = 1024 * 1024
"""Of one feed in one form: who falls behind by more has to read from Redis again."""


class Listener(Protocol):
    """Whoever waits for news."""

    places: Sequence[Place]
    """Where it stands in its feeds."""

    def wake(self) -> None:
        """A feed has news; must return at once."""


class Log:
    """The last diffs of a feed in one form, without a gap.

    Args:
        start: what comes after this timestamp is here; microseconds.
    """

    def __init__(self, start: int) -> None:
        self.made: dict[int, tuple[int, bytes]] = {}
        """What was made of `after`, by `index`: where it ends, and how it is sent. Most who listen stand between the
        same two diffs, whatever else moved the clock where they came."""
        self.begin(start)

    def begin(self, start: int) -> None:
        """Forget everything, and begin anew."""
        self._start = start
        self._positions: list[int] = []
        self._rendered: list[Rendered] = []
        self._size = 0
        self._old = start
        self.made.clear()

    def add(self, rendered: Iterable[Rendered | None]) -> None:
        """Add what came behind the last, but not what can't be read."""
        old = len(self._positions)
        for one in rendered:
            if one is not None:
                self._positions.append(one.stored.position)
                self._rendered.append(one)
                self._size += len(one.part.body)
        # Nobody has had the new ones yet: they stay, however many they are, until others come.
        while old and (len(self._positions) > MAX_ENTRIES or self._size > MAX_BYTES):
            number = (old + 1) // 2
            self._cut(number)
            old -= number
        self.made.clear()

    def index(self, at: int) -> int | None:
        """Where those begin that came after a timestamp; ``None``: that isn't known any more."""
        return None if at < self._start else bisect_right(self._positions, at)

    def after(self, at: int) -> list[Rendered] | None:
        """What came after a timestamp; ``None``: that isn't known any more."""
        index = self.index(at)
        return None if index is None else self._rendered[index:]

    def age(self) -> None:
        """Forget what was here when this was called last."""
        self._cut(bisect_right(self._positions, self._old))
        self._old = self._positions[-1] if self._positions else self._start

    def _cut(self, number: int) -> None:
        if number:
            self._start = self._positions[number - 1]
            self._size -= sum(len(one.part.body) for one in self._rendered[:number])
            del self._positions[:number], self._rendered[:number]
            self.made.clear()


class Tail:
    """The end of a feed, as far as it was read.

    Args:
        target: the feed.
    """

    def __init__(self, target: Target) -> None:
        self.feed: FeedRef = target.feed
        self.own: Row | None = target.own
        self.cursor: Cursor | None = None
        """Up to where it was read; ``None`` until `open`."""
        self.refusal: CursorExpired | None = None
        """Why the last cursor was refused."""
        self.resets = 0
        """How often cursors were."""
        self.listeners: set[Listener] = set()
        self._logs: dict[Form, Log] = {}

    def open(self, cursor: Cursor) -> None:
        """Begin at a cursor."""
        self.cursor = cursor

    def log(self, form: Form) -> Log:
        """The diffs in one form, from now on at the least."""
        if form not in self._logs:
            self._logs[form] = Log(self.position)
        return self._logs[form]

    @property
    def forms(self) -> list[Form]:
        """Those that are listened to."""
        return list(self._logs)

    @property
    def position(self) -> int:
        """The timestamp up to which it was read, microseconds."""
        return -1 if self.cursor is None else self.cursor.timestamp

    def request(self) -> Read:
        """What to read next."""
        return Read(self.feed, MAX_ENTRIES, self.cursor)

    def take(self, page: Page, rendered: Mapping[Form, Sequence[Rendered | None]]) -> bool:
        """Take in what `request` gave.

        Args:
            page: what was read.
            rendered: its diffs in each of the `forms` of then.

        Returns:
            Whether that was done; if not, another form is wanted by now, and it has to be read again.
        """
        if page.stored:
            if not self._logs.keys() <= rendered.keys():
                return False
            for form, log in self._logs.items():
                log.add(rendered[form])
        self.cursor = page.cursor
        return True

    def refuse(self, refusal: CursorExpired) -> None:
        """`request` was refused: all who listen have to begin anew."""
        self.refusal = refusal
        self.resets += 1
        self.cursor = parse(refusal.cursor)
        for log in self._logs.values():
            log.begin(self.position)

    def age(self) -> None:
        """Forget the diffs that were here when this was called last."""
        for log in self._logs.values():
            log.age()


class Place:
    """Where one listener stands in a feed.

    Args:
        tail: the feed's, already open.
        form: in which it wants diffs.
    """

    __slots__ = ("_log", "_resets", "_safe", "at", "epoch", "tail")

    def __init__(self, tail: Tail, form: Form) -> None:
        self.tail = tail
        self._log = tail.log(form)
        self._resets = tail.resets
        self._safe: Cursor | None = tail.cursor
        self.epoch = ""
        self.at = -1
        """Everything up to this timestamp was given; microseconds."""

    def begin_reading(self) -> None:
        """Whatever is read from now on holds all that came before."""
        self._safe = self.tail.cursor
        self._resets = self.tail.resets

    def has_read(self, cursor: Cursor, *, more: bool = False) -> None:
        """Stand where a page ended that was read since `begin_reading`.

        Args:
            cursor: the page's.
            more: whether there was more behind it.
        """
        self.epoch, self.at = cursor
        if not more and self._safe is not None and self._safe.epoch == cursor.epoch:
            # Nothing else came until then, and from there on it is known.
            self.at = max(self.at, self._safe.timestamp)

    @property
    def was_reset(self) -> bool:
        """Whether what the listener has is no longer to be relied on."""
        return self._resets != self.tail.resets

    def accept_reset(self) -> CursorExpired:
        """Go on from the fresh cursor of the error that is returned."""
        refusal = self.tail.refusal
        assert refusal is not None
        self._resets = self.tail.resets
        self.epoch, self.at = parse(refusal.cursor)
        return refusal

    @property
    def news(self) -> list[Rendered] | None:
        """What came since; ``None``: too much, it has to be read again."""
        return self._log.after(self.at) if self._is_known else []

    def take_made(self) -> bytes | None:
        """What was made of `news` for another listener, who stood here; then this one stands behind them, too."""
        index = self._log.index(self.at)
        made = None if index is None else self._log.made.get(index)
        if made is None or self.was_reset or not self._is_known:
            return None
        self.at, sent = made
        return sent

    def keep_made(self, before: int, sent: bytes) -> None:
        """Keep what was made of `news` for others.

        Args:
            before: where this listener stood.
            sent: how all are sent that came from then until where it stands now.
        """
        index = self._log.index(before)
        if index is not None and self._is_known:
            self._log.made[index] = self.at, sent

    @property
    def cursor(self) -> Cursor:
        """From where to go on, should the listener have been given everything."""
        cursor = self.tail.cursor
        if cursor is not None and self._is_known and cursor.timestamp > self.at and self._log.after(self.at) == []:
            return cursor
        return Cursor(self.epoch, self.at)

    @property
    def _is_known(self) -> bool:
        """Whether the listener and the tail speak of the same data."""
        return self.tail.cursor is not None and self.tail.cursor.epoch == self.epoch
