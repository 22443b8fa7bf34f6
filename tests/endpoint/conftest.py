"""What the endpoint's tests need: diffs put straight into feeds, and rules changed for a test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import models
from django.test import Client

from diffs.http.query import forget
from diffs.http.recent import recent
from diffs.registration import Registration, require
from tests.testapp.models import Notice, Question

from .feeds import Feed
from .ways import WAYS


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    recent.clear()
    forget()


@pytest.fixture(params=WAYS)
def client(request: pytest.FixtureRequest) -> Client:
    """A client, by each way into the endpoint."""
    if request.param == "asgi":
        # Before rules are asked, connections that other tests left open are looked at.
        request.getfixturevalue("db")
    return WAYS[request.param]()


@pytest.fixture
def notices() -> Feed:
    """The feed of a public object."""
    return Feed(Notice, 1)


@pytest.fixture
def questions() -> Feed:
    """The feed of an object that takes the model's view permission."""
    return Feed(Question, 42)


@pytest.fixture
def rule(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registration]:
    """Give a registered model other options: ``rule(Question, permission="public")``."""

    def change(model: type[models.Model], **options: Any) -> Registration:
        registration = require(model)
        monkeypatch.setattr(registration, "options", dataclasses.replace(registration.options, **options))
        return registration

    return change


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def viewer(user: User, client: Client) -> Client:
    """A client whose user may view questions, and nothing else."""
    user.user_permissions.add(Permission.objects.get(codename="view_question"))
    client.force_login(user)
    return client
