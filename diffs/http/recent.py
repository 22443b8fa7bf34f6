"""What this process has read of feeds lately: rendered once, and not fetched again.

A diff keeps its place in a feed as long as the feed holds it. So where the server counts as many behind a reader's
cursor, up to the last one that is known here, as are known here, they are the same, and only what came later is
fetched. Nothing is handed out before the server has counted, and has honoured the cursor.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from diffs import damage
from diffs.codec import Row
from diffs.cursor import Cursor
from diffs.errors import CursorExpired, MemberError
from diffs.keys import FeedName
from diffs.store import Known, Page, Read, Store, Stored

from .documents import Form
from .render import Rendered, render

MAX_ENTRIES = 20_000
MAX_BYTES = 16 * 1024 * 1024
LARGEST_SHARE = 2
"""One feed gets no more than this part of the room, so that a long history doesn't drive out all others."""
_ENTRY_BYTES = 600
_FEED_BYTES = 1000
"""About what a diff, and what a feed takes besides its texts."""

_Name = tuple[FeedName, str]
"""A feed, and the media type of what is kept."""
_Shown = list[Rendered | None]
"""``None`` for a diff that can't be read."""


class Found(NamedTuple):
    """What was read of a feed."""

    rendered: _Shown
    cursor: Cursor
    """Where to go on."""
    more: bool
    """Whether the limit cut something off."""


def trusted(store: Store, request: Read, found: Found) -> Found | CursorExpired:
    """What to answer with what was found.

    Where it holds a diff that can't be read, cursors of the feed are refused from now on, the reader's own at once: an
    answer without the diff would look whole. Who has no cursor yet gets the others, with one that is refused.

    Args:
        store: where the feed is.
        request: what was asked for.
        found: what that gave.

    Raises:
        StoreUnavailable: one can't be read, and the server is away.
    """
    if all(found.rendered):
        return found
    damage.distrust(store, request.feed, found.cursor.timestamp)
    if request.cursor is not None:
        (page,) = store.read([request])
        if isinstance(page, CursorExpired):
            return page
    return found


class Recent:
    """The diffs that were read last, of the feeds that were read last; one for all threads of a process.

    Args:
        max_entries: how many to keep.
        max_bytes: how much memory to take, roughly.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._feeds: OrderedDict[_Name, _Feed] = OrderedDict()
        self._entries = 0
        self.size = 0
        """Bytes, roughly."""

    def __len__(self) -> int:
        return self._entries

    def read(
        self, store: Store, requests: Sequence[Read], owns: Sequence[Row | None], form: Form
    ) -> list[Found | CursorExpired]:
        """Read feeds in one trip, or in two where `Store.read` takes two.

        Args:
            store: where they are.
            requests: what to read: oldest first and without bounds, or a cursor alone.
            owns: for each the object that the feed is named after; ``None`` for a model feed.
            form: how diffs are rendered.

        Returns:
            For each request what was found, or the error that says why its cursor is refused.

        Raises:
            StoreUnavailable: the server is away.
        """
        known = [self._known(request, own, form) for request, own in zip(requests, owns, strict=True)]
        if any(known):
            pages = store.read([_without(request, stretch) for request, stretch in zip(requests, known, strict=True)])
        else:
            pages = store.read(requests)
        return [
            page
            if isinstance(page, CursorExpired)
            else trusted(store, request, self._found(request, own, form, stretch, page))
            for request, own, stretch, page in zip(requests, owns, known, pages, strict=True)
        ]

    def add(self, feed_name: FeedName, own: Row | None, form: Form, page: Page) -> list[Rendered | None]:
        """Take in a page that isn't empty, read without gap behind its start, and render what wasn't yet.

        Args:
            feed_name: whose page it is.
            own: the object that the feed is named after; ``None`` for a model feed.
            form: how diffs are rendered.
            page: what was read.
        """
        name = (feed_name, form.media_type)
        with self._lock:
            feed = self._feeds.setdefault(name, _Feed(feed_name, form))
            self._feeds.move_to_end(name)
        rendered = feed.put(page, own)
        counts = feed.trim(self._max_entries // LARGEST_SHARE, self._max_bytes // LARGEST_SHARE)
        with self._lock:
            if self._feeds.get(name) is feed:
                self._count(feed, counts)
                while self._entries > self._max_entries or self.size > self._max_bytes:
                    self._count(self._feeds.popitem(last=False)[1], (0, 0))
        return rendered

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._feeds.clear()
            self._entries = self.size = 0

    def forget_all(self) -> None:
        """Begin anew in a forked child, where a lock may have been held by a thread that isn't here."""
        self._lock = threading.Lock()
        self.clear()

    def _known(self, request: Read, own: Row | None, form: Form) -> _Stretch | None:
        if request.cursor is None or request.mode != "asc":
            return None
        name = (request.feed.name, form.media_type)
        with self._lock:
            feed = self._feeds.get(name)
            if feed is None:
                return None
            self._feeds.move_to_end(name)
        return feed.behind(request.cursor, own, request.limit)

    def _found(self, request: Read, own: Row | None, form: Form, known: _Stretch | None, page: Page) -> Found:
        rendered: _Shown = []
        # Otherwise the server holds something else: diffs in between, or fewer, as after a failover that lost some.
        if known is not None and page.start == known.last:
            rendered = known.rendered
        if page.stored:
            rendered = rendered + self.add(request.feed.name, own, form, page)
        return Found(rendered, page.cursor, page.more)

    def _count(self, feed: _Feed, counts: tuple[int, int]) -> None:
        self._entries += counts[0] - feed.counted[0]
        self.size += counts[1] - feed.counted[1]
        feed.counted = counts


