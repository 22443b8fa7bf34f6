"""What a process remembers of feeds: rendered and fetched once, bounded, never handed out against the server's word."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from diffs.codec import Encoder, Row
from diffs.conf import settings
from diffs.cursor import Cursor
from diffs.errors import CursorExpired
from diffs.http import render
from diffs.http.documents import AS_JSON, AS_MSGPACK, Form
from diffs.http.recent import Found, Recent
from diffs.store import Entry, Page, Read, Store, get_store
from diffs.store.connection import connect
from tests.testapp.models import Notice

from .feeds import Feed


class Watched:
    """The store, and how many diffs it gave."""

    def __init__(self) -> None:
        self.fetched = 0

    def read(self, requests: Sequence[Read]) -> list[Page | CursorExpired]:
        answers = get_store().read(requests)
        self.fetched += sum(len(answer.stored) for answer in answers if isinstance(answer, Page))
        return answers


class Process:
    """A process that reads feeds."""

    def __init__(self, **bounds: int) -> None:
        self.recent = Recent(**bounds)
        self.store: Any = Watched()

    def ask(
        self, feed: Feed, cursor: Cursor | None = None, limit: int = 100, form: Form = AS_JSON, own: Row | None = None
    ) -> Found | CursorExpired:
        own = own or Row(feed.registration.label, feed.pk)
        (answer,) = self.recent.read(self.store, [Read(feed=feed.ref, limit=limit, cursor=cursor)], [own], form)
        return answer

    def read(self, *args: Any, **kwargs: Any) -> Found:
        found = self.ask(*args, **kwargs)
        assert isinstance(found, Found)
        return found

    def fetches(self, *args: Any, **kwargs: Any) -> int:
        """How many diffs a reading takes from the server."""
        before = self.store.fetched
        self.read(*args, **kwargs)
        return int(self.store.fetched - before)


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every member that was rendered, one after the other."""
    members: list[bytes] = []
    decode = render.codec.decode

    def watching(member: bytes) -> Any:
        members.append(member)
        return decode(member)

    monkeypatch.setattr(render.codec, "decode", watching)
    return members


def ids(found: Found) -> list[int]:
    """The versions of what was found."""
    return [int.from_bytes(one.stored.member[1:8], "big") for one in found.rendered if one is not None]


def append(feed: Feed, *versions: int, size: int = 0) -> None:
    entries = [
        Entry(feed.ref, Encoder("update", version, bytes(4), {"body": "x" * size}).own()) for version in versions
    ]
    get_store().append(entries)


def at(feed: Feed, index: int) -> Cursor:
    """A cursor behind one of the feed's diffs."""
    return Cursor(feed.now().epoch, feed.stored()[index].position)


# Reading once


def test_what_one_reader_got_is_not_fetched_again_for_another(process: Process, notices: Feed) -> None:
    cursor = notices.now()
    append(notices, 1, 2, 3)

    first, second = (process.read(notices, cursor) for _ in range(2))

    assert (ids(first), process.store.fetched) == ([1, 2, 3], 3)
    assert second == first
    assert process.fetches(notices, at(notices, 0)) == 0


def test_only_what_came_later_is_fetched(process: Process, notices: Feed) -> None:
    cursor = notices.now()
    append(notices, 1, 2, 3)
    process.read(notices, cursor)
    append(notices, 4)

    found = process.read(notices, cursor)

    assert (ids(found), found.more, found.cursor, process.store.fetched) == ([1, 2, 3, 4], False, at(notices, 3), 4)


@pytest.mark.parametrize(("limit", "expected", "more"), [(2, [1, 2], True), (3, [1, 2, 3], False), (1, [1], True)])
def test_what_is_known_is_cut_at_the_limit(
    process: Process, notices: Feed, limit: int, expected: list[int], more: bool
) -> None:
    cursor = notices.now()
    append(notices, 1, 2, 3)
    process.read(notices, cursor)

    found = process.read(notices, cursor, limit)

    assert (ids(found), found.more, found.cursor) == (expected, more, at(notices, limit - 1))
    assert process.store.fetched == 3


