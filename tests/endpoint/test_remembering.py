"""Whatever a process remembers, a request is answered as if it remembered nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from diffs.conf import NAME
from diffs.http import query
from diffs.http.tokens import feed_token
from diffs.registration import add, find, remove
from diffs.store import get_store
from diffs.testing import registered
from tests.testapp.models import Choice, Notice, Question

from .feeds import Feed


@pytest.fixture
def without_choice() -> Iterator[Callable[[], None]]:
    """Take the registration of a child's model away."""
    registration = find(Choice)
    assert registration is not None
    yield lambda: remove(registration)
    add(registration)


def test_P8_what_was_given_to_one_reader_is_asked_about_for_another(
    viewer: Client, user: User, questions: Feed, rule: Any
) -> None:
    path = f"{questions.path}?since={questions.now()}"
    own = questions.append(actor="ada")
    child = questions.append(child=(Choice, 1))
    with_actor = {**own, "actor": "ada"}

    def read(client: Client, more: str = "") -> Any:
        return client.get(path + more).json().get("diffs")

    assert read(viewer, f"&token={feed_token(Question, 42)}") == [own, child]
    assert (read(viewer), read(Client())) == ([with_actor], None)
    user.user_permissions.add(Permission.objects.get(codename="view_choice"))
    assert read(viewer) == [with_actor, child]
    user.user_permissions.clear()
    assert read(viewer) is None
    rule(Question, permission="public")
    assert (read(viewer), read(Client())) == ([own], [own])


@pytest.mark.parametrize("more", ["", "&collapse=1"])
def test_P8_remembered_diff_of_a_model_that_is_no_longer_registered_is_withheld(
    viewer: Client, user: User, questions: Feed, without_choice: Callable[[], None], more: str
) -> None:
    user.user_permissions.add(Permission.objects.get(codename="view_choice"))
    path = f"{questions.path}?since={questions.now()}{more}"
    own, child = questions.append(), questions.append(child=(Choice, 1))

    before = viewer.get(path).json()["diffs"]
    without_choice()

    assert (before, viewer.get(path).json()["diffs"]) == ([own, child], [own])


def test_P8_feed_of_a_model_that_is_no_longer_registered_is_gone(client: Client, notices: Feed) -> None:
    notices.append()
    registration = find(Notice)
    assert registration is not None
    before = client.get(notices.path).status_code
    remove(registration)
    try:
        after = client.get(notices.path).status_code
    finally:
        add(registration)

    assert (before, after, client.get(notices.path).status_code) == (200, 404, 200)


def test_P8_model_that_is_registered_anew_has_its_new_rule(client: Client, notices: Feed) -> None:
    path = f"{notices.path}?since={notices.now()}"
    notices.append()
    before = client.get(path).status_code
    with registered(Notice, permission=lambda request, model, pk: False):
        meanwhile = client.get(path).status_code

    assert (before, meanwhile, client.get(path).status_code) == (200, 401, 200)


def test_field_that_is_excluded_afterwards_is_given_as_it_is_stored_until_the_feed_is_cleared(
    client: Client, notices: Feed
) -> None:
    path = f"{notices.path}?since={notices.now()}"
    diff = notices.append(data={"headline": "Fire", "body": "In the kitchen"})
    before = client.get(path).json()["diffs"]
    with registered(Notice, exclude=["body"], permission="public"):
        as_stored = client.get(path).json()["diffs"]
        get_store().clear(notices.ref)
        after = [client.get(address).json().get("diffs") for address in (path, notices.path)]

    assert (before, as_stored, after) == ([diff], [diff], [None, []])


def test_same_address_is_read_by_the_settings_of_now(client: Client, notices: Feed, settings: Any) -> None:
    for _ in range(3):
        notices.append()

    lengths = [len(client.get(notices.path).json()["diffs"])]
    for size in (1, 2):
        setattr(settings, NAME, {**getattr(settings, NAME), "page_size": size})
        lengths.append(len(client.get(notices.path).json()["diffs"]))

    assert lengths == [3, 1, 2]


def test_what_clients_ask_is_remembered_within_bounds_and_without_the_secrets_of_others(
    client: Client, notices: Feed
) -> None:
    token = feed_token(Notice, 1)
    headers = [{}, {"Authorization": "Basic YWRhOmFkYQ=="}, {"Authorization": "Bearer of.the.site"}]
    for one in headers * 2:
        assert client.get(notices.path, headers=one).status_code == 200
    assert query._remembered.cache_info().currsize == 1

    client.get(notices.path, headers={"Authorization": f"Bearer {token}"})
    assert query._remembered.cache_info().currsize == 2

    client.get(f"{notices.path}?unknown={'x' * 1000}")
    client.get(notices.path, headers={"Authorization": f"Bearer {token}{'x' * 1000}"})
    client.get(f"/diffs/?feed=@{notices.name}")
    client.get(f"{notices.path}?limit=x")
    assert query._remembered.cache_info().currsize == 2
