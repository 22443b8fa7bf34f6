"""``flush: "background"`` in whole programs: how they end, fork and are killed, and what Redis's absences cost them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction

import diffs
from diffs.errors import CursorExpired, StoreUnavailable
from diffs.store import Store, close_store, drain, outage, sender
from diffs.testing import assertDiffs, captured_diffs, fresh_store
from tests.servers import RedisServer
from tests.store.processes import wait_for
from tests.testapp.models import Question

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 60.0
LONG = 600.0

Program = Callable[..., "subprocess.Popen[str]"]

LATE = "sender.LINGER = 600"
SETUP = """
import atexit, multiprocessing, os, signal, sys, threading, time
import django
{before}
django.setup()
from diffs.store import drain, sender
from tests.testapp.models import Question
{settings}
question = Question.objects.get(pk={pk})
def save(*votes):
    for number in votes:
        question.votes = number
        question.save(update_fields=["votes"])
def say(word):
    os.write(1, word.encode() + b"\\n")
"""


@pytest.fixture
def question() -> Question:
    made: Question = Question.objects.create(text="Still there?")
    return made


@pytest.fixture
def program(process_env: dict[str, str]) -> Iterator[Program]:
    """Start programs whose diffs are sent in the background: late, unless they set it otherwise."""
    started: list[subprocess.Popen[str]] = []

    def start(
        code: str, *, pk: int, before: str = "", settings: str = LATE, redis: RedisServer | None = None
    ) -> subprocess.Popen[str]:
        environment = {**process_env, "DIFFS_TEST_FLUSH": "background"}
        if redis is not None:
            environment["DIFFS_TEST_REDIS_SOCKET"] = str(redis.socket)
        text = SETUP.format(before=before, settings=settings, pk=pk) + code
        process = subprocess.Popen(
            [sys.executable, "-c", text],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def votes_of(question: Question) -> list[int]:
    return [diff.data["votes"] for diff in question.diffs if diff.action == "update"]


# How programs end

ENDS: dict[str, tuple[str, str, int]] = {
    "nothing more to do": ("", "save(1, 2, 3)", 0),
    "sys.exit": ("", "save(1, 2, 3); sys.exit(3)", 3),
    "an error": ("", "save(1, 2, 3); raise ValueError", 1),
    "Ctrl-C": ("", "save(1, 2, 3); signal.raise_signal(signal.SIGINT)", -signal.SIGINT),
    "SIGTERM as servers handle it": (
        "",
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); save(1, 2, 3); signal.raise_signal(signal.SIGTERM)",
        0,
    ),
    "a thread that outlives the main one": (
        "",
        "threading.Thread(target=lambda: (threading.main_thread().join(), save(1, 2, 3))).start()",
        0,
    ),
    "a function that saves at the end": ("", "save(1); atexit.register(save, 2, 3)", 0),
    "a function that saves after all others": ("atexit.register(lambda: save(2, 3))", "save(1)", 0),
    "the first save after all others": ("atexit.register(lambda: save(1, 2, 3))", "", 0),
    "a child of multiprocessing": (
        "",
        "child = multiprocessing.get_context('fork').Process(target=save, args=(1, 2, 3)); child.start(); child.join()",
        0,
    ),
    "a child of multiprocessing behind its parent": (
        "",
        "save(1)\n"
        "django.db.connection.close()\n"
        "child = multiprocessing.get_context('fork').Process(target=save, args=(2,)); child.start(); child.join()\n"
        "save(3)",
        0,
    ),
    "os._exit behind drain()": ("", "save(1, 2, 3); assert drain(); os._exit(0)", 0),
}


@pytest.mark.parametrize("end", ENDS)
def test_program_that_ends_has_sent_everything(question: Question, program: Program, end: str) -> None:
    before, code, status = ENDS[end]
    process = program(code, before=before, pk=question.pk)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, errors
    assert votes_of(question) == [1, 2, 3]


def test_program_that_ends_by_os_exit_loses_what_waits(question: Question, program: Program) -> None:
    process = program("save(1, 2); drain(); save(3); os._exit(0)", pk=question.pk)
    process.communicate(timeout=PATIENCE)
    assert votes_of(question) == [1, 2]
    question.refresh_from_db()
    assert question.votes == 3


KILLED = """
others = {others}
def work(pk):
    mine = Question.objects.get(pk=pk)
    for number in range(1, 10**9):
        mine.votes = number
        mine.save(update_fields=["votes"])
        if number == 200:
            say("warm")
for pk in others:
    threading.Thread(target=work, args=(pk,), daemon=True).start()