def test_reader_without_a_cursor_gets_what_the_server_holds_and_nothing_is_rendered_twice(
    process: Process, notices: Feed, rendered: list[bytes]
) -> None:
    append(notices, 1, 2)
    for _ in range(3):
        assert ids(process.read(notices)) == [1, 2]

    assert (len(rendered), process.fetches(notices, at(notices, 0))) == (2, 0)


def test_gap_between_two_readers_is_closed_by_a_third(process: Process, notices: Feed, rendered: list[bytes]) -> None:
    cursor = notices.now()
    append(notices, 1, 2, 3, 4, 5)
    process.read(notices, cursor, 1)
    process.read(notices, at(notices, 2))

    found = process.read(notices, cursor)

    assert (ids(found), process.store.fetched, len(rendered)) == ([1, 2, 3, 4, 5], 1 + 2 + 5, 5)
    assert process.fetches(notices, cursor) == 0


def test_reader_from_further_back_makes_nothing_be_rendered_again(
    process: Process, notices: Feed, rendered: list[bytes]
) -> None:
    cursor = notices.now()
    append(notices, 1, 2, 3, 4, 5)
    process.read(notices, at(notices, 2))

    assert [ids(process.read(notices, cursor)) for _ in range(2)] == [[1, 2, 3, 4, 5]] * 2
    assert (process.store.fetched, len(rendered)) == (2 + 5, 5)


def test_cursor_between_two_diffs_is_followed_by_the_later_one(process: Process, notices: Feed, other: Feed) -> None:
    append(notices, 1)
    cursor = notices.now()
    append(other, 1)
    between = other.now()
    append(notices, 2, 3)
    process.read(notices, cursor)

    assert ids(process.read(notices, between)) == [2, 3]
    assert process.store.fetched == 2


def test_diff_of_another_form_is_another_one(process: Process, notices: Feed) -> None:
    cursor = notices.now()
    append(notices, 1)
    for form in (AS_JSON, AS_MSGPACK, AS_JSON, AS_MSGPACK):
        (one,) = process.read(notices, cursor, form=form).rendered
        assert one is not None and one.part.body[:1] == (b"{" if form is AS_JSON else b"\x87")

    assert process.store.fetched == 2


def test_empty_pages_take_no_room(process: Process, notices: Feed) -> None:
    process.read(notices)
    process.read(notices, notices.now())

    assert (len(process.recent), process.recent.size) == (0, 0)


def test_several_feeds_are_read_at_once_each_from_where_it_is_known(process: Process, notices: Feed) -> None:
    feeds = [Feed(Notice, number) for number in (1, 2, 3)]
    cursors = [feed.now() for feed in feeds]
    for feed in feeds:
        append(feed, 1, 2)
    process.read(feeds[1], cursors[1])
    requests = [Read(feed=feed.ref, limit=9, cursor=cursor) for feed, cursor in zip(feeds, cursors, strict=True)]
    requests[2] = Read(feed=feeds[2].ref, limit=9, cursor=Cursor("00000000", 0))

    first, second, refused = process.recent.read(process.store, requests, [Row("testapp.notice", 1)] * 3, AS_JSON)

    assert isinstance(first, Found) and isinstance(second, Found) and isinstance(refused, CursorExpired)
    assert (ids(first), ids(second)) == ([1, 2], [1, 2])


# The server has the last word


def test_p4_what_is_known_of_a_cleared_feed_is_not_handed_out(process: Process, notices: Feed) -> None:
    cursor = notices.now()
    append(notices, 1, 2)
    process.read(notices, cursor)
    get_store().clear(notices.ref)
    append(notices, 3)

    assert isinstance(process.ask(notices, cursor), CursorExpired)
    assert ids(process.read(notices)) == [3]


def test_p4_what_is_known_of_a_flushed_server_is_not_handed_out(process: Process, notices: Feed) -> None:
    cursor = notices.now()
    append(notices, 1, 2)
    process.read(notices, cursor)
    get_store().client.flushdb()
    fresh = notices.now()
    append(notices, 3)

    assert isinstance(process.ask(notices, cursor), CursorExpired)
    assert ids(process.read(notices, fresh)) == [3]
    assert process.fetches(notices, fresh) == 0


