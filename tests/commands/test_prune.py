"""`prune_diffs`: what goes, what stays, and what it says."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from textwrap import dedent
from typing import Any

import pytest
from django.core.management import call_command

from diffs.conf import microseconds
from diffs.errors import CursorExpired, StoreUnavailable
from diffs.keys import parse_feed
from diffs.management.amounts import count_text
from diffs.management.commands.prune_diffs import Command
from diffs.registration import require
from diffs.store import Entry, FeedRef, PruneResult, Upkeep, get_store
from tests.servers import RedisServer
from tests.testapp.models import Question

from .conftest import MINUTE, Fill, Run
from .test_progress import Terminal

Sizes = Callable[[], dict[str, int]]

FEEDS = {
    "testapp.question:1": [50 * MINUTE, 20 * MINUTE, 5],
    "testapp.question:2": [30 * MINUTE],
    "testapp.choice:1": [40 * MINUTE, 1],
    "testapp.ticker:1": [50, 5],
    "gone.model:7": [20 * MINUTE],
}
HELD = {
    "testapp.question:1": 3,
    "testapp.question:2": 1,
    "testapp.choice:1": 2,
    "testapp.ticker:1": 2,
    "gone.model:7": 1,
}

pytestmark = pytest.mark.store


@pytest.fixture
def filled(fill: Fill, sizes: Sizes) -> None:
    fill(FEEDS)
    assert sizes() == HELD


def shorten(monkeypatch: pytest.MonkeyPatch, model: Any, seconds: float) -> None:
    """Give a model another window."""
    # It is told once, and kept.
    monkeypatch.setitem(vars(require(model)), "_own_window", microseconds(seconds))


@pytest.mark.usefixtures("filled")
def test_nothing_goes_while_all_is_within_its_window(run: Run, sizes: Sizes) -> None:
    assert run("prune_diffs").out == "5 feeds seen, 0 diffs removed, 0 bytes freed.\n"
    assert sizes() == HELD


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    "dialect",
    [{"protocol": protocol, "decode_responses": is_text} for protocol in (2, 3) for is_text in (False, True)],
    ids=str,
)
def test_each_model_s_own_window_decides(
    run: Run, sizes: Sizes, settings: Any, monkeypatch: pytest.MonkeyPatch, dialect: dict[str, Any]
) -> None:
    raw = settings.DIFFS_SETTINGS
    settings.DIFFS_SETTINGS = {**raw, "redis": {**raw["redis"], **dialect}, "max_element_age": 35 * MINUTE}
    shorten(monkeypatch, Question, 25 * MINUTE)
    ran = run("prune_diffs")
    assert ran.out.startswith("5 feeds seen, 3 diffs removed, ")
    assert ran.out.endswith(" bytes freed.\n")
    # The question's window is 25 minutes, the ticker's one, all others' 35; what became empty is gone.
    assert sizes() == {
        "testapp.question:1": 2,
        "testapp.choice:1": 1,
        "testapp.ticker:1": 2,
        "gone.model:7": 1,
    }


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("age", "left"),
    [
        ("2d", HELD),
        ("45m", {**HELD, "testapp.question:1": 2}),
        ("10m", {"testapp.question:1": 1, "testapp.choice:1": 1, "testapp.ticker:1": 2}),
        ("30", {"testapp.question:1": 1, "testapp.choice:1": 1, "testapp.ticker:1": 1}),
        ("0", {}),
    ],
)
def test_older_than_decides_instead_of_the_windows(run: Run, sizes: Sizes, age: str, left: dict[str, int]) -> None:
    removed = sum(HELD.values()) - sum(left.values())
    assert run("prune_diffs", "--older-than", age).out.startswith(
        f"5 feeds seen, {count_text(removed, 'diff')} removed, "
    )
    assert sizes() == left


@pytest.mark.usefixtures("filled")
def test_age_may_be_given_as_a_number_to_call_command(sizes: Sizes) -> None:
    call_command("prune_diffs", older_than=600, verbosity=0)
    assert sizes() == {"testapp.question:1": 1, "testapp.choice:1": 1, "testapp.ticker:1": 2}


@pytest.mark.usefixtures("filled")
def test_cursors_from_before_what_went_are_refused(run: Run) -> None:
    before = list(Question.diffs.for_object(1))
    run("prune_diffs", "--older-than", "10m")
    feed = Question.diffs.for_object(1)
    for diff in before[:2]:
        with pytest.raises(CursorExpired):
            list(feed.since(diff.cursor))
    assert list(feed) == before[2:]
    assert list(feed.since(before[2].cursor)) == []


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("models", "left"),
    [
        (["testapp.Question"], {"testapp.choice:1": 2, "testapp.ticker:1": 2, "gone.model:7": 1}),
        (["testapp.question", "testapp.QUESTION"], {"testapp.choice:1": 2, "testapp.ticker:1": 2, "gone.model:7": 1}),
        (["testapp.HotQuestion"], {"testapp.choice:1": 2, "testapp.ticker:1": 2, "gone.model:7": 1}),
        (["gone.Model"], {name: count for name, count in HELD.items() if name != "gone.model:7"}),
        (["testapp.Choice", "gone.model", "testapp.Ticker"], {"testapp.question:1": 3, "testapp.question:2": 1}),
    ],
)
def test_only_the_models_named_are_pruned(run: Run, sizes: Sizes, models: list[str], left: dict[str, int]) -> None:
    ran = run("prune_diffs", "--older-than", "0", *(part for model in models for part in ("--model", model)))
    assert (ran.error, ran.err, sizes()) == (None, "", left)
    assert ran.out.startswith(f"{count_text(len(HELD) - len(left), 'feed')} seen, ")


def test_model_feed_goes_with_its_model(run: Run, fill: Fill, sizes: Sizes) -> None:
    fill({"testapp.airport": [30], "testapp.airport:1": [30], "testapp.airportlounge:1": [30]})
    assert run("prune_diffs", "--older-than", "0", "--model", "testapp.Airport").out.startswith("2 feeds seen, 2 diffs")
    assert sizes() == {"testapp.airportlounge:1": 1}


@pytest.mark.usefixtures("filled")
def test_dry_run_counts_and_changes_nothing(run: Run, sizes: Sizes, redis_server: RedisServer) -> None:
    def dump() -> dict[Any, Any]:
        client = get_store().client
        return {key: client.dump(key) for key in client.scan_iter()}

    before = dump()
    ran = run("prune_diffs", "--older-than", "10m", "--dry-run")
    assert ran.lines[0].startswith("5 feeds seen, 5 diffs to remove, about ")
    assert ran.lines[0].endswith(" bytes to free. Nothing was changed.")
    assert dump() == before


def test_unknown_model_without_feeds_is_taken_for_a_slip(run: Run) -> None:
    ran = run("prune_diffs", "--model", "testapp.Qestion")
    assert ran.error is None
    assert ran.err == (
        "There are no feeds of 'testapp.qestion', which is not registered. Did you mean 'testapp.question'?\n"
    )


@pytest.mark.parametrize("label", ["", "question", "testapp.", ".question", "testapp.question:1", "a b.c", "a.b.c"])
def test_what_is_no_label_is_an_error(run: Run, label: str) -> None:
    ran = run("prune_diffs", "--model", label)
    assert str(ran.error) == f"--model takes a model's label, such as polls.Question, and not {label!r}."


@pytest.mark.parametrize("age", ["soon", "-5m", "1h30m", ""])
def test_what_is_no_age_is_an_error(run: Run, age: str) -> None:
    ran = run("prune_diffs", f"--older-than={age}")
    assert str(ran.error) == (
        "--older-than: An age is a number of seconds, or a number with s, m, h or d: 90, 90s, 10m, 1.5h, 2d."
    )
    assert ran.error is not None
    assert ran.error.returncode == 1


def test_keys_of_another_type_are_named_and_left_alone(run: Run, fill: Fill) -> None:
    fill({"testapp.question:1": [30]})
    wrong = get_store().keys.feed(parse_feed("testapp.question:2"))
    get_store().client.set(wrong, "not mine")
    ran = run("prune_diffs", "--older-than", "0")
    assert ran.out.startswith("1 feed seen, 1 diff removed, ")
    assert ran.err == f"Left alone, because they hold no feeds (keys of another type): {wrong}\n"
    assert get_store().client.get(wrong) in (b"not mine", "not mine")


def test_other_keys_and_other_prefixes_are_not_touched(run: Run, fill: Fill, settings: Any) -> None:
    client = get_store().client
    others = {"mine": "1", "diffs:{00}:feed:testapp.question:1": "wrong shard", "other:{00}:feed:a.b:1": "x"}
    for key, value in others.items():
        client.set(key, value)
    ran = run("prune_diffs", "--older-than", "0")
    assert (ran.out, ran.err) == ("0 feeds seen, 0 diffs removed, 0 bytes freed.\n", "")
    assert {key: client.get(key) for key in others} == {key: value.encode() for key, value in others.items()}


@pytest.mark.usefixtures("filled")
def test_verbosity_chooses_how_much_is_said(run: Run) -> None:
    assert run("prune_diffs", "-v0") == ("", "", None)
    assert run("prune_diffs", "-v0", "--model", "no.model") == ("", "", None)
    assert len(run("prune_diffs", "-v1").lines) == 1
    loud = run("prune_diffs", "-v2").lines
    assert loud == [
        "0 feeds seen, 0 diffs removed",
        "5 feeds seen, 0 diffs removed",
        "5 feeds seen, 0 diffs removed, 0 bytes freed.",
    ]


@pytest.mark.usefixtures("filled")
def test_terminal_gets_a_bar(run: Run) -> None:
    out = run("prune_diffs", "--older-than", "0", out=Terminal()).out
    assert "Counting: 5 feeds" in out
    bar, summary = out.split("\r\x1b[K")[-1].splitlines()
    assert bar == "[########################] 100%  5 feeds seen, 9 diffs removed"
    assert summary.startswith("5 feeds seen, 9 diffs removed, ")
    assert "\r" not in run("prune_diffs", "-v0", out=Terminal()).out


def test_many_feeds_are_all_pruned_in_small_steps(run: Run, redis_server: RedisServer, sizes: Sizes) -> None:
    names = [parse_feed(f"testapp.question:{pk}") for pk in range(3000)]
    get_store().append([Entry(FeedRef(name, 3_600_000_000), b"\x11\0member") for name in names])
    ran = run("prune_diffs", "--older-than", "0", "-v2")
    seen = [int(line.split()[0].replace(",", "")) for line in ran.lines]
    assert (seen[0], seen[-1]) == (0, 3000)
    assert max(after - before for before, after in zip(seen, seen[1:], strict=False)) <= 1000
    assert sizes() == {}


@pytest.mark.django_db
def test_no_database_is_asked(run: Run, filled: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert run("prune_diffs", "--older-than", "0").error is None


def test_database_need_not_even_be_there(run: Run, filled: None) -> None:
    # Without the mark pytest-django refuses every access to the database.
    assert run("prune_diffs", "--older-than", "0", "--model", "testapp.Choice").error is None


# What goes wrong


def interrupt_after_first(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the first model's feeds be pruned, and the second's fail."""
    prune = Upkeep.prune

    def interrupted(self: Upkeep, ages: Any, model: str | None = None, **options: Any) -> Iterator[PruneResult]:
        if model == "testapp.choice":
            raise error
        yield from prune(self, ages, model, **options)

    monkeypatch.setattr(Upkeep, "prune", interrupted)