time.sleep(600)
"""


@pytest.mark.database
def test_program_that_is_killed_loses_the_end_of_each_row_s_changes_and_nothing_before_it(program: Program) -> None:
    questions = [Question.objects.create(text="?") for _ in range(2)]
    code = KILLED.format(others=[one.pk for one in questions])
    process = program(code, settings="", pk=questions[0].pk)
    assert process.stdout
    assert [process.stdout.readline() for _ in questions] == ["warm\n"] * 2
    process.kill()
    process.wait(PATIENCE)
    for one in questions:
        one.refresh_from_db()
        delivered = votes_of(one)
        assert delivered == list(range(1, len(delivered) + 1))
        assert 0 < len(delivered) <= one.votes
        print(f"{one.votes} committed, {len(delivered)} delivered")


RELOADED = """
from django.http import HttpResponse
from django.urls import path
from diffs.store import sender
from tests.testapp.models import Question
sender.LINGER = 600
def save(request, votes):
    question = Question.objects.get()
    question.votes = votes
    question.save(update_fields=["votes"])
    return HttpResponse("saved")
urlpatterns = [path("<int:votes>/", save)]
"""


@pytest.mark.slow
def test_development_server_that_reloads_has_sent_everything(
    question: Question, process_env: dict[str, str], tmp_path: Path
) -> None:
    urls = tmp_path / "reloaded_urls.py"
    urls.write_text(RELOADED)
    (tmp_path / "reloaded_settings.py").write_text("from tests.settings import *\nROOT_URLCONF = 'reloaded_urls'\n")
    environment = {
        **process_env,
        "DIFFS_TEST_FLUSH": "background",
        "DJANGO_SETTINGS_MODULE": "reloaded_settings",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{process_env['PYTHONPATH']}",
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"

    def is_saved(votes: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}/{votes}/", timeout=10) as reply:
                return bool(reply.read() == b"saved")
        except OSError:
            return False

    process = subprocess.Popen(
        [sys.executable, "-m", "django", "runserver", "--skip-checks", address],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: is_saved(1), PATIENCE)
        assert is_saved(2)
        assert votes_of(question) == []
        # A change that comes before the reloader has seen the file is none.
        wait_for(lambda: os.utime(urls) or votes_of(question) == [1, 2], PATIENCE)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)


# How they fork

FORKS = """
import json, os, sys, threading, time
import django.conf
django.conf.settings.configure(
    DIFFS_SETTINGS={"redis": {"unix_socket_path": sys.argv[1]}, "flush": "background"}
)
from diffs.keys import parse_feed
from diffs.store import Entry, FeedRef, Store, drain, hand_over, sender
feed = FeedRef(parse_feed("polls.question:1"), 3600 * 10**6)
log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND)
write = Store.write
def noted(store, entries, floors=None, **options):
    os.write(log, b"".join(b"%d %s\\n" % (os.getpid(), entry.member) for entry in entries))
    return write(store, entries, floors, **options)
Store.write = noted
def put(writer, numbers):
    for number in numbers:
        hand_over([Entry(feed, b"%s %d" % (writer, number))])
def work(writer):
    number = 0
    while not done.is_set():
        put(writer, [number])
        number += 1
        time.sleep(0)
    counts[writer] = number
done, counts = threading.Event(), {}
threads = [threading.Thread(target=work, args=(b"t%d" % thread,)) for thread in range(3)]
for thread in threads:
    thread.start()
children = []
for number in range(20):
    put(b"main", [number])
    child = os.fork()
    if child == 0:
        put(b"c%d" % number, range(50))
        assert drain()
        os._exit(0)
    children.append(child)
    time.sleep(0.01)
statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
done.set()
for thread in threads:
    thread.join()
counts[b"main"] = 20
counts.update({b"c%d" % number: 50 for number in range(20)})
print(json.dumps([statuses, {writer.decode(): count for writer, count in counts.items()}]), flush=True)
"""


def test_diffs_are_sent_once_by_who_made_them_however_much_is_forked_meanwhile(
    redis_server: RedisServer, process_env: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.touch()
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS, str(redis_server.socket), str(log)],
        env=process_env,
        stdout=subprocess.PIPE,
        check=True,
        timeout=PATIENCE,
    )
    statuses, counts = json.loads(done.stdout)
    assert statuses == [0] * 20
    written = [f"{writer} {number}" for writer, count in counts.items() for number in range(count)]
    sent = [line.split(" ", 1) for line in log.read_text().splitlines()]
    assert Counter(text for _, text in sent) == Counter(written)
    processes = {text: process for process, text in sent}
    assert len({processes[f"c{number} 0"] for number in range(20)}) == 20
    assert len({processes[f"{writer} 0"] for writer in ("main", "t0", "t1", "t2")}) == 1
    stored = [member.decode() for member in redis_server.cli("ZRANGE", key_of(redis_server), 0, -1)]
    assert sorted(stored) == sorted(written)
    for writer, count in counts.items():
        mine = [text for text in stored if text.split()[0] == writer]
        assert mine == [f"{writer} {number}" for number in range(count)]


def key_of(server: RedisServer) -> bytes:
    (key,) = server.cli("KEYS", "*:feed:*")
    assert isinstance(key, bytes)
    return key


def test_process_that_forks_sends_first_what_waits(question: Question, program: Program) -> None:
    """As daemons do: the parent leaves without a word."""
    process = program("save(1, 2, 3); os.fork(); os._exit(0)", pk=question.pk)
    process.wait(PATIENCE)
    assert votes_of(question) == [1, 2, 3]


# Redis's absences


@pytest.fixture
def background(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process sends in the background, when it is asked to or a batch is full."""
    monkeypatch.setattr(sender, "LINGER", LONG)
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "flush": "background"}
    yield
    close_store()


