"""What the tests of the live modes need: a loop for each test that is a coroutine, and settings changed for it."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import models

from diffs.http.live import hub
from diffs.http.query import forget
from diffs.http.recent import recent
from diffs.registration import Registration, require
from tests.endpoint.feeds import Feed
from tests.testapp.models import Notice, Question


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine; one that uses a database so that its threads use the test's."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}
    if {"db", "transactional_db"} & set(pyfuncitem.fixturenames):
        async_to_sync(test)(**arguments)
    else:
        asyncio.run(test(**arguments))
    return True


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    recent.clear()
    forget()


@pytest.fixture
def notices() -> Feed:
    """The feed of a public object."""
    return Feed(Notice, 1)


@pytest.fixture
def others() -> list[Feed]:
    """Feeds of more public objects."""
    return [Feed(Notice, pk) for pk in range(2, 6)]


@pytest.fixture
def questions() -> Feed:
    """The feed of an object that has children."""
    return Feed(Question, 42)


@pytest.fixture
def configure(settings: Any) -> Callable[..., None]:
    """Change ``DIFFS_SETTINGS``: ``configure(heartbeat=0.05)``."""

    def change(**changes: Any) -> None:
        settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, **changes}

    return change


@pytest.fixture
def rule(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registration]:
    """Give a registered model other options: ``rule(Question, permission="public")``."""

    def change(model: type[models.Model], **options: Any) -> Registration:
        registration = require(model)
        monkeypatch.setattr(registration, "options", dataclasses.replace(registration.options, **options))
        return registration

    return change


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that looks at everything every few hundredths of a second, and lets go of it at once."""
    for name, seconds in (("READ_AGAIN", 0.1), ("KEEP", 0.1), ("BEAT", 0.02), ("PAUSE", 0.05)):
        monkeypatch.setattr(hub, name, seconds)
