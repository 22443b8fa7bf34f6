"""Who may pull what."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.test import Client

from diffs.codec import Encoder, Row, new_nonce
from diffs.http.tokens import feed_token
from diffs.registration import add, find, remove
from tests.testapp.models import Airport, Choice, HotQuestion, Question, Seat, Token

from .feeds import Feed

ANONYMOUS, USER, VIEWER, INACTIVE, SUPERUSER = "anonymous", "user", "viewer", "inactive", "superuser"


@pytest.fixture
def as_reader(client: Client, db: None) -> Any:
    """Log a reader of a kind in."""

    def log_in(kind: str) -> Client:
        if kind == ANONYMOUS:
            return client
        user = User.objects.create_user(kind, is_superuser=kind == SUPERUSER)
        if kind in (VIEWER, INACTIVE):
            user.user_permissions.add(Permission.objects.get(codename="view_question"))
        client.force_login(user)
        if kind == INACTIVE:
            User.objects.update(is_active=False)
        return client

    return log_in


def denied(request: HttpRequest, model: Any, pk: Any) -> bool:
    raise PermissionDenied


async def allowed_later(request: HttpRequest, model: Any, pk: Any) -> bool:
    return True


async def refused_later(request: HttpRequest, model: Any, pk: Any) -> bool:
    return False


@pytest.mark.parametrize(
    ("permission", "statuses"),
    [
        (None, {ANONYMOUS: 401, USER: 403, VIEWER: 200, INACTIVE: 401, SUPERUSER: 200}),
        ("public", {ANONYMOUS: 200, USER: 200, VIEWER: 200, INACTIVE: 200, SUPERUSER: 200}),
        ("authenticated", {ANONYMOUS: 401, USER: 200, VIEWER: 200, INACTIVE: 401, SUPERUSER: 200}),
        ("testapp.view_question", {ANONYMOUS: 401, USER: 403, VIEWER: 200, INACTIVE: 401, SUPERUSER: 200}),
        ("testapp.change_question", {ANONYMOUS: 401, USER: 403, VIEWER: 403, INACTIVE: 401, SUPERUSER: 200}),
        ("no permission", {ANONYMOUS: 401, USER: 403, VIEWER: 403, INACTIVE: 401, SUPERUSER: 200}),
        (lambda request, model, pk: True, {ANONYMOUS: 200, USER: 200}),
        (lambda request, model, pk: None, {ANONYMOUS: 401, USER: 403, SUPERUSER: 403}),
        (lambda request, model, pk: request.user.username == USER, {ANONYMOUS: 401, USER: 200, VIEWER: 403}),
        (denied, {ANONYMOUS: 401, USER: 403}),
        (allowed_later, {ANONYMOUS: 200, USER: 200}),
        (refused_later, {ANONYMOUS: 401, USER: 403}),
    ],
)
def test_P8_rule_decides_who_may_pull(
    as_reader: Any, questions: Feed, rule: Any, permission: Any, statuses: dict[str, int]
) -> None:
    rule(Question, permission=permission)
    diff = questions.append()

    for kind, status in statuses.items():
        reader = as_reader(kind)
        response = reader.get(questions.path)
        assert (kind, response.status_code) == (kind, status)
        assert response.json().get("diffs", []) == ([diff] if status == 200 else [])
        reader.logout()


@pytest.mark.parametrize(("kind", "status"), [(ANONYMOUS, 401), (USER, 403), (VIEWER, 200)])
@pytest.mark.parametrize("query", ["?since=now", "?since=00000000_1", "?snapshot=1", "?collapse=1"])
def test_P8_every_form_of_pulling_asks_for_permission(as_reader: Any, query: str, kind: str, status: int) -> None:
    question = Question.objects.create(text="?")

    response = as_reader(kind).get(f"/diffs/testapp.question/{question.pk}/{query}")

    assert response.status_code == (410 if status == 200 and "_" in query else status)


def test_P8_whether_an_object_exists_is_not_told(client: Client, db: None) -> None:
    question = Question.objects.create(text="?")

    there, missing = (client.get(f"/diffs/testapp.question/{pk}/") for pk in (question.pk, question.pk + 1))

    assert (there.status_code, there.content) == (missing.status_code, missing.content) == (401, there.content)


def test_P8_site_without_authentication_has_only_anonymous_readers(
    client: Client, questions: Feed, settings: Any, rule: Any
) -> None:
    settings.MIDDLEWARE = []

    assert client.get(questions.path).status_code == 401
    rule(Question, permission="authenticated")
    assert client.get(questions.path).status_code == 401
    rule(Question, permission="public")
    assert client.get(questions.path).status_code == 200


class EverybodyMayView(BaseBackend):
    """Gives anonymous users a permission."""

    def get_user_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        return {"testapp.view_question"} if isinstance(user_obj, AnonymousUser) else set()


def test_anonymous_reader_with_a_permission_may_pull(client: Client, questions: Feed, settings: Any) -> None:
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.EverybodyMayView"]
    diff = questions.append(actor="ada")

    assert client.get(questions.path).json()["diffs"] == [diff]


def test_proxy_is_pulled_under_its_model_and_with_its_models_permission(viewer: Client, questions: Feed) -> None:
    assert viewer.get("/diffs/testapp.hotquestion/42/").status_code == 404
    assert feed_token(HotQuestion, 42) == feed_token(Question, 42)


def test_P8_callable_is_asked_once_per_object_of_a_page(client: Client, questions: Feed, rule: Any) -> None:
    asked: list[tuple[Any, Any]] = []

    def ask(request: HttpRequest, model: Any, pk: Any) -> bool:
        assert request.path == questions.path
        asked.append((model, pk))
        return pk != 2

    rule(Question, permission=ask)
    rule(Choice, permission=ask)
    diffs = [questions.append(child=child) for child in [None, (Choice, 1), (Choice, 2), (Choice, 1), (Choice, 2)] * 2]

    page = client.get(questions.path).json()

    assert page["diffs"] == [diff for diff in diffs if diff["pk"] != 2]
    assert asked == [(Question, 42), (Choice, 1), (Choice, 2)]


def test_P8_child_of_the_same_model_is_asked_about_itself(client: Client, questions: Feed, rule: Any) -> None:
    rule(Question, permission=lambda request, model, pk: pk != 43)
    shown = questions.append(child=(Question, 44))
    questions.append(child=(Question, 43))

    assert client.get(questions.path).json()["diffs"] == [shown]


def test_P8_callable_is_asked_for_a_model_feed_and_then_for_its_objects(client: Client, rule: Any) -> None:
    asked: list[Any] = []
    rule(Airport, permission=lambda request, model, pk: asked.append(pk) or pk != 5)
    airports = Feed(Airport)
    airports.append(child=(Airport, 5))
    shown = airports.append(child=(Airport, 6))

    assert client.get(airports.path).json()["diffs"] == [shown]
    assert asked == [None, 5, 6]


def test_P8_callable_gets_the_primary_key_as_python_has_it(client: Client, rule: Any) -> None:
    asked: list[Any] = []
    for model in (Seat, Token):
        rule(model, permission=lambda request, model, pk: asked.append(pk) or True)
    client.get("/diffs/testapp.seat/1,A/")
    client.get("/diffs/testapp.token/00000000000000000000000000000007/")

    assert [(type(pk).__name__, str(pk)) for pk in asked] == [
        ("tuple", "(1, 'A')"),
        ("UUID", "00000000-0000-0000-0000-000000000007"),
    ]


def test_error_of_a_callable_is_the_sites_own(client: Client, questions: Feed, rule: Any) -> None:
    def broken(request: HttpRequest, model: Any, pk: Any) -> bool:
        raise ValueError("a defect")

    rule(Question, permission=broken)

    with pytest.raises(ValueError, match="a defect"):
        client.get(questions.path)


def test_P8_child_is_withheld_from_who_may_not_pull_it_and_the_cursor_moves_on(viewer: Client, questions: Feed) -> None:
    cursor = questions.now()
    shown = questions.append()
    questions.append(child=(Choice, 1))

    page = viewer.get(f"{questions.path}?since={cursor}").json()

    assert page == {"cursor": str(questions.now()), "more": False, "diffs": [shown]}
    assert viewer.get(f"{questions.path}?since={page['cursor']}").json()["diffs"] == []


def test_P8_page_may_be_empty_where_all_is_withheld_and_still_have_more(viewer: Client, questions: Feed) -> None:
    questions.append(child=(Choice, 1))
    last = questions.append()

    first = viewer.get(questions.path + "?limit=1").json()

    assert (first["diffs"], first["more"]) == ([], True)
    assert viewer.get(f"{questions.path}?since={first['cursor']}").json()["diffs"] == [last]


@pytest.mark.parametrize("query", ["", "?collapse=1"])
def test_P8_child_is_shown_to_who_may_pull_it(viewer: Client, user: User, questions: Feed, query: str) -> None:
    user.user_permissions.add(Permission.objects.get(codename="view_choice"))
    diffs = [questions.append(), questions.append(child=(Choice, 1))]

    assert viewer.get(questions.path + query).json()["diffs"] == diffs


@pytest.mark.parametrize("query", ["", "?collapse=1"])
def test_P8_public_parent_does_not_open_its_children(client: Client, questions: Feed, rule: Any, query: str) -> None:
    rule(Question, permission="public")
    shown = questions.append()
    questions.append(child=(Choice, 1))

    assert client.get(questions.path + query).json()["diffs"] == [shown]


def test_public_child_is_shown_with_its_parent(viewer: Client, questions: Feed, rule: Any) -> None:
    rule(Choice, permission="public")
    child = questions.append(child=(Choice, 1))

    assert viewer.get(questions.path).json()["diffs"] == [child]


@pytest.fixture
def unregistered_choice() -> Any:
    registration = find(Choice)
    assert registration is not None
    remove(registration)
    yield
    add(registration)


@pytest.mark.parametrize("token", [False, True])
def test_P8_diff_of_a_model_that_is_no_longer_registered_is_withheld(
    viewer: Client, questions: Feed, unregistered_choice: None, token: bool
) -> None:
    questions.append(child=(Choice, 1))
    shown = questions.append()
    query = f"?token={feed_token(Question, 42)}" if token else ""

    assert viewer.get(questions.path + query).json()["diffs"] == [shown]


def test_P8_diff_whose_primary_key_no_longer_fits_its_model_is_withheld(
    client: Client, questions: Feed, rule: Any
) -> None:
    for model in (Question, Choice):
        rule(model, permission=lambda request, model, pk: True)
    member = Encoder("update", 1, new_nonce(), {}).foreign(Row("testapp.choice", "from when it was text"))
    questions.append_member(member)

    assert client.get(questions.path).json()["diffs"] == []


def test_P8_render_cache_gives_nobody_what_another_may_see(viewer: Client, questions: Feed) -> None:
    diffs = [questions.append(actor="ada"), questions.append(child=(Choice, 1), actor="ada")]
    token = feed_token(Question, 42)

    def read(client: Client, query: str = "") -> list[tuple[int, bool]]:
        page = client.get(questions.path + query).json()
        return [(diff["timestamp"], "actor" in diff) for diff in page.get("diffs", [])]

    first, second = (diff["timestamp"] for diff in diffs)
    for _ in range(2):
        assert read(viewer) == [(first, True)]
        assert read(viewer, f"?token={token}") == [(first, False), (second, False)]
        assert read(Client()) == []


def test_actor_is_shown_to_who_passed_a_rule_about_users(viewer: Client, questions: Feed, rule: Any) -> None:
    diff = questions.append(actor="ada")

    for permission in (None, "authenticated", "testapp.view_question", lambda request, model, pk: True):
        rule(Question, permission=permission)
        for query in ("", "?collapse=1"):
            assert viewer.get(questions.path + query).json()["diffs"] == [{**diff, "actor": "ada"}]


@pytest.mark.parametrize("query", ["", "?collapse=1"])
def test_P8_actor_is_not_shown_by_a_public_rule(viewer: Client, questions: Feed, rule: Any, query: str) -> None:
    rule(Question, permission="public")
    diff = questions.append(actor="ada")

    assert viewer.get(questions.path + query).json()["diffs"] == [diff]


def test_P8_actor_is_not_shown_to_the_anonymous(client: Client, questions: Feed, rule: Any) -> None:
    rule(Question, permission=lambda request, model, pk: True)
    diff = questions.append(actor="ada")

    assert client.get(questions.path).json()["diffs"] == [diff]


def test_P8_actor_is_not_shown_by_a_token(viewer: Client, questions: Feed) -> None:
    diff = questions.append(actor="ada")

    assert viewer.get(f"{questions.path}?token={feed_token(Question, 42)}").json()["diffs"] == [diff]


def test_P8_actor_of_a_public_child_is_not_shown_with_its_parent(viewer: Client, questions: Feed, rule: Any) -> None:
    rule(Choice, permission="public")
    own = questions.append(actor="ada")
    child = questions.append(child=(Choice, 1), actor="ada")

    assert viewer.get(questions.path).json()["diffs"] == [{**own, "actor": "ada"}, child]


def test_actors_are_shown_to_all_where_the_setting_says_so(
    client: Client, questions: Feed, rule: Any, settings: Any
) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "public_actors": True}
    rule(Question, permission="public")
    diff = questions.append(actor="ada")

    for query in ("", f"?token={feed_token(Question, 42)}"):
        assert client.get(questions.path + query).json()["diffs"] == [{**diff, "actor": "ada"}]


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_P8_excluded_fields_never_leave_the_endpoint(client: Client, rule: Any) -> None:
    rule(Question, permission="public")
    question = Question.objects.create(text="?", secret="nobody is to know")
    question.secret = "still nobody"
    question.text = "!"
    question.save()

    page = client.get(f"/diffs/testapp.question/{question.pk}/")
    snapshot = client.get(f"/diffs/testapp.question/{question.pk}/?snapshot=1")

    assert [diff["data"]["text"] for diff in page.json()["diffs"]] == ["?", "!"]
    assert snapshot.json()["snapshot"]["data"]["text"] == "!"
    for answer in (page, snapshot):
        assert b"nobody" not in answer.content and b"secret" not in answer.content
