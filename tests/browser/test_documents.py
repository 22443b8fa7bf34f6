"""The pages that the documents show, in a browser."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.documents import Page as Document
from tests.documents.project import environment, make
from tests.documents.serving import serve
from tests.servers import RedisServer, best_kind

if TYPE_CHECKING:
    from playwright.sync_api import Page

STATIC_FILES = """
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
urlpatterns += staticfiles_urlpatterns()
"""

Do = Callable[[str], None]

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The project of the README and of the page on browsers."""
    with tempfile.TemporaryDirectory() as name, RedisServer(best_kind()) as redis:
        folder = Path(name)
        make(folder, [Document("README.rst"), Document("docs/browser-client.rst")], f"127.0.0.1:{redis.port}")
        with (folder / "mysite" / "urls.py").open("a") as urls:
            urls.write(STATIC_FILES)
        yield folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The project's site."""
    with serve(folder) as address:
        yield f"http://{address}"


@pytest.fixture(scope="module")
def do(folder: Path) -> Do:
    """Run statements in another process of the site, where there is a question ``q`` with a choice ``c``."""

    def run(statements: str) -> None:
        program = f"""
import django
django.setup()
import diffs
from polls.models import Choice, Question
q, _ = Question.objects.get_or_create(pk=1, defaults={{"text": "What is life?"}})
c, _ = Choice.objects.get_or_create(pk=1, defaults={{"text": "42", "question": q}})
{statements}
"""
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    return run


def shows(page: Page, selector: str, text: str) -> None:
    """Wait until an element shows a text."""
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector).innerText.trim() === text", arg=[selector, text]
    )


def test_object_of_the_readme_is_kept_in_step(blank: Page, address: str, do: Do) -> None:
    do("q.votes = 41; q.save()")
    blank.goto(f"{address}/1/")
    shows(blank, "p", "What is life? 41")
    do("q.votes = 42; q.save()")
    shows(blank, "b", "42")
    do("with diffs.disabled():\n    q.votes = 43; q.save()")
    shows(blank, "b", "43")


def test_rows_are_kept_in_step(blank: Page, address: str, do: Do) -> None:
    do("Choice.objects.exclude(pk=1).delete(); c.votes = 1; c.save()")
    blank.goto(f"{address}/1/results/")
    shows(blank, "ul", "42: 1")
    shows(blank, "p", "live, by stream")
    do("Choice.objects.create(question=q, text='Nothing', votes=2)")
    shows(blank, "ul", "Nothing: 2\n42: 1")
    do("c.votes = 3; c.save()")
    shows(blank, "ul", "42: 3\nNothing: 2")
    do("Choice.objects.get(text='Nothing').delete()")
    shows(blank, "ul", "42: 3")


@pytest.mark.parametrize("path", ["log", "plain"])
def test_diffs_are_told_one_by_one(blank: Page, address: str, do: Do, path: str) -> None:
    do("q.diffs.clear(); q.votes = 0; q.save()")
    blank.goto(f"{address}/{path}/")
    do("q.votes = 44; q.save()")
    blank.get_by_text('{"votes":44}').wait_for()
    do("diffs.touch(q)")
    blank.get_by_text("fetch again").wait_for()
    do("q.votes = 45; q.save()")
    blank.get_by_text('{"votes":45}').wait_for()
    assert blank.get_by_text('{"votes":44}').count() == 1
