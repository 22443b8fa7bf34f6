"""P1 and P4 in any history: nobody misses a diff or a reset, or is given a diff twice without a reset between."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffs.codec import Encoder, decode
from diffs.cursor import Cursor, parse
from diffs.errors import CursorExpired
from diffs.http.addresses import find_target
from diffs.http.documents import AS_JSON, AS_MSGPACK, Form
from diffs.http.live import tail as module
from diffs.http.live.tail import Place, Tail
from diffs.http.recent import recent
from diffs.http.render import Rendered
from diffs.store import Page, Read, Stored

TARGET = find_target("testapp.notice", "1")


class Server:
    """One feed by the rules of the read script, without windows."""

    def __init__(self) -> None:
        self.number = 0
        """Of the last diff."""
        self.losses: list[int] = []
        """Before which numbers something was lost or dropped."""
        self.epochs = 0
        self.flush()

    def append(self) -> None:
        self.number += 1
        self.clock += 1
        member = Encoder("update", 7, self.number.to_bytes(4, "big"), {"number": self.number}, None).own()
        self.feed.append(Stored(member, self.clock))

    def raise_floor(self) -> None:
        self.clock += 1
        self.floor = self.clock
        self.losses.append(self.number)

    def flush(self, clock: int = 100) -> None:
        self.epochs += 1
        self.epoch = f"epoch{self.epochs:03}"
        self.feed: list[Stored] = []
        self.clock = clock
        self.raise_floor()

    def tick(self) -> None:
        self.clock += 1

    def read(self, request: Read, *, renew: bool = False) -> Page | CursorExpired:
        cursor = request.cursor
        if cursor is not None and (cursor.epoch != self.epoch or not self.floor <= cursor.timestamp <= self.clock):
            return CursorExpired("reset", str(Cursor(self.epoch, self.clock)))
        above = max(cursor.timestamp if cursor else 0, self.floor)
        found = [] if request.mode == "cursor" else [stored for stored in self.feed if stored.position > above]
        shown = found[: request.limit]
        more = len(found) > len(shown)
        if shown and (more or not renew):
            end = shown[-1].position
        elif cursor is None or request.mode == "cursor":
            end = self.clock
        else:
            if renew:
                self.tick()
            end = self.clock if renew else cursor.timestamp
        return Page(shown, Cursor(self.epoch, end), more, above)


@dataclasses.dataclass(eq=False)
class Listener:
    """A client of a stream, with what it was told, and the server's side of its connection."""

    place: Place
    form: Form
    read: Read
    page: Page | CursorExpired | None = None
    """What was read for it, on its way."""
    is_live: bool = False
    last_id: str = ""
    had: list[int] = dataclasses.field(default_factory=list)
    """The diffs since it began, or since the last reset."""
    base: int = 0
    """The number behind which it has to be given all."""
    losses: int = 0
    """How many losses it knows of."""


MAX_LISTENERS = 4


