"""Sending in the background: batches in order, a bounded queue, and nothing that is lost without being told."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from diffs.codec import Encoder, version_of
from diffs.store import (
    Entry,
    FeedRef,
    Floors,
    Outcome,
    Read,
    Store,
    close_store,
    drain,
    get_store,
    hand_over,
    outage,
    sender,
)
from diffs.store.sender import Sender
from tests.servers import RedisServer

from .feeds import add, cursor_now, feed, member, neighbours, numbers, read_all, refusal
from .processes import recovery_threads, wait_for

LONG = 600.0
Make = Callable[..., Sender]


class Notes(Store):
    """Writes down what is to be written, and waits while it is told to."""

    def __init__(self) -> None:
        super().__init__(redis.Redis(), "diffs")
        self.writes: list[tuple[list[bytes], Floors | None]] = []
        self.raised: list[Floors] = []
        self.begun = threading.Event()
        self.may_go = threading.Event()
        self.may_go.set()

    def write(self, entries: Sequence[Entry], floors: Floors | None = None, *, keeps: bool = False) -> Outcome:
        self.begun.set()
        assert self.may_go.wait(20)
        self.writes.append(([entry.member for entry in entries], floors))
        return Outcome()

    def raise_floors(self, floors: Floors) -> bool:
        self.raised.append(floors)
        return True

    @property
    def members(self) -> list[bytes]:
        return [member for members, _ in self.writes for member in members]


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def make() -> Iterator[Make]:
    """Senders whose threads end with the test."""
    with contextlib.ExitStack() as stack:

        def made(store: Store) -> Sender:
            new = Sender(store)
            stack.callback(new.close)
            return new

        yield made


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread waits for more diffs than there are."""
    monkeypatch.setattr(sender, "LINGER", LONG)


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[Store]:
    made = Store(redis.Redis(**redis_server.options), "diffs")
    yield made
    made.close()


def entries(*members: bytes) -> list[Entry]:
    return [Entry(feed(), member) for member in members]


def put(to: Sender, *members: bytes, floors: Floors | None = None) -> None:
    """Hand one transaction over."""
    to.put(entries(*members), floors)


def letters(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def senders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "diffs-sender"]


# Batches


def test_p7_of_two_threads_that_hand_over_in_the_wrong_order_the_later_commit_is_sent_last(
    make: Make, store: Store, patient: None
) -> None:
    made = make(store)
    members = {version: Encoder("update", version, bytes(4), {}).own() for version in (5, 7, 9)}
    for version in (7, 5, 9):
        made.put([Entry(feed(), members[version], store.mark(feed().name.shard))])
    assert made.drain()
    assert [stored.member for stored in read_all(store).stored] == [members[5], members[7], members[9]]


