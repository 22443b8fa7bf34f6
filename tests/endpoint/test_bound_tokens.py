"""Feed tokens that are for one user, and what is done with tokens that nobody signed here."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import AnonymousUser, User
from django.core import signing
from django.core.signing import Signer
from django.http import HttpRequest
from django.template import Context, Template
from django.test import Client
from django.utils.functional import SimpleLazyObject

import diffs
from diffs.errors import TokenError
from diffs.http import client_feed
from diffs.http.asgi import PullApplication
from diffs.http.tokens import Leave, make_token, read_token
from diffs.keys import FeedName
from tests.testapp.models import Notice, Question

from .feeds import Feed
from .ways import AsgiClient

FEED = FeedName("testapp.question", "42")
FOR_ANOTHER = "This feed token is for another user, or for one who isn't logged in here."
NOT_SIGNED = "This feed token was not signed here."


@pytest.fixture
def other(db: None) -> User:
    return User.objects.create_user("bob")


# To whom they are bound


@pytest.mark.parametrize("key", [7, "7", User(pk=7), SimpleLazyObject(lambda: User(pk=7))])
def test_token_names_its_user_by_the_text_of_the_primary_key(key: Any) -> None:
    assert read_token(diffs.feed_token(Question, 42, user=key)) == Leave(FEED, "7")


def test_user_may_have_any_kind_of_primary_key() -> None:
    key = uuid.uuid4()

    assert read_token(make_token(FEED, user=key)).user == str(key)


@pytest.mark.parametrize("nobody", [AnonymousUser(), User(), "", True, False])
def test_nobody_is_no_user_to_make_a_token_for(nobody: Any) -> None:
    with pytest.raises(ValueError, match="logged in"):
        diffs.feed_token(Question, 42, user=nobody)


def test_token_that_is_bound_to_more_than_is_known_opens_nothing() -> None:
    later = Signer(salt="diffs.feed-token", sep=".").sign_object([str(FEED), 10**12, "7", "10.0.0.1"])

    with pytest.raises(TokenError, match="later release"):
        read_token(f"diffs.{later}")


# Every way in


def test_p8_bound_token_opens_its_feed_to_its_user_alone(
    client: Client, questions: Feed, user: User, other: User
) -> None:
    diff = questions.append()
    path = f"{questions.path}?token={diffs.feed_token(Question, 42, user=user)}"

    def ask() -> tuple[int, Any]:
        response = client.get(path)
        return response.status_code, response.json().get("diffs", response.json().get("detail"))

    anonymous = ask()
    client.force_login(other)
    another = ask()
    client.force_login(user)

    assert (anonymous, another, ask()) == ((401, FOR_ANOTHER), (401, FOR_ANOTHER), (200, [diff]))


@pytest.mark.parametrize("how", ["query", "header"])
def test_refused_user_is_told_that_the_token_is_wrong(client: Client, notices: Feed, user: User, how: str) -> None:
    token = diffs.feed_token(Notice, 1, user=user)
    query, headers = (f"?token={token}", {}) if how == "query" else ("", {"Authorization": f"Bearer {token}"})

    response = client.get(notices.path + query, headers=headers)

    # Also where the feed is public: who shows a token means it.
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
    assert response.headers["Cache-Control"] == "no-store"


def test_p8_one_bound_token_among_several_is_for_its_user_too(
    client: Client, questions: Feed, notices: Feed, user: User, other: User
) -> None:
    tokens = [diffs.feed_token(Notice, 1), diffs.feed_token(Question, 42, user=user)]
    path = f"/diffs/?feed=@{questions.name}&feed=@{notices.name}&" + "&".join(f"token={token}" for token in tokens)
    client.force_login(other)
    refused = client.get(path).status_code
    client.force_login(user)

    assert (refused, client.get(path).status_code) == (401, 200)


@pytest.mark.parametrize("query", ["&wait=1", "&collapse=1", "&since=now"])
def test_p8_bound_token_is_looked_at_whatever_is_asked(
    client: Client, questions: Feed, user: User, other: User, query: str
) -> None:
    questions.append()
    client.force_login(other)

    path = f"{questions.path}?token={diffs.feed_token(Question, 42, user=user)}{query}"

    assert client.get(path).status_code == 401


def test_p8_stream_is_opened_by_a_bound_token_to_its_user_alone(questions: Feed, user: User, other: User) -> None:
    path = f"{questions.path}?token={diffs.feed_token(Question, 42, user=user)}"
    client = AsgiClient()
    client.force_login(other)

    response = client.get(path, headers={"Accept": "text/event-stream"})

    assert (response.status_code, response.json()["detail"]) == (401, FOR_ANOTHER)


def test_site_that_says_itself_who_reads_may_bind_tokens(db: None, questions: Feed) -> None:
    class Somebody:
        is_authenticated = True
        pk = uuid.UUID(int=7)

    def authenticate(request: HttpRequest) -> Any:
        return Somebody() if "u" in request.GET else None

    client = AsgiClient(PullApplication(authenticate=authenticate))
    token = diffs.feed_token(Question, 42, user=Somebody())

    assert [client.get(f"/testapp.question/42/?token={token}{query}").status_code for query in ("&u", "")] == [200, 401]


def test_user_without_a_primary_key_is_nobodys_user(db: None, questions: Feed) -> None:
    class Somebody:
        is_authenticated = True

    client = AsgiClient(PullApplication(authenticate=lambda request: Somebody()))

    for key in ("None", "1"):
        assert client.get(f"/testapp.question/42/?token={make_token(FEED, user=key)}").status_code == 401


# In pages


def test_page_s_token_is_for_whom_the_page_is(user: User, rf: Any, redis_client: Any) -> None:
    request = rf.get("/")
    request.user = user
    question = Question(pk=42)
    text = "{% load diffs %}{% diffs_feed question user=request.user as feed %}{{ feed.token }}"
    written = Template(text).render(Context({"question": question, "request": request}))

    tokens = [client_feed(question, user=user).token or "", written]

    assert [read_token(token) for token in tokens] == [Leave(FEED, str(user.pk))] * 2


def test_page_of_nobody_gets_no_token_for_everybody(rf: Any) -> None:
    request = rf.get("/")
    request.user = AnonymousUser()
    text = "{% load diffs %}{% diffs_feed question user=request.user %}"

    for context in ({"question": Question(pk=42), "request": request}, {"question": Question(pk=42)}):
        with pytest.raises(ValueError, match="logged in"):
            Template(text).render(Context(context))


def test_tag_binds_no_token_that_is_made_already(redis_client: Any) -> None:
    feed = client_feed(Question, 42)

    with pytest.raises(ValueError, match="client_feed"):
        Template("{% load diffs %}{% diffs_feed feed user=7 %}").render(Context({"feed": feed}))


# Signatures


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """What is compared in constant time while tokens are read."""
    seen: list[tuple[str, str]] = []
    compare: Callable[[str, str], bool] = signing.constant_time_compare

    def count(left: str, right: str) -> bool:
        seen.append((left, right))
        return compare(left, right)

    monkeypatch.setattr(signing, "constant_time_compare", count)
    yield seen


def _wrong_tokens() -> dict[str, str]:
    token = make_token(FEED)
    _, payload, signature = token.split(".")
    expired = make_token(FEED, 1, now=0.0).split(".")[1]
    return {
        "of another payload": f"diffs.{'A' + payload[1:]}.{signature}",
        "of another signature": f"diffs.{payload}.{'A' + signature[1:]}",
        "that differs at the end": f"diffs.{payload}.{signature[:-1]}{'A' if signature[-1] != 'A' else 'B'}",
        "that was cut": token[:-1],
        "of which hardly anything is left": f"diffs.{payload}.{signature[0]}",
        "that expired": f"diffs.{expired}.{signature}",
        "that is no JSON": f"diffs.AAAA.{signature}",
        "of another purpose": "diffs." + Signer(salt="another", sep=".").sign_object([str(FEED), 10**12]),
        "of Django's own signer": "diffs." + Signer(sep=".").sign_object([str(FEED), 10**12]),
        "of a session": "diffs."
        + Signer(salt="django.contrib.sessions.backends.signed_cookies", sep=".").sign_object([str(FEED), 10**12]),
    }


@pytest.mark.parametrize("name", _wrong_tokens())
def test_every_wrong_token_is_compared_in_constant_time_with_every_key(
    name: str, compared: list[tuple[str, str]], settings: Any
) -> None:
    settings.SECRET_KEY_FALLBACKS = ["an old key", "an older key"]
    wrong = _wrong_tokens()[name]
    compared.clear()

    with pytest.raises(TokenError, match=NOT_SIGNED):
        read_token(wrong)

    # Nothing of what it says was looked at before: neither its feed nor whether it is over.
    assert [left for left, _ in compared] == [wrong.rpartition(".")[2]] * 3
    assert len({len(right) for _, right in compared}) == 1


@pytest.mark.parametrize(
    "text", ["", "diffs.", "diffs.a", "x.a.b", "diffs.a.b.c", "diffs.a.é", "diffs." + "a" * 32_768 + ".b"]
)
def test_what_has_not_the_shape_of_a_token_is_compared_with_nothing(text: str, compared: list[Any]) -> None:
    with pytest.raises(TokenError, match="no feed token"):
        read_token(text)

    assert compared == []


@pytest.mark.parametrize("bound", [None, 7])
def test_key_may_be_rotated(bound: Any, settings: Any) -> None:
    old = django_settings.SECRET_KEY
    before = make_token(FEED, user=bound)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the next key", [old]
    after = make_token(FEED, user=bound)
    both = [read_token(before), read_token(after)]
    settings.SECRET_KEY_FALLBACKS = []

    assert both == [read_token(after)] * 2
    with pytest.raises(TokenError, match=NOT_SIGNED):
        read_token(before)


def test_endpoint_takes_tokens_of_a_rotated_key(client: Client, questions: Feed, settings: Any) -> None:
    path = f"{questions.path}?token={make_token(FEED)}"
    old = django_settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the next key", [old]
    rotated = client.get(path).status_code
    settings.SECRET_KEY_FALLBACKS = []

    assert (rotated, client.get(path).status_code) == (200, 401)


def test_token_of_a_rotated_salt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    token = make_token(FEED)
    monkeypatch.setattr("diffs.http.tokens._SALT", "diffs.feed-token.2")

    with pytest.raises(TokenError, match=NOT_SIGNED):
        read_token(token)


def test_session_is_no_token(client: Client, questions: Feed, user: User) -> None:
    client.force_login(user)
    session = client.cookies[django_settings.SESSION_COOKIE_NAME].value

    for text in (session, f"diffs.{session}", f"diffs.{session}.{session}"):
        assert client.get(f"{questions.path}?token={text}").status_code == 401


def test_unbound_token_asks_nobody_who_reads(questions: Feed) -> None:
    def refuse(request: HttpRequest) -> Any:
        raise AssertionError("Nobody is to be asked.")

    client = AsgiClient(PullApplication(authenticate=refuse))

    assert client.get(f"/testapp.question/42/?token={make_token(FEED)}").status_code == 200


def test_p8_two_readers_of_one_loop_are_not_taken_for_each_other(questions: Feed, user: User, other: User) -> None:
    from .ways import exchange, make_scope

    token = diffs.feed_token(Question, 42, user="ada")

    class Somebody:
        is_authenticated = True

        def __init__(self, pk: str) -> None:
            self.pk = pk

    application = PullApplication(authenticate=lambda request: Somebody(request.headers["X-User"]))

    async def both() -> list[int]:
        scopes = [
            make_scope(f"/testapp.question/42/?token={token}", headers=[("host", "testserver"), ("x-user", name)])
            for name in ("bob", "ada") * 3
        ]
        answers = await asyncio.gather(*(exchange(application, scope) for scope in scopes))
        return [answer.status for answer in answers]

    assert asyncio.run(both()) == [401, 200] * 3