class History:
    """One process that keeps up with a feed, and those who listen to it."""

    def __init__(self) -> None:
        recent.clear()
        self.server = Server()
        self.listeners: list[Listener] = []
        self.open()

    def open(self) -> None:
        """Begin to keep up with the feed."""
        self.tail = Tail(TARGET)
        page = self.server.read(Read(TARGET.feed, mode="cursor"))
        assert isinstance(page, Page)
        self.tail.open(page.cursor)
        self.question: tuple[Read, list[Form]] | None = None
        self.answer: Page | CursorExpired | None = None

    def possible(self) -> Iterator[Callable[[], None]]:
        """What may happen next."""
        yield self.server.append
        yield functools.partial(self.several_diffs_come, 3)
        # Other feeds of the shard get diffs.
        yield self.server.tick
        yield self.server.raise_floor
        # Its clock may have been set back meanwhile.
        yield functools.partial(self.server.flush, 100)
        yield functools.partial(self.server.flush, self.server.clock)
        yield from self.tail_goes_on()
        yield lambda: self.tail.age()
        yield self.process_is_another
        if len(self.listeners) < MAX_LISTENERS:
            for form, from_now in itertools.product((AS_JSON, AS_MSGPACK), (False, True)):
                yield functools.partial(self.client_comes, form, from_now=from_now)
        for listener in self.listeners:
            if listener.last_id:
                yield functools.partial(self.connect, listener)
            if listener.is_live:
                yield functools.partial(self.client_is_told, listener)
                yield functools.partial(self.heart_beats, listener)
            elif listener.page is None:
                yield functools.partial(self.server_reads_for, listener)
            else:
                yield functools.partial(self.page_arrives_for, listener)

    def tail_goes_on(self) -> Iterator[Callable[[], None]]:
        """The process asks, the server answers, the answer arrives."""
        if self.question is None:
            yield self.tail_asks
        elif self.answer is None:
            yield self.server_answers
            yield functools.partial(self.server_answers, renew=True)
        else:
            yield self.tail_takes

    def several_diffs_come(self, count: int) -> None:
        for _ in range(count):
            self.server.append()

    def tail_asks(self) -> None:
        self.question = self.tail.request(), self.tail.forms

    def server_answers(self, *, renew: bool = False) -> None:
        assert self.question is not None
        self.answer = self.server.read(self.question[0], renew=renew)

    def tail_takes(self) -> None:
        assert self.question is not None and self.answer is not None
        (request, forms), answer = self.question, self.answer
        self.question = self.answer = None
        if isinstance(answer, CursorExpired):
            self.tail.refuse(answer)
        else:
            name = request.feed.name
            shown = {form: recent.add(name, TARGET.own, form, answer) for form in forms if answer.stored}
            self.tail.take(answer, shown)

    def process_is_another(self) -> None:
        """All were cut off, and come back later or elsewhere."""
        recent.clear()
        self.open()
        for listener in self.listeners:
            self.connect(listener)

    def connect(self, listener: Listener) -> None:
        """Come with the last id."""
        start = parse(listener.last_id) if listener.last_id else None
        listener.place = Place(self.tail, listener.form)
        listener.read = Read(TARGET.feed, 2, start)
        listener.page, listener.is_live = None, False
        listener.place.begin_reading()
        if start is not None:
            listener.place.epoch, listener.place.at = start

    def client_comes(self, form: Form, *, from_now: bool) -> None:
        listener = Listener(Place(self.tail, form), form, Read(TARGET.feed))
        listener.losses = len(self.server.losses)
        if from_now:
            page = self.server.read(Read(TARGET.feed, mode="cursor"))
            assert isinstance(page, Page)
            listener.last_id = str(page.cursor)
            listener.base = self.server.number
        else:
            listener.base = max(self.server.losses)
        self.connect(listener)
        self.listeners.append(listener)

    def server_reads_for(self, listener: Listener) -> None:
        listener.page = self.server.read(listener.read)
        if listener.read.cursor is None:
            # It has told the client nothing yet: this is where it begins.
            listener.base, listener.losses = max(self.server.losses), len(self.server.losses)

    def page_arrives_for(self, listener: Listener) -> None:
        place, page = listener.place, listener.page
        listener.page = None
        if isinstance(page, CursorExpired):
            place.has_read(parse(page.cursor))
            self.reset(listener)
            listener.is_live = True
            return
        place.epoch = page.cursor.epoch
        if page.stored:
            self.give(listener, recent.add(TARGET.feed.name, TARGET.own, listener.form, page))
        place.has_read(page.cursor, more=page.more)
        if page.more:
            place.begin_reading()
            listener.read = Read(TARGET.feed, 2, Cursor(place.epoch, place.at))
        else:
            listener.is_live = True
            listener.last_id = str(place.cursor)

    def client_is_told(self, listener: Listener) -> None:
        if listener.place.was_reset:
            listener.place.accept_reset()
            self.reset(listener)
        news = listener.place.news
        if news is None:
            listener.last_id = str(listener.place.cursor)
            self.connect(listener)
        else:
            self.give(listener, news)

    def heart_beats(self, listener: Listener) -> None:
        self.client_is_told(listener)
        if listener.is_live:
            listener.last_id = str(listener.place.cursor)

    def give(self, listener: Listener, news: list[Rendered | None]) -> None:
        for one in news:
            assert one is not None
            number = dict(decode(one.stored.member).data)["number"]
            assert not listener.had or number > listener.had[-1], "given twice, or in another order"
            listener.had.append(number)
            listener.place.at = one.stored.position
            listener.last_id = str(Cursor(listener.place.epoch, listener.place.at))

    def reset(self, listener: Listener) -> None:
        listener.last_id = str(listener.place.cursor)
        fresh = parse(listener.last_id)
        listener.had = []
        # What was lost before the fresh cursor was handed out, the client fetches with its objects.
        listener.losses = len(self.server.losses)
        if fresh.epoch != self.server.epoch or fresh.timestamp < self.server.floor:
            # Since then more was lost: that takes another reset.
            listener.losses -= 1
        listener.base = self.number_at(fresh)

    def number_at(self, cursor: Cursor) -> int:
        """The last diff that a cursor has behind it."""
        if cursor.epoch != self.server.epoch:
            return self.server.number
        later = [stored for stored in self.server.feed if stored.position > cursor.timestamp]
        return self.server.number - len(later)

    def check(self) -> None:
        """Nobody has a gap."""
        for listener in self.listeners:
            if listener.had:
                assert listener.had == list(range(listener.base + 1, listener.had[-1] + 1))

    def finish(self) -> None:
        """Let everything arrive, while nothing more happens on the server."""
        for _ in range(100):
            for step in list(self.tail_goes_on()):
                step()
                break
        for listener in self.listeners:
            for _ in range(100):
                if listener.is_live:
                    self.client_is_told(listener)
                elif listener.page is None:
                    self.server_reads_for(listener)
                else:
                    self.page_arrives_for(listener)
            assert listener.losses == len(self.server.losses), "a loss went unnoticed"
            assert listener.had == list(range(listener.base + 1, self.server.number + 1)), "diffs were missed"


@pytest.mark.parametrize("keeps", [2, 1000])
@settings(max_examples=1000)
@given(choices=st.lists(st.integers(0, 255), max_size=120))
def test_p1_p4_in_any_history_nobody_misses_a_diff_or_a_reset(keeps: int, choices: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_ENTRIES", keeps)
        history = History()
        for choice in choices:
            steps = list(history.possible())
            steps[choice % len(steps)]()
            history.check()
        history.finish()
