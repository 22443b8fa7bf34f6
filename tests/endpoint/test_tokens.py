"""Feed tokens."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.core.signing import Signer
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

import diffs
from diffs.errors import NoModelFeed, NotRegistered, TokenError
from diffs.http.tokens import Leave, feed_token, make_token, read_token
from diffs.keys import FeedName, parse_feed
from tests.testapp.models import Airport, Choice, Question, Tag

from .feeds import Feed

FEED = FeedName("testapp.question", "42")


def test_token_opens_its_feed() -> None:
    assert read_token(make_token(FEED)) == Leave(FEED)


@given(st.text())
def test_token_knows_any_name(pk: str) -> None:
    feed = FeedName("testapp.country", pk)

    assert read_token(make_token(feed)) == Leave(feed)


@given(st.text())
def test_token_can_stand_in_a_header_and_in_an_address(pk: str) -> None:
    assert re.fullmatch(r"diffs\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", make_token(FeedName("testapp.country", pk)))


@pytest.mark.parametrize("max_age", [10, 10.0, dt.timedelta(seconds=10)])
def test_token_expires(max_age: Any) -> None:
    token = make_token(FEED, max_age, now=1000.0)

    assert read_token(token, now=1009.9).feed == FEED
    with pytest.raises(TokenError, match="expired"):
        read_token(token, now=1010.0)


def test_token_is_good_as_long_as_the_setting_says(settings: Any) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "token_age": 60}
    token = make_token(FEED, now=1000.0)

    assert read_token(token, now=1059.0).feed == FEED
    with pytest.raises(TokenError, match="expired"):
        read_token(token, now=1060.0)


@pytest.mark.parametrize("max_age", [0, -1, float("nan"), "60", True, dt.timedelta()])
def test_token_takes_a_positive_age(max_age: Any) -> None:
    with pytest.raises(ValueError, match="max_age"):
        make_token(FEED, max_age)


def test_every_changed_token_is_refused() -> None:
    token = make_token(FEED)
    cut = [token[:length] for length in range(len(token))]
    changed = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(len(token))]

    for wrong in [*cut, *changed, token + "A", token + " ", token + "\n", token * 2, token.upper()]:
        with pytest.raises(TokenError):
            read_token(wrong)


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    for wrong in (text, f"diffs.{text}", f"diffs.{text}.{text}"):
        with pytest.raises(TokenError):
            read_token(wrong)


def test_what_was_signed_for_something_else_is_refused() -> None:
    foreign = Signer(salt="another purpose", sep=".").sign_object([str(FEED), 10**12])

    with pytest.raises(TokenError, match="not signed here"):
        read_token(f"diffs.{foreign}")


def test_token_survives_a_rotated_key_while_the_old_one_is_a_fallback(settings: Any) -> None:
    token = make_token(FEED)
    old, settings.SECRET_KEY = settings.SECRET_KEY, "the next key"

    settings.SECRET_KEY_FALLBACKS = [old]
    assert read_token(token).feed == FEED
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(TokenError, match="not signed here"):
        read_token(token)


def test_errors_do_not_quote_the_token() -> None:
    for token in ("diffs.secret.secret", "secret", make_token(FEED, 1, now=0.0)):
        with pytest.raises(TokenError) as caught:
            read_token(token)
        assert token not in str(caught.value) and "secret" not in repr(caught.value)


def test_feed_token_is_made_for_objects_and_models() -> None:
    assert read_token(diffs.feed_token(Question(pk=42))) == Leave(FEED)
    assert read_token(diffs.feed_token(Question, 42)) == Leave(FEED)
    assert read_token(diffs.feed_token(Airport)) == Leave(FeedName("testapp.airport"))


def test_feed_token_says_why_there_is_none() -> None:
    with pytest.raises(NotRegistered):
        feed_token(Tag(pk=1))
    with pytest.raises(NoModelFeed):
        feed_token(Question)
    with pytest.raises(ValueError, match="primary key"):
        feed_token(Question())


@pytest.mark.parametrize("how", ["query", "header"])
def test_token_opens_the_whole_feed(client: Client, questions: Feed, how: str) -> None:
    written = [questions.append(), questions.append(child=(Choice, 1))]
    token = diffs.feed_token(Question, 42)

    if how == "query":
        response = client.get(f"{questions.path}?token={token}")
    else:
        response = client.get(questions.path, headers={"Authorization": f"Bearer {token}"})

    assert (response.status_code, response.json()["diffs"]) == (200, written)


def test_expired_token_is_refused_also_to_who_is_logged_in(viewer: Client, questions: Feed) -> None:
    expired = make_token(questions.ref.name, 1, now=1000.0)

    response = viewer.get(f"{questions.path}?token={expired}")

    assert (response.status_code, response.json()["detail"]) == (401, "This feed token has expired.")
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(
    "other", ["testapp.question", "testapp.question:4", "testapp.question:420", "testapp.choice:42"]
)
def test_p8_token_opens_no_other_feed(client: Client, questions: Feed, other: str) -> None:
    response = client.get(f"{questions.path}?token={make_token(parse_feed(other))}")

    assert (response.status_code, response.json()["detail"]) == (401, "This feed token is for another feed.")


def test_token_of_the_parent_does_not_open_the_childs_own_feed(client: Client, questions: Feed) -> None:
    response = client.get(f"/diffs/testapp.choice/1/?token={diffs.feed_token(Question, 42)}")

    assert response.status_code == 401


def test_tokens_are_in_no_log(client: Client, questions: Feed, caplog: pytest.LogCaptureFixture) -> None:
    token = make_token(questions.ref.name, 1, now=1000.0)

    client.get(f"{questions.path}?token={token}")
    client.get(questions.path, headers={"Authorization": f"Bearer {token}"})

    # Django tells of every refusal; the ASGI application leaves that to the server's own log.
    assert bool(caplog.records) == (type(client) is Client)
    assert token not in caplog.text