class _Stretch(NamedTuple):
    """What is known of a feed behind a cursor: all that there is up to the last one, if the server counts as many."""

    rendered: _Shown
    last: int
    """The last one's timestamp."""


class _Feed:
    """What is known of one feed, in one form."""

    def __init__(self, name: FeedName, form: Form) -> None:
        self.counted = (0, 0)
        """The entries and bytes that `Recent` has counted."""
        self._name = name
        self._form = form
        self._lock = threading.Lock()
        self._epoch = ""
        self._own: Row | None = None
        self._size = _FEED_BYTES
        # In the order of the feed, and of equal length.
        self._positions: list[int] = []
        self._stored: list[Stored] = []
        self._rendered: _Shown = []

    def behind(self, cursor: Cursor, own: Row | None, limit: int) -> _Stretch | None:
        """What is known behind a cursor; ``None`` where that is nothing."""
        with self._lock:
            if self._epoch != cursor.epoch or self._own != own:
                return None
            first = bisect_right(self._positions, cursor.timestamp)
            end = min(first + limit, len(self._positions))
            return _Stretch(self._rendered[first:end], self._positions[end - 1]) if first < end else None

    def put(self, page: Page, own: Row | None) -> _Shown:
        """Take in a page that isn't empty, and give what it looks like; nothing is rendered twice."""
        positions = [stored.position for stored in page.stored]
        with self._lock:
            if self._epoch != page.cursor.epoch or self._own != own:
                self._cut(0, len(self._positions))
                self._epoch, self._own = page.cursor.epoch, own
            first, end = bisect_right(self._positions, page.start), bisect_right(self._positions, positions[-1])
            known = dict(zip(self._stored[first:end], self._rendered[first:end], strict=True))
            rendered = [known[stored] if stored in known else self._render(stored) for stored in page.stored]
            self._cut(first, end)
            self._positions[first:first] = positions
            self._stored[first:first] = page.stored
            self._rendered[first:first] = rendered
            self._size += sum(map(_weight, page.stored, rendered))
        return rendered

    def trim(self, max_entries: int, max_bytes: int) -> tuple[int, int]:
        """Forget the oldest where there are too many.

        Returns:
            How many are left, and how many bytes.
        """
        with self._lock:
            while len(self._positions) > 1 and (len(self._positions) > max_entries or self._size > max_bytes):
                self._cut(0, len(self._positions) // 2)
            return len(self._positions), self._size

    def _cut(self, first: int, end: int) -> None:
        self._size -= sum(map(_weight, self._stored[first:end], self._rendered[first:end]))
        del self._positions[first:end], self._stored[first:end], self._rendered[first:end]

    def _render(self, stored: Stored) -> Rendered | None:
        try:
            return render(self._own, stored, self._form)
        except MemberError as error:
            damage.note(self._name, stored.position, error)
            return None


def _without(request: Read, stretch: _Stretch | None) -> Read:
    """The request for what isn't known."""
    if stretch is None:
        return request
    return Read(request.feed, request.limit, request.cursor, known=Known(len(stretch.rendered), stretch.last))


def _weight(stored: Stored, rendered: Rendered | None) -> int:
    """Bytes that a diff takes here, roughly."""
    parts = () if rendered is None else (rendered.part, rendered.part_with_actor)
    return _ENTRY_BYTES + len(stored.member) + sum(len(part.body) for part in parts if part is not None)


recent = Recent()
os.register_at_fork(after_in_child=recent.forget_all)
