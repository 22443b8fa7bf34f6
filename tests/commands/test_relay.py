"""``relay_diffs``: what is left in the outbox is sent, and told."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from diffs.capture import sending
from diffs.feed import feed_of
from diffs.models import OutboxItem
from diffs.store import outage
from tests.servers import RedisServer
from tests.store.processes import wait_for
from tests.testapp.models import Author

from .conftest import Run

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

PATIENCE = 60.0


@pytest.fixture(autouse=True)
def with_outbox(settings: Any) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "outbox": True, "flush": "commit"}


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[Author]:
    """What processes have written that were killed before they sent it."""
    with monkeypatch.context() as patch:
        patch.setattr(sending, "hand_over", lambda *_: None)
        return [Author.objects.create(name=str(number)) for number in range(5)]


def test_it_sends_what_is_left_and_says_what_became_of_it(run: Run, left: list[Author]) -> None:
    ran = run("relay_diffs", "--batch-size", "2")
    assert ran.error is None
    assert ran.out == "5 rows sent: 5 diffs delivered, 0 read again, 0 feeds refused, 0 left.\n"
    assert [len(feed_of(author)) for author in left] == [1] * 5
    assert not OutboxItem.objects.exists()


def test_every_step_is_told_where_that_is_wanted(run: Run, left: list[Author]) -> None:
    first, *rest = run("relay_diffs", "--batch-size", "2", "--verbosity", "2").lines
    assert first.startswith("default: 5 rows waiting, the oldest for ")
    assert rest == [
        "default: 2 rows sent: 2 diffs delivered, 0 read again, 0 feeds refused, 0 left",
        "default: 4 rows sent: 4 diffs delivered, 0 read again, 0 feeds refused, 0 left",
        "default: 5 rows sent: 5 diffs delivered, 0 read again, 0 feeds refused, 0 left",
        "5 rows sent: 5 diffs delivered, 0 read again, 0 feeds refused, 0 left.",
    ]


def test_nothing_to_send_is_no_error(run: Run) -> None:
    assert run("relay_diffs").out == "0 rows sent: 0 diffs delivered, 0 read again, 0 feeds refused, 0 left.\n"


def test_while_redis_is_away_it_fails_and_loses_nothing(
    run: Run, server: RedisServer, left: list[Author], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "FIRST_PAUSE", 600.0)
    server.pause()
    ran = run("relay_diffs")
    server.resume()
    assert str(ran.error) == "Redis didn't take 5 rows: they stay in the outbox. Run this again."
    assert OutboxItem.objects.count() == 5


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--database", "defualt"], "DATABASES has no 'defualt'. Did you mean 'default'?"),
        (["--batch-size", "0"], "--batch-size and --interval take positive numbers."),
        (["--watch", "--interval", "0"], "--batch-size and --interval take positive numbers."),
    ],
)
def test_wrong_options_are_told(run: Run, arguments: list[str], told: str) -> None:
    assert str(run("relay_diffs", *arguments).error) == told


def test_where_the_outbox_is_off_the_database_has_to_be_named(run: Run, left: list[Author], settings: Any) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "outbox": False}
    assert "--database default" in str(run("relay_diffs").error)
    assert run("relay_diffs", "--database", "default").error is None
    assert [len(feed_of(author)) for author in left] == [1] * 5


def test_a_database_without_the_table_is_told(run: Run) -> None:
    with connection.schema_editor() as editor:
        editor.delete_model(OutboxItem)
    try:
        assert "Has manage.py migrate been run?" in str(run("relay_diffs").error)
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(OutboxItem)


@pytest.fixture
def watching(process_env: dict[str, str], settings: Any) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes that stay."""
    code = (
        "import django, django.conf; django.setup();"
        "django.conf.settings.DIFFS_SETTINGS['outbox'] = True;"
        "from django.core.management import call_command;"
        "call_command('relay_diffs', watch=True, interval=0.05, batch_size=3)"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=process_env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    yield processes
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


@pytest.mark.database
@pytest.mark.slow
def test_p2_several_that_stay_send_each_diff_once(
    watching: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    authors: list[Author] = []
    lock = threading.Lock()
    with monkeypatch.context() as patch:
        patch.setattr(sending, "hand_over", lambda *_: None)

        def write() -> None:
            try:
                for number in range(20):
                    made = Author.objects.create(name=str(number))
                    Author.objects.filter(pk=made.pk).update(name="x")
                    with lock:
                        authors.append(made)
            finally:
                connection.close()

        threads = [threading.Thread(target=write) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        wait_for(lambda: not OutboxItem.objects.exists(), PATIENCE)
    assert all(process.poll() is None for process in watching)
    assert [[diff.action for diff in feed_of(author)] for author in authors] == [["create", "update"]] * 40