def test_diff_of_an_earlier_epoch_is_told_from_one_of_the_same_moment(process: Process, notices: Feed) -> None:
    standing = Store(connect(), settings.prefix, now=lambda: "1700000000000000")
    process.store = standing
    versions = []
    for version in (1, 2):
        standing.client.flushdb()
        request = Read(feed=notices.ref, mode="cursor")
        cursor = standing.read_one(request).cursor
        standing.append([Entry(notices.ref, Encoder("update", version, bytes(4), {}).own())])
        versions += ids(process.read(notices, cursor))
    standing.close()

    assert versions == [1, 2]


def test_page_from_before_a_flush_that_arrives_after_it_does_no_harm(process: Process, notices: Feed) -> None:
    append(notices, 1)
    (late,) = get_store().read([Read(feed=notices.ref, limit=9)])
    get_store().client.flushdb()
    fresh = notices.now()
    append(notices, 2)
    process.read(notices, fresh)
    process.store = Answering(late)
    process.read(notices)
    process.store = Watched()

    assert ids(process.read(notices, fresh)) == [2]


class Answering:
    """A store whose answer is known."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def read(self, requests: Sequence[Read]) -> list[Any]:
        return [self._answer]


@pytest.mark.parametrize("lost", [[0], [2], [0, 1, 2]])
def test_what_a_failover_lost_is_forgotten(process: Process, notices: Feed, lost: list[int]) -> None:
    cursor = notices.now()
    append(notices, 1, 2, 3)
    process.read(notices, cursor)
    members = [stored.member for stored in notices.stored()]
    get_store().client.zrem(get_store().keys.feed(notices.ref.name), *[members[index] for index in lost])
    left = [version for index, version in enumerate((1, 2, 3)) if index not in lost]

    assert [ids(process.read(notices, cursor)) for _ in range(2)] == [left, left]


def test_object_whose_primary_key_looks_otherwise_now_is_rendered_anew(process: Process, notices: Feed) -> None:
    cursor = notices.now()
    append(notices, 1)
    bodies = []
    for pk in (1, "1", 1):
        (one,) = process.read(notices, cursor, own=Row("testapp.notice", pk)).rendered
        assert one is not None
        bodies.append(one.part.body)

    assert (bodies[0] == bodies[2], b'"pk":1,' in bodies[0], b'"pk":"1",' in bodies[1]) == (True, True, True)


ROOMS = st.sampled_from([2, 8, 100])
POLLS = st.tuples(st.integers(0, 12), st.integers(1, 5), st.booleans())


@hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(steps=st.lists(st.one_of(st.integers(1, 3), st.just("clear"), POLLS), max_size=25), room=ROOMS)
def test_process_gives_what_the_server_gives_whoever_reads_from_wherever(
    notices: Feed, steps: list[Any], room: int
) -> None:
    process, versions = Process(max_entries=room), iter(range(1, 1000))
    cursors = [notices.now()]
    for step in steps:
        if step == "clear":
            get_store().clear(notices.ref)
        elif isinstance(step, int):
            append(notices, *(next(versions) for _ in range(step)))
        else:
            index, limit, from_the_oldest = step
            cursor = None if from_the_oldest else cursors[index % len(cursors)]
            (expected,) = get_store().read([Read(feed=notices.ref, limit=limit, cursor=cursor)])
            answer = process.ask(notices, cursor, limit)
            if isinstance(expected, Page):
                assert isinstance(answer, Found)
                assert [one and one.stored for one in answer.rendered] == expected.stored
                assert (answer.cursor, answer.more) == (expected.cursor, expected.more)
                cursors.append(expected.cursor)
            else:
                assert isinstance(answer, CursorExpired) and answer.reason == expected.reason
    get_store().clear(notices.ref)


# Room


@pytest.fixture
def other() -> Feed:
    """Another feed, in the same shard, and so under the same clock."""
    feeds = (Feed(Notice, number) for number in range(2, 10_000))
    return next(feed for feed in feeds if feed.ref.name.shard == Feed(Notice, 1).ref.name.shard)


def fill(process: Process, count: int, **kwargs: Any) -> list[Feed]:
    """Read so many feeds with a diff each, the first one first."""
    feeds = [Feed(Notice, number) for number in range(1, count + 1)]
    for feed in feeds:
        append(feed, 1, **kwargs)
        process.read(feed)
    return feeds


def test_entries_are_bounded() -> None:
    process = Process(max_entries=3)
    fill(process, 10)

    assert len(process.recent) == 3


def test_bytes_are_bounded() -> None:
    process = Process(max_bytes=30_000)
    fill(process, 50, size=1000)

    assert 4 < len(process.recent) < 20
    assert 15_000 < process.recent.size <= 30_000


def test_feeds_that_were_read_last_are_kept() -> None:
    process = Process(max_entries=3)
    feeds = [Feed(Notice, number) for number in range(4)]
    cursors = [feed.now() for feed in feeds]
    for feed in feeds:
        append(feed, 1)
    for index in (0, 1, 2, 0, 3):
        process.read(feeds[index], cursors[index])

    assert [process.fetches(feeds[index], cursors[index]) for index in (0, 2, 3, 1)] == [0, 0, 0, 1]


def test_long_history_leaves_room_for_others_and_is_forgotten_from_its_beginning(notices: Feed, other: Feed) -> None:
    process = Process(max_entries=20)
    start = other.now()
    append(other, 1, 2, 3)
    process.read(other, start)
    cursor = notices.now()
    append(notices, *range(1, 101))
    for _ in range(10):
        cursor = process.read(notices, cursor, 10).cursor

    assert process.fetches(other, start) == 0
    assert process.fetches(notices, at(notices, 97)) == 0
    assert process.fetches(notices, at(notices, 9), 5) == 5


def test_room_is_given_back() -> None:
    process = Process(max_entries=1)
    fill(process, 5, size=1000)
    after_large_ones = process.recent.size
    append(Feed(Notice, 6), 1)
    process.read(Feed(Notice, 6))

    assert 1000 < process.recent.size < after_large_ones < 4000
    process.recent.clear()
    assert (len(process.recent), process.recent.size) == (0, 0)


# Threads and forks


def in_threads(count: int, task: Callable[[int], None]) -> list[BaseException]:
    """Run a task in several threads that begin at once; what they raised."""
    start, wrong = threading.Barrier(count), []

    def run(number: int) -> None:
        try:
            start.wait()
            task(number)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def test_threads_that_read_the_same_at_once_render_it_once(
    process: Process, notices: Feed, rendered: list[bytes]
) -> None:
    cursor = notices.now()
    append(notices, *range(200))

    def read(number: int) -> None:
        assert ids(process.read(notices, cursor, 1000)) == list(range(200))

    assert in_threads(8, read) == []
    assert len(rendered) == 200


@pytest.mark.parametrize("max_entries", [3, 40, 20_000])
def test_threads_get_whole_pages_while_others_write_and_room_runs_out(max_entries: int) -> None:
    process = Process(max_entries=max_entries)
    feeds = [Feed(Notice, number) for number in range(1, 4)]
    starts = [feed.now() for feed in feeds]

    def work(number: int) -> None:
        feed, start = feeds[number % 3], starts[number % 3]
        if number < 3:
            for version in range(60):
                append(feed, version)
            return
        random_ = random.Random(number)
        seen: list[int] = []
        cursor = start
        while len(seen) < 60:
            found = process.read(feed, cursor, random_.choice([1, 7, 100]))
            seen += ids(found)
            cursor = found.cursor if random_.random() < 0.9 else start
            seen = seen if cursor != start else []
            assert seen == list(range(len(seen)))

    assert in_threads(12, work) == []
    assert len(process.recent) <= max_entries
    process.recent.clear()
    assert (len(process.recent), process.recent.size) == (0, 0)


def test_forked_child_begins_anew_also_where_a_thread_was_reading(
    monkeypatch: pytest.MonkeyPatch, notices: Feed
) -> None:
    process = Process()
    monkeypatch.setattr("diffs.http.recent.recent", process.recent)
    append(notices, 1)
    process.read(notices)
    (known,) = process.recent._feeds.values()
    with process.recent._lock, known._lock:
        child = os.fork()
        if child == 0:
            status = 1
            signal.alarm(20)
            with contextlib.suppress(BaseException):
                process.recent.forget_all()
                status = 0 if len(process.recent) == 0 and ids(process.read(notices)) == [1] else 2
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