@pytest.mark.usefixtures("patient")
def test_diffs_wait_for_more_and_leave_in_one_trip_in_their_order(
    make: Make, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: list[int] = []
    run = store.run

    def counted(calls: Sequence[Any]) -> list[Any]:
        trips.append(len(calls))
        return run(calls)

    monkeypatch.setattr(store, "run", counted)
    made = make(store)
    for number in range(100):
        made.put([Entry(feed(), member(number))])
    assert trips == []
    assert made.drain()
    assert trips == [1]
    assert numbers(read_all(store)) == list(range(100))


@pytest.mark.usefixtures("patient")
def test_p7_what_two_threads_hand_over_in_the_wrong_order_is_put_in_order(make: Make, store: Store) -> None:
    one, two = neighbours(2)
    mark = store.mark(one.name.shard)

    def diff(version: int, to: FeedRef = one) -> Entry:
        return Entry(to, Encoder("update", version, b"nnnn", {"n": version}).own(), mark)

    made = make(store)
    made.put([diff(7), diff(6, two)])
    made.put([diff(5), diff(9, two)])
    assert made.drain()
    assert [version_of(stored.member) for stored in read_all(store, one).stored] == [5, 7]
    assert [version_of(stored.member) for stored in read_all(store, two).stored] == [6, 9]


def test_diffs_leave_by_themselves(make: Make, store: Store) -> None:
    made = make(store)
    for number in range(3):
        made.put([Entry(feed(), member(number))])
        wait_for(lambda: read_all(store).stored)
    wait_for(lambda: numbers(read_all(store)) == [0, 1, 2])


@pytest.mark.usefixtures("patient")
def test_full_batch_leaves_at_once(make: Make, notes: Notes) -> None:
    made = make(notes)
    all_of_them = letters(sender.BATCH_DIFFS)
    for each in all_of_them:
        put(made, each)
    wait_for(lambda: notes.members == all_of_them)


@pytest.mark.usefixtures("patient")
def test_transaction_is_never_torn_apart_and_batches_are_bounded(
    make: Make, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(notes)
    for transaction in (b"a b c d e f", b"a b", b"c d", b"e f", b"g", b"h i j k l m n", b"o", b"p"):
        put(made, *transaction.split())
    wait_for(lambda: made._threshold == sender.BATCH_DIFFS)
    monkeypatch.setattr(sender, "BATCH_DIFFS", 5)
    assert made.drain()
    assert [b" ".join(members) for members, _ in notes.writes] == [
        b"a b c d e f",
        b"a b c d",
        b"e f g",
        b"h i j k l m n",
        b"o p",
    ]


@pytest.mark.usefixtures("patient")
def test_batch_is_bounded_by_bytes_too(make: Make, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "BATCH_BYTES", 10)
    made = make(notes)
    for text in (b"aaaa", b"bbbb", b"cccc", b"dddddddddddddd", b"e"):
        put(made, text)
    assert made.drain()
    assert [b" ".join(members) for members, _ in notes.writes] == [b"aaaa bbbb", b"cccc", b"dddddddddddddd", b"e"]


@pytest.mark.usefixtures("patient")
def test_floors_are_raised_in_their_place(make: Make, notes: Notes) -> None:
    made = make(notes)
    first, second = Floors([feed()]), Floors(everything=True)
    put(made, b"a")
    put(made, b"b", b"c", floors=first)
    put(made, b"d")
    put(made, floors=second)
    put(made, b"e")
    assert made.drain()
    assert notes.writes == [([b"a"], None), ([b"b", b"c", b"d"], first), ([b"e"], second)]


@pytest.mark.usefixtures("patient")
def test_readers_from_before_a_floor_are_refused_and_read_what_comes_behind_it(make: Make, store: Store) -> None:
    made = make(store)
    before = cursor_now(store)
    made.put([Entry(feed(), member(1))])
    made.put([], Floors([feed()]))
    made.drain()
    between = cursor_now(store)
    made.put([Entry(feed(), member(2))])
    made.drain()
    assert refusal(store, before) == "reset"
    assert numbers(store.read_one(Read(feed=feed(), cursor=between, limit=9))) == [2]


@pytest.mark.usefixtures("patient")
def test_writer_wakes_the_sender_no_more_than_once_for_a_burst(
    make: Make, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(notes)
    put(made, b"0")
    wakes: list[int] = []
    wake = made._wake.set

    def counted() -> None:
        wakes.append(made._count)
        wake()

    monkeypatch.setattr(made._wake, "set", counted)
    for each in letters(sender.BATCH_DIFFS)[1:]:
        put(made, each)
    wait_for(lambda: len(notes.members) == sender.BATCH_DIFFS)
    # Where the thread begins late it finds a full batch by itself.
    assert wakes in ([sender.BATCH_DIFFS], [])


def test_all_threads_diffs_arrive_once_and_each_threads_in_order(make: Make, store: Store) -> None:
    made = make(store)
    one, other = neighbours(2)
    count = 400

    def work(writer: int) -> None:
        for number in range(count):
            text = b"%d %d" % (writer, number)
            made.put([Entry(one, text), Entry(other, text)])
            if number % 50 == 49:
                assert made.drain()

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made.drain()
    expected = [[writer, number] for writer in range(4) for number in range(count)]
    for of in (one, other):
        found = [[int(part) for part in stored.member.split()] for stored in read_all(store, of).stored]
        assert sorted(found) == expected
        assert sorted(found, key=lambda pair: pair[0]) == expected


# A queue that is full


@pytest.fixture
def stuck(make: Make, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> Sender:
    """A sender that is in the middle of a trip that doesn't end, with "0" to "9" in a queue that holds no more."""
    monkeypatch.setattr(sender, "LINGER", 0.0)
    monkeypatch.setattr(sender, "MAX_DIFFS", 10)
    monkeypatch.setattr(sender, "FULL_SECONDS", 0.05)
    notes.may_go.clear()
    made = make(notes)
    put(made, b"0")
    assert notes.begun.wait(20)
    for each in letters(10)[1:]:
        put(made, each)
    return made


FULL = "The queue of diffs is full: changes are saved but get no diffs; old cursors will be refused."


def test_p6_commit_that_finds_no_room_waits_for_a_bounded_time_and_its_floors_are_raised_in_its_place(
    stuck: Sender, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    asked = Floors(models=["polls.choice"])
    stuck.put([Entry(feed("polls.question:7"), b"lost"), Entry(feed("polls.question:8"), b"lost")], asked)
    stuck.put([Entry(feed("polls.question:9"), b"lost, too")])
    assert caplog.messages == [FULL]
    notes.may_go.set()
    assert stuck.drain()
    put(stuck, b"later")
    assert stuck.drain()
    assert notes.members == [*letters(10), b"later"]
    ((members, floors),) = [write for write in notes.writes if write[1] is not None]
    assert members in ([], [b"later"])
    assert floors
    assert {str(name) for name in floors.feeds} == {f"polls.question:{pk}" for pk in (7, 8, 9)}
    assert floors.models == {"polls.choice"}
    assert notes.raised == []


def test_p6_after_one_that_waited_in_vain_nobody_waits_until_there_is_room(
    stuck: Sender, notes: Notes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(stuck, b"lost")
    monkeypatch.setattr(sender, "FULL_SECONDS", LONG)
    begin = time.monotonic()
    for _ in range(1000):
        put(stuck, b"lost")
    assert time.monotonic() - begin < 5
    assert caplog.messages == [FULL]
    notes.may_go.set()
    assert stuck.drain()
    assert len(notes.writes) <= 12
    notes.may_go.clear()
    notes.begun.clear()
    put(stuck, b"a")
    assert notes.begun.wait(20)
    for each in letters(10)[1:]:
        put(stuck, each)
    monkeypatch.setattr(sender, "FULL_SECONDS", 0.05)
    put(stuck, b"lost")
    assert caplog.messages == [FULL, FULL]
    notes.may_go.set()


def test_p6_all_who_wait_for_room_give_up_with_the_first(
    stuck: Sender, notes: Notes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sender, "FULL_SECONDS", LONG)
    waiting = [threading.Thread(target=put, args=(stuck, b"lost")) for _ in range(3)]
    for thread in waiting:
        thread.start()
    wait_for(lambda: len(stuck._room._waiters) == 3)  # type: ignore[attr-defined]
    monkeypatch.setattr(sender, "FULL_SECONDS", 0.05)
    put(stuck, b"lost")
    for thread in waiting:
        thread.join(20)
    assert caplog.messages == [FULL]
    notes.may_go.set()
    assert stuck.drain()
    assert notes.members == letters(10)


def test_commit_that_waits_for_room_goes_on_as_soon_as_there_is_some(
    stuck: Sender, notes: Notes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sender, "FULL_SECONDS", LONG)
    waiting = threading.Thread(target=put, args=(stuck, b"10"))
    waiting.start()
    wait_for(lambda: stuck._room._waiters)  # type: ignore[attr-defined]
    notes.may_go.set()
    waiting.join(20)
    assert stuck.drain()
    assert notes.members == letters(11)
    assert caplog.messages == []


@pytest.mark.usefixtures("patient")
def test_queue_is_bounded_by_bytes_too_and_takes_a_transaction_in_as_a_whole(
    make: Make, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "MAX_BYTES", 10)
    monkeypatch.setattr(sender, "FULL_SECONDS", 0.05)
    made = make(notes)
    put(made, b"a" * 9)
    put(made, b"b" * 50)
    put(made, b"c")
    assert made.drain()
    assert notes.members == [b"a" * 9, b"b" * 50]
    assert [floors is not None for _, floors in notes.writes] == [False, True]


def test_p6_thousand_changes_are_not_held_up_by_a_server_that_hangs_and_none_is_lost_silently(
    make: Make, server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outage, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(outage, "LONGEST_PAUSE", 0.2)
    store = Store(redis.Redis(**server.options, socket_timeout=0.5, retry=Retry(NoBackoff(), 0)), "diffs")
    made = make(store)
    one, other = neighbours(2)
    cursors = [cursor_now(store, of) for of in (one, other)]
    server.pause()
    begin = time.monotonic()
    for number in range(1000):
        made.put([Entry(one, member(number))])
    assert time.monotonic() - begin < 5
    wait_for(recovery_threads)
    assert made.drain()
    server.resume()
    wait_for(lambda: not recovery_threads())
    assert [refusal(store, cursor, of) for cursor, of in zip(cursors, (one, other), strict=True)] == ["reset", None]
    assert [message.partition("(")[0] for message in caplog.messages] == ["Redis is away ", "Redis is back."]
    store.close()


# Whatever goes wrong


def test_without_a_thread_diffs_are_sent_at_once(
    make: Make, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    made = make(store)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for number in range(3):
            made.put([Entry(feed(), member(number))])
            assert numbers(read_all(store)) == list(range(number + 1))
    made.put([Entry(feed(), member(3))])
    wait_for(lambda: len(read_all(store).stored) == 4)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_that_died_is_replaced(make: Make, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(notes)
    with monkeypatch.context() as patch:
        patch.setattr(made, "drain", lambda: 1 / 0)
        put(made, b"a")
        wait_for(lambda: made._thread is None)
    assert notes.writes == []
    put(made, b"b")
    wait_for(lambda: notes.members == [b"a", b"b"])


def test_error_of_the_package_itself_is_told_and_does_not_end_the_sender(
    make: Make, notes: Notes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made = make(notes)
    with monkeypatch.context() as patch:
        patch.setattr(notes, "write", lambda *_, **__: 1 / 0)
        put(made, b"a")
        wait_for(lambda: caplog.messages)
        assert made.drain()
    put(made, b"b")
    assert made.drain()
    assert caplog.messages == ["Diffs are lost: refuse the old cursors of their models with diffs.touch()."]
    assert notes.members == [b"b"]


@pytest.mark.usefixtures("patient")
def test_p2_what_an_interruption_left_is_sent_again_and_shows_once(
    make: Make, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(store)
    for number in range(3):
        made.put([Entry(feed(), member(number))])
    write = store.write

    def interrupted(sent: Sequence[Entry], floors: Floors | None, **options: Any) -> None:
        write(sent, floors, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store, "write", interrupted)
        made.drain()
    made.put([Entry(feed(), member(3))])
    assert made.drain()
    assert numbers(read_all(store)) == [0, 1, 2, 3]


@pytest.mark.usefixtures("patient")
def test_who_is_called_by_the_sender_may_hand_diffs_over_but_not_wait_for_them(
    make: Make, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(notes)
    monkeypatch.setattr(sender, "MAX_DIFFS", 2)
    monkeypatch.setattr(sender, "FULL_SECONDS", LONG)
    write, waited = notes.write, []

    def log(sent: Sequence[Entry], floors: Floors | None, **options: Any) -> Outcome:
        put(made, b"by a log handler")
        waited.append(made.drain())
        return write(sent, floors, **options)

    put(made, b"a")
    put(made, b"b")
    with monkeypatch.context() as patch:
        patch.setattr(notes, "write", log)
        assert made.drain()
    assert waited == [False]
    assert made.drain()
    # There was no room for it.
    assert notes.members == [b"a", b"b"]
    assert [floors is not None for _, floors in notes.writes] == [False, True]


@pytest.mark.usefixtures("patient")
def test_signal_handler_may_save_in_the_middle_of_handing_over(
    make: Make, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(notes)
    is_full = made._is_full

    def with_signal() -> bool:
        monkeypatch.setattr(made, "_is_full", is_full)
        put(made, b"by signal")
        return is_full()

    monkeypatch.setattr(made, "_is_full", with_signal)
    put(made, b"a")
    assert made.drain()
    assert notes.members == [b"by signal", b"a"]
    assert (made._count, made._size) == (0, 0)


def test_draining_gives_up_when_its_time_is_over(stuck: Sender, notes: Notes) -> None:
    assert stuck.drain(0.05) is False
    notes.may_go.set()
    assert stuck.drain()
    assert notes.members == letters(10)


@pytest.mark.usefixtures("patient")
def test_draining_stops_between_batches_when_its_time_is_over(
    make: Make, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(notes)
    put(made, *letters(2))
    put(made, b"2")
    put(made, b"3")
    # Or the thread, which begins late, might find a full batch.
    wait_for(lambda: made._threshold == sender.BATCH_DIFFS)
    write = notes.write

    def slowly(sent: Sequence[Entry], floors: Floors | None, **options: Any) -> Outcome:
        outcome = write(sent, floors, **options)
        later = time.monotonic() + LONG
        patch.setattr(time, "monotonic", lambda: later)
        return outcome

    with monkeypatch.context() as patch:
        patch.setattr(sender, "BATCH_DIFFS", 2)
        patch.setattr(notes, "write", slowly)
        assert made.drain() is False
    assert notes.members == [b"0", b"1"]
    assert made.drain()
    assert notes.members == letters(4)


# The end


@pytest.mark.usefixtures("patient")
def test_closing_sends_what_waits_and_ends_the_thread(make: Make, store: Store) -> None:
    made = make(store)
    made.put([Entry(feed(), member(1))])
    assert senders()
    made.close()
    assert senders() == []
    assert numbers(read_all(store)) == [1]
    made.put([Entry(feed(), member(2))])
    assert numbers(read_all(store)) == [1, 2]
    assert senders() == []


def test_p6_what_could_not_be_sent_in_time_raises_floors(
    stuck: Sender, notes: Notes, caplog: pytest.LogCaptureFixture
) -> None:
    stuck.put([], Floors(models=["polls.choice"]))
    begin = time.monotonic()
    stuck.close(0.05)
    assert time.monotonic() - begin < 5
    (floors,) = notes.raised
    assert ({str(name) for name in floors.feeds}, floors.models) == ({"polls.question:1"}, {"polls.choice"})
    assert caplog.messages == [FULL, "Diffs could not be sent in time: old cursors will be refused."]
    notes.may_go.set()
    wait_for(lambda: not senders())
    assert notes.members == [b"0"]


@pytest.fixture
def background(settings: Any, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sender, "LINGER", LONG)
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "flush": "background"}
    yield
    close_store()


@pytest.mark.usefixtures("background")
def test_setting_decides_whether_handing_over_waits_for_redis(settings: Any) -> None:
    hand_over([Entry(feed(), member(1))])
    assert read_all(get_store()).stored == []
    assert drain()
    assert numbers(read_all(get_store())) == [1]
    hand_over([Entry(feed(), member(2))])
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "flush": "commit"}
    # A store that is dropped sends what waits for it.
    assert numbers(read_all(get_store())) == [1, 2]
    assert senders() == []
    hand_over([Entry(feed(), member(3))])
    assert numbers(read_all(get_store())) == [1, 2, 3]
    assert drain()


@pytest.mark.usefixtures("background")
def test_draining_needs_no_store() -> None:
    close_store()
    assert drain()


@pytest.mark.usefixtures("background")
def test_appending_at_once_overtakes_what_waits() -> None:
    """Only what is handed over is queued; the store itself is as ever."""
    hand_over([Entry(feed(), member(1))])
    add(get_store(), 2)
    drain()
    assert numbers(read_all(get_store())) == [2, 1]