@pytest.mark.usefixtures("server", "background")
def test_p6_no_save_waits_for_a_server_that_hangs(
    question: Question, server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sender, "LINGER", 0.0)
    monkeypatch.setattr(outage, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(outage, "LONGEST_PAUSE", 0.2)
    drain()
    cursor = question.diffs.cursor
    server.pause()
    longest = 0.0
    begin = time.monotonic()
    while not caplog.messages or question.votes < 300:
        question.votes += 1
        before = time.monotonic()
        question.save(update_fields=["votes"])
        longest = max(longest, time.monotonic() - before)
        assert before - begin < PATIENCE
    said = [message.partition(" (")[0] for message in caplog.messages]
    server.resume()
    # Written at once, one of them would have waited for the timeout.
    assert longest < 1.0
    assert said == ["Redis is away"]
    assert drain()
    with pytest.raises(CursorExpired):
        wait_for(lambda: is_read(question, cursor))


def is_read(question: Question, cursor: str) -> bool:
    try:
        return list(question.diffs.since(cursor)) != []
    except StoreUnavailable:
        return False


def test_p6_program_that_ends_while_redis_is_away_is_not_kept_and_says_what_to_do(
    question: Question, server: RedisServer, program: Program
) -> None:
    process = program("say('ready'); sys.stdin.readline(); save(1, 2, 3)", redis=server, pk=question.pk)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    server.pause()
    begin = time.monotonic()
    _, errors = process.communicate("\n", timeout=PATIENCE)
    server.resume()
    assert process.returncode == 0, errors
    assert time.monotonic() - begin < 15
    advice = [line for line in errors.splitlines() if "diffs.touch()" in line]
    assert advice == [
        "Redis is still away, and this process won't ask again: once it is back, refuse the old cursors of "
        "testapp.question with diffs.touch()."
    ]


def test_p6_program_that_ends_when_redis_is_back_refuses_what_it_missed(
    question: Question, server: RedisServer, program: Program
) -> None:
    cursor = question.diffs.cursor
    code = "save(1, 2, 3); drain(); say('missed'); sys.stdin.readline()"
    begin = "from diffs.store import outage; outage.FIRST_PAUSE = 600; sys.stdin.readline()"
    process = program(code, settings=begin, redis=server, pk=question.pk)
    server.pause()
    assert process.stdin and process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "missed\n"
    server.resume()
    assert list(question.diffs.since(cursor)) == []
    process.communicate("\n", timeout=PATIENCE)
    assert process.returncode == 0
    with pytest.raises(CursorExpired):
        list(question.diffs.since(cursor))


FOLLOWED = """
pks = {pks}
from diffs.store import outage
outage.FIRST_PAUSE, outage.LONGEST_PAUSE = 0.05, 0.2
stop = threading.Event()
def work(pk):
    mine = Question.objects.get(pk=pk)
    while not stop.is_set():
        mine.votes += 1
        mine.save(update_fields=["votes"])
        time.sleep(0.0005)
threads = [threading.Thread(target=work, args=(pk,)) for pk in pks]
for thread in threads:
    thread.start()
say("begun")
sys.stdin.readline()
stop.set()
for thread in threads:
    thread.join()
# The outage ends when the floors are raised, while this process lives.
from diffs.store import get_store
while True:
    try:
        get_store().check()
        break
    except Exception:
        time.sleep(0.05)
assert drain()
from diffs.capture import late
say(str(late.counts["late"]))
"""


class Reader:
    """Follows an object as a client does, and notices what is missing."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.read = self.refused = self.missing = 0
        self.cursor = ""
        self.value = 0

    def follow(self) -> None:
        try:
            if not self.cursor:
                self._fetch()
            feed = self.question.diffs.since(self.cursor)
            for diff in feed:
                number = diff.data["votes"]
                # What came before the object was fetched is no news.
                if number > self.value:
                    self.missing += number - self.value - 1
                    self.value = number
                    self.read += 1
            self.cursor = feed.cursor
        except CursorExpired:
            self.refused += 1
            self.cursor = ""
        except StoreUnavailable:
            time.sleep(0.02)

    def _fetch(self) -> None:
        self.cursor = self.question.diffs.cursor
        self.question.refresh_from_db()
        self.value = max(self.value, self.question.votes)


@pytest.mark.slow
@pytest.mark.database
def test_p6_nothing_is_lost_silently_however_often_redis_goes(
    server: RedisServer, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(outage, "LONGEST_PAUSE", 0.2)
    questions = [Question.objects.create(text="?") for _ in range(2)]
    readers = [Reader(one) for one in questions]
    code = FOLLOWED.format(pks=[one.pk for one in questions])
    process = program(code, settings="", redis=server, pk=questions[0].pk)
    assert process.stdout
    assert process.stdout.readline() == "begun\n"

    def follow(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for reader in readers:
                reader.follow()

    for _ in range(2):
        for fault, mend in (
            (server.kill, server.restart),
            (server.pause, server.resume),
            (lambda: server.cli("FLUSHALL"), lambda: None),
        ):
            follow(0.5)
            fault()
            follow(0.3)
            mend()
    follow(0.5)
    late, errors = process.communicate("\n", timeout=PATIENCE)
    assert process.returncode == 0, errors

    def is_up_to_date() -> bool:
        for reader in readers:
            reader.follow()
            reader.question.refresh_from_db()
        return all(reader.value == reader.question.votes for reader in readers)

    wait_for(is_up_to_date)
    for reader in readers:
        told = f"written {reader.question.votes}, read {reader.read}, refused {reader.refused}, lost {reader.missing}"
        print(told)
        assert reader.refused >= 2, told
        assert reader.read > 0, told
    # What came late, as after the flush nobody knew what was lost, was replaced by a reading of its row.
    assert sum(reader.missing for reader in readers) <= int(late)


# In this process


@pytest.mark.usefixtures("background")
def test_feed_lags_behind_until_what_waits_is_sent(question: Question) -> None:
    assert len(question.diffs) == 0
    assert drain()
    assert [diff.action for diff in question.diffs] == ["create"]


@pytest.mark.database
@pytest.mark.usefixtures("background")
def test_p5_rolled_back_changes_are_never_queued_and_a_transaction_leaves_in_one_trip(
    question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain()
    writes: list[int] = []
    write = Store.write

    def counted(store: Store, entries: Any, floors: Any = None, **options: Any) -> Any:
        writes.append(len(entries))
        return write(store, entries, floors, **options)

    monkeypatch.setattr(Store, "write", counted)
    with transaction.atomic():
        for votes in (1, 2):
            question.votes = votes
            question.save(update_fields=["votes"])
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            question.votes = 3
            question.save(update_fields=["votes"])
            raise ZeroDivisionError
        assert drain()
        assert writes == []
    assert drain()
    assert writes == [2]
    assert votes_of(question) == [1, 2]


@pytest.mark.usefixtures("background")
def test_touching_refuses_in_its_place(question: Question) -> None:
    drain()
    before = question.diffs.cursor
    Question.objects.filter(pk=question.pk).update(votes=1)
    diffs.touch(question)
    with diffs.disabled():
        Question.objects.filter(pk=question.pk).update(votes=2)
    Question.objects.filter(pk=question.pk).update(votes=3)
    drain()
    with pytest.raises(CursorExpired) as caught:
        list(question.diffs.since(before))
    assert list(question.diffs.since(caught.value.cursor)) == []
    assert votes_of(question) == [3]


@pytest.mark.usefixtures("background")
def test_clearing_takes_what_waits_along(question: Question) -> None:
    question.diffs.clear()
    assert drain()
    assert list(question.diffs) == []


@pytest.mark.usefixtures("background")
def test_commands_see_what_waits(question: Question) -> None:
    call_command("prune_diffs", "--older-than", "0", verbosity=0)
    assert drain()
    assert list(question.diffs) == []


@pytest.mark.usefixtures("background")
def test_assertions_and_captures_wait_for_what_is_sent_in_the_background(
    question: Question, redis_server: RedisServer
) -> None:
    assertDiffs(question, [{"action": "create"}])
    question.votes = 1
    question.save(update_fields=["votes"])
    with captured_diffs() as made:
        for votes in (2, 3):
            question.votes = votes
            question.save(update_fields=["votes"])
    assertDiffs(made, [("update", {"votes": 2}), ("update", {"votes": 3})])
    before = sorted(redis_server.cli("KEYS", "*"))
    with fresh_store():
        question.votes = 4
        question.save(update_fields=["votes"])
    assert sorted(redis_server.cli("KEYS", "*")) == before
