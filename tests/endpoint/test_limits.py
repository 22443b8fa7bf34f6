"""What one request may ask for at the most, by every way in and in every form."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from diffs.http.protocol import MAX_PARAMETERS, MAX_QUERY
from diffs.http.tokens import make_token
from diffs.store import Store
from tests.testapp.models import Notice

from .feeds import Feed
from .ways import AsgiClient

FORMS = {
    "JSON": "application/json",
    "msgpack": "application/msgpack",
    # The Django view answers it as a poll.
    "a stream": "text/event-stream",
}
NOTICE = "/diffs/testapp.notice/1/?"


def feeds(number: int) -> str:
    return "/diffs/?" + "&".join(f"feed=@testapp.notice:{pk}" for pk in range(number))


@pytest.fixture
def bounds(settings: Any) -> None:
    settings.DIFFS_SETTINGS = {
        **settings.DIFFS_SETTINGS,
        "max_page_size": 5,
        "page_size": 3,
        "max_feeds": 2,
        "max_wait": 1,
    }


def padded(path: str, length: int) -> str:
    """An address whose query has so many characters."""
    path += "&x="
    return path + "x" * (length - len(path.partition("?")[2]))


TOO_MUCH = {
    "too many feeds": feeds(3),
    "a limit that is too high": NOTICE + "limit=6",
    "a limit of several that is too high": feeds(2) + "&limit=6",
    "a wait that is too long": NOTICE + "wait=2",
    "a query that is too long": padded(NOTICE, MAX_QUERY + 1),
    "too many parameters": NOTICE + "&".join("x" * (MAX_PARAMETERS + 1)),
    "more tokens than feeds": feeds(2) + "&token=diffs.a.b" * 3,
}


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TOO_MUCH)
def test_who_asks_for_too_much_is_answered_400(
    client: Client, monkeypatch: pytest.MonkeyPatch, name: str, form: str, method: str
) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("Redis isn't asked.")

    monkeypatch.setattr(Store, "run", refuse)

    response = client.generic(method, TOO_MUCH[name], headers={"Accept": FORMS[form]})

    assert (response.status_code, response.headers["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("form", ["JSON", "msgpack"])
@pytest.mark.parametrize(
    "path",
    [
        feeds(2),
        NOTICE + "limit=5",
        NOTICE + "wait=1",
        padded(NOTICE, MAX_QUERY),
        NOTICE + "&".join("x" * MAX_PARAMETERS),
    ],
    ids=["feeds", "limit", "wait", "query", "parameters"],
)
def test_who_asks_for_just_as_much_is_answered(client: Client, notices: Feed, path: str, form: str) -> None:
    notices.append()

    assert client.get(path, headers={"Accept": FORMS[form]}).status_code == 200


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize(("query", "most"), [("", 3), ("limit=5", 5)])
def test_page_holds_no_more_than_that(client: Client, query: str, most: int) -> None:
    for pk in range(2):
        for _ in range(6):
            Feed(Notice, pk).append()

    one = client.get(f"{NOTICE}{query}").json()
    several = client.get(f"{feeds(2)}&{query}").json()["feeds"]

    assert [len(page["diffs"]) for page in (one, *several)] == [most] * 3


@pytest.mark.usefixtures("bounds")
def test_setting_that_allows_more_than_the_highest_gives_the_highest(client: Client, settings: Any) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "page_size": 100}
    for _ in range(6):
        Feed(Notice, 1).append()

    assert len(client.get(NOTICE).json()["diffs"]) == 5


def test_header_takes_no_more_tokens_than_there_are_feeds(client: Client) -> None:
    token = make_token(Feed(Notice, 1).ref.name)

    for number, status in ((1, 200), (2, 400), (400, 400)):
        header = {"Authorization": "Bearer " + ", ".join([token] * number)}
        assert client.get(NOTICE, headers=header).status_code == status


@pytest.mark.parametrize("name", ["Accept", "Prefer", "Last-Event-ID", "If-None-Match", "Authorization", "Cookie"])
@pytest.mark.parametrize("text", ["a" * 8000, "," * 8000, "a=b;" * 2000, "a/b;q=0.1," * 800, '"' * 8000, '\\"' * 4000])
def test_long_header_is_read_or_ignored(client: Client, notices: Feed, name: str, text: str) -> None:
    assert client.get(NOTICE, headers={name: text}).status_code == 200


def test_p4_last_event_id_of_too_many_cursors_is_refused(db: None) -> None:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": ",".join(["0a1b2c3d_5f"] * 600)}

    assert AsgiClient().get(NOTICE, headers=headers).status_code == 400
