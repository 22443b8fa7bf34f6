"""P8 No cache that readers share may keep what depended on who asked, whatever was asked and however it came out."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission, User
from django.test import Client

from diffs.http.tokens import feed_token, make_token
from tests.testapp.models import Choice, Notice

from .feeds import Feed

QUERIES = {
    "all": "",
    "nothing new": "since={now}",
    "now": "since=now",
    "a limit": "limit=1",
    "collapsed": "collapse=1",
    "a snapshot": "snapshot=1",
    "a refused cursor": "since=00000000_1",
    "a malformed cursor": "since=x",
    "a wrong token": "token=diffs.a.b",
}
HEADERS = {
    "JSON": {},
    "msgpack": {"Accept": "application/msgpack"},
    "unchanged": {"If-None-Match": "*"},
}
WHO = ("nobody", "ada", "bob", "a token", "a token in the header", "a token of ada's", "an expired token")
FEEDS = ("private", "public with a child", "several, one private", "public")


FORMS = [("GET", headers) for headers in HEADERS.values()] + [("HEAD", {})]


@pytest.fixture
def asked(client: Client, questions: Feed, notices: Feed, user: User, rule: Any) -> Any:
    """Ask as somebody, and give the answer."""
    rule(Choice, permission="testapp.view_question")
    user.user_permissions.add(Permission.objects.get(codename="view_question"))
    public = Feed(Notice, 2)
    questions.append()
    notices.append(child=(Choice, 1))
    public.append()
    first = {"private": questions, "public with a child": notices, "several, one private": questions, "public": public}
    readers: dict[str, Client] = {}
    for name in WHO:
        reader = readers[name] = type(client)()
        if name in ("ada", "a token of ada's"):
            reader.force_login(user)
        elif name == "bob":
            reader.force_login(User.objects.create_user("bob"))

    def ask(what: str, query: str, who: str, headers: dict[str, str], method: str = "GET") -> Any:
        feed = first[what]
        text = QUERIES[query].format(now=feed.now())
        if what.startswith("several"):
            since = text.removeprefix("since=") if text.startswith("since=") else ""
            path = f"/diffs/?feed={since}@{questions.name}&feed={since}@{public.name}"
            path += f"&{text}" if not since else ""
        else:
            path = f"{feed.path}?{text}"
        if "token" in who:
            age = {"max_age": 1, "now": 0.0} if who == "an expired token" else {}
            token = make_token(feed.ref.name, user=user if who == "a token of ada's" else None, **age)
            if who == "a token in the header":
                headers = {**headers, "Authorization": f"Bearer {token}"}
            else:
                path += f"&token={token}"
        return readers[who].generic(method, path, headers=headers)

    return ask


def is_kept(response: Any) -> bool:
    """Whether caches that readers share may keep it."""
    words = {word.strip() for word in response.headers.get("Cache-Control", "").split(",")}
    return not words & {"private", "no-store"}


@pytest.mark.parametrize(("what", "who"), list(itertools.product(FEEDS, WHO)))
def test_p8_no_answer_that_depended_on_the_reader_may_be_kept(asked: Any, what: str, who: str) -> None:
    for query, (method, headers) in itertools.product(QUERIES, FORMS):
        response = asked(what, query, who, headers, method)

        told = f"{method} {query} {headers}: {response.status_code}"
        if is_kept(response):
            # The others see the same, and nobody's leave was asked.
            assert what in ("public", "public with a child") and "token" not in who, told
            assert response.status_code in (200, 304), told
            assert response.headers["Cache-Control"] == "public, max-age=1", told
            assert response.headers["Vary"] == "Accept", told
            if response.content:
                assert b"testapp.choice" not in response.content, told
        elif response.status_code in (200, 304) and "no-store" not in response.headers["Cache-Control"]:
            assert response.headers["Cache-Control"] == "private, no-cache", told
            assert response.headers["Vary"] == "Accept, Authorization, Cookie", told


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "PUT", "DELETE"])
def test_p8_answers_to_other_methods_may_not_be_kept_either(asked: Any, method: str) -> None:
    for what in FEEDS:
        response = asked(what, "all", "ada", {}, method)
        assert response.status_code == 204 or not is_kept(response)


@pytest.mark.parametrize("who", ["ada", "bob"])
def test_public_page_may_be_kept_whoever_has_a_session(asked: Any, who: str) -> None:
    assert is_kept(asked("public", "all", who, {}))


def test_p8_page_that_a_middleware_puts_a_cookie_into_is_for_one_reader(
    notices: Feed, user: User, settings: Any
) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    client = Client()
    client.force_login(user)
    notices.append()

    response = client.get(notices.path)

    assert django_settings.SESSION_COOKIE_NAME in response.cookies
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert {"Accept", "Cookie"} <= {word.strip() for word in response.headers["Vary"].split(",")}


def test_p8_bound_token_s_page_is_its_user_s(client: Client, notices: Feed, user: User) -> None:
    client.force_login(user)
    path = f"{notices.path}?token={feed_token(Notice, 1, user=user)}"
    etag = client.get(path).headers["ETag"]

    unchanged = client.get(path, headers={"If-None-Match": etag})
    client.logout()
    refused = client.get(path, headers={"If-None-Match": etag})

    assert (unchanged.status_code, refused.status_code) == (304, 401)