TWO_MODELS = ("--older-than", "0", "--model", "testapp.Question", "--model", "testapp.Choice")


@pytest.mark.usefixtures("filled")
def test_being_stopped_says_what_was_done(run: Run, sizes: Sizes, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after_first(monkeypatch, KeyboardInterrupt())
    ran = run("prune_diffs", *TWO_MODELS)
    assert ran.out.startswith("2 feeds seen, 4 diffs removed, ")
    assert str(ran.error) == "Stopped half-way. Run it again for the rest."
    assert ran.error is not None
    assert ran.error.returncode == 130
    assert sizes() == {"testapp.choice:1": 2, "testapp.ticker:1": 2, "gone.model:7": 1}
    monkeypatch.undo()


def test_being_stopped_before_anything_says_just_that(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after_first(monkeypatch, KeyboardInterrupt())
    ran = run("prune_diffs", "--model", "testapp.Choice")
    assert (ran.out, str(ran.error)) == ("", "Stopped half-way. Run it again for the rest.")


@pytest.mark.usefixtures("filled")
def test_bar_is_left_whole_when_it_is_stopped(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after_first(monkeypatch, KeyboardInterrupt())
    out = run("prune_diffs", *TWO_MODELS, out=Terminal()).out
    bar, summary = out.split("\r\x1b[K")[-1].splitlines()
    assert bar.endswith("2 feeds seen, 4 diffs removed")
    assert summary.startswith("2 feeds seen, 4 diffs removed, ")


@pytest.mark.usefixtures("filled")
def test_redis_going_away_half_way_says_what_was_done(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after_first(monkeypatch, StoreUnavailable("Redis can't be reached."))
    ran = run("prune_diffs", *TWO_MODELS)
    assert ran.out.startswith("2 feeds seen, 4 diffs removed, ")
    assert str(ran.error).startswith("Redis can't be reached at unix:///")


def test_redis_away_is_an_error_with_advice(run: Run, server: RedisServer) -> None:
    server.kill()
    ran = run("prune_diffs")
    assert (ran.out, ran.err) == ("", "")
    assert str(ran.error) == (
        f"Redis can't be reached at unix://{server.socket}?db=0 (ConnectionError): is the server of "
        "DIFFS_SETTINGS['redis'] running, and may this machine and this user reach it?"
    )
    assert ran.error is not None
    assert ran.error.returncode == 1


def test_password_is_not_shown(run: Run, settings: Any) -> None:
    settings.DIFFS_SETTINGS = {"redis": {"url": "rediss://ada:secret@[::1]:1/3"}}
    message = str(run("prune_diffs").error)
    assert message.startswith("Redis can't be reached at rediss://[::1]:1/3 (")
    assert "secret" not in message
    assert "ada" not in message


@pytest.mark.parametrize(
    "raw",
    [{"redis": {"embedded": True, "host": "cache"}}, {"max_element_age": "1h"}, {"prefix": ""}],
)
def test_unusable_settings_are_an_error_that_names_the_key(run: Run, settings: Any, raw: dict[str, Any]) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, **raw}
    if "max_element_age" in raw:
        get_store().client.zadd(get_store().keys.feed(parse_feed("testapp.question:1")), {"x": 1})
    assert f"DIFFS_SETTINGS['{next(iter(raw))}']" in str(run("prune_diffs").error)


PROGRAM = """\
    import os, signal
    from diffs.store import Upkeep

    prune = Upkeep.prune

    def stopped_from_outside(self, ages, model=None, **options):
        for result in prune(self, ages, model, **options):
            yield result
            if result.feeds:
                os.kill(os.getpid(), signal.SIGINT)

    Upkeep.prune = stopped_from_outside
    from django.core.management import execute_from_command_line
    execute_from_command_line(["manage.py", "prune_diffs", "--older-than", "0"])
"""


@pytest.mark.usefixtures("filled")
def test_ctrl_c_ends_the_process_without_a_traceback(store_server: RedisServer, process_env: dict[str, str]) -> None:
    env = {**process_env, "DIFFS_TEST_REDIS_SOCKET": str(store_server.socket)}
    done = subprocess.run([sys.executable, "-c", dedent(PROGRAM)], env=env, capture_output=True, text=True)
    assert done.stderr == "CommandError: Stopped half-way. Run it again for the rest.\n"
    assert done.stdout.startswith("5 feeds seen, 9 diffs removed, ")
    assert done.returncode == 130


def test_command_line_ends_with_1_where_redis_is_away(process_env: dict[str, str]) -> None:
    env = {**process_env, "DIFFS_TEST_REDIS_SOCKET": "/nowhere/redis.sock"}
    command = [sys.executable, "-m", "django", "prune_diffs"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("CommandError: Redis can't be reached at unix:///nowhere/redis.sock?db=0 (Connection")


def test_help_names_every_option() -> None:
    out = io.StringIO()
    Command().create_parser("manage.py", "prune_diffs").print_help(out)
    assert all(option in out.getvalue() for option in ("--older-than AGE", "--model APP.MODEL", "--dry-run"))
