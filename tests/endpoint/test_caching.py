"""What caches are told, and what they may spare."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client

from diffs.http.tokens import feed_token
from tests.testapp.models import Choice, Notice, Question

from .feeds import Feed

PUBLIC = ("public, max-age=1", "Accept")
PRIVATE = ("private, no-cache", "Accept, Authorization, Cookie")


def caching(response: Any) -> tuple[str, str]:
    return response.headers["Cache-Control"], response.headers["Vary"]


def test_page_that_everybody_gets_is_public(client: Client, notices: Feed) -> None:
    notices.append()

    assert caching(client.get(notices.path)) == PUBLIC


def test_page_for_one_reader_is_private(viewer: Client, questions: Feed) -> None:
    assert caching(viewer.get(questions.path)) == PRIVATE


def test_page_opened_by_a_token_is_private(client: Client, notices: Feed) -> None:
    assert caching(client.get(f"{notices.path}?token={feed_token(notices.registration.model, 1)}")) == PRIVATE


def test_public_page_is_private_where_a_child_was_decided_on(client: Client, questions: Feed, rule: Any) -> None:
    rule(Question, permission="public")
    questions.append()
    before = caching(client.get(questions.path))
    questions.append(child=(Choice, 1))

    assert (before, caching(client.get(questions.path))) == (PUBLIC, PRIVATE)


def test_page_of_several_feeds_is_private_where_one_is(viewer: Client, notices: Feed, questions: Feed) -> None:
    assert caching(viewer.get(f"/diffs/?feed=@{notices.name}")) == PUBLIC
    assert caching(viewer.get(f"/diffs/?feed=@{notices.name}&feed=@{questions.name}")) == PRIVATE


def test_unchanged_page_is_not_sent_again(client: Client, notices: Feed) -> None:
    notices.append()
    page = client.get(notices.path)

    unchanged = client.get(notices.path, headers={"If-None-Match": page.headers["ETag"]})

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert {name: unchanged.headers.get(name) for name in ("ETag", "Cache-Control", "Vary", "Content-Type")} == {
        **{name: page.headers[name] for name in ("ETag", "Cache-Control", "Vary")},
        "Content-Type": None,
    }


def test_private_page_is_not_sent_again_either(viewer: Client, questions: Feed) -> None:
    etag = viewer.get(questions.path).headers["ETag"]

    unchanged = viewer.get(questions.path, headers={"If-None-Match": etag})

    assert (unchanged.status_code, caching(unchanged)) == (304, PRIVATE)


def test_polling_gets_the_same_etag_until_something_happens(client: Client, notices: Feed) -> None:
    path = f"{notices.path}?since={notices.now()}"
    etags = {client.get(path).headers["ETag"] for _ in range(3)}
    diff = notices.append()

    changed = client.get(path, headers={"If-None-Match": ", ".join(etags)})

    assert len(etags) == 1
    assert (changed.status_code, changed.json()["diffs"]) == (200, [diff])


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("{etag}", 304),
        ('"other", {etag}', 304),
        ('{etag} , W/"other"', 304),
        ("{strong}", 304),
        ("*", 304),
        (" * ", 304),
        ("", 200),
        ('"other"', 200),
        ('W/"other"', 200),
        ("{bare}", 200),
        ('"{etag}"', 200),
        ('W/W/{strong}', 200),
        (",,,", 200),
        ("é", 200),
    ],
)  # fmt: skip
def test_if_none_match_takes_lists_and_weak_tags(client: Client, notices: Feed, header: str, status: int) -> None:
    etag = client.get(notices.path).headers["ETag"]
    strong = etag.removeprefix("W/")
    sent = header.format(etag=etag, strong=strong, bare=strong.strip('"'))

    assert client.get(notices.path, headers={"If-None-Match": sent}).status_code == status


def test_head_may_be_unchanged_too(client: Client, notices: Feed, settings: Any) -> None:
    # One of them would say how long the body is that isn't there.
    settings.MIDDLEWARE = []
    head, get = (client.generic(method, notices.path, headers={"If-None-Match": "*"}) for method in ("HEAD", "GET"))

    assert head.status_code == get.status_code == 304
    assert dict(head.headers) == dict(get.headers)


def test_etag_is_weak_and_another_one_for_another_form(client: Client, notices: Feed) -> None:
    json, msgpack = (
        client.get(notices.path, headers={"Accept": f"application/{form}"}) for form in ("json", "msgpack")
    )

    assert json.headers["ETag"].startswith('W/"')
    assert json.headers["ETag"] != msgpack.headers["ETag"]


def test_etag_is_another_one_where_more_is_shown(viewer: Client, user: User, questions: Feed) -> None:
    questions.append(child=(Choice, 1))
    before = viewer.get(questions.path).headers["ETag"]
    user.user_permissions.add(Permission.objects.get(codename="view_choice"))

    assert viewer.get(questions.path, headers={"If-None-Match": before}).status_code == 200


def test_etag_is_another_one_where_the_actor_is_shown(viewer: Client, questions: Feed) -> None:
    questions.append(actor="ada")
    etags = [viewer.get(questions.path + query).headers["ETag"] for query in ("", f"?token={feed_token(Question, 42)}")]

    assert etags[0] != etags[1]


def test_etag_is_another_one_where_there_is_more_behind_the_same_page(client: Client, notices: Feed) -> None:
    notices.append()
    before = client.get(notices.path + "?limit=1")
    notices.append()
    after = client.get(notices.path + "?limit=1")

    assert (before.json()["diffs"], before.json()["cursor"]) == (after.json()["diffs"], after.json()["cursor"])
    assert before.headers["ETag"] != after.headers["ETag"]


def test_etag_of_a_collapsed_page_is_another_one(client: Client, notices: Feed) -> None:
    notices.append(data={"body": "a"})
    notices.append(data={"headline": "b"})

    assert len({client.get(notices.path + query).headers["ETag"] for query in ("", "?collapse=1")}) == 2


def test_etag_of_several_feeds_is_another_one_when_one_of_them_changes(client: Client, notices: Feed) -> None:
    path = f"/diffs/?feed=@{notices.name}&feed=now@testapp.notice:2"
    before = client.get(path).headers["ETag"]
    assert client.get(path, headers={"If-None-Match": before}).status_code == 304
    notices.append()
    after = client.get(path).headers["ETag"]
    Feed(Notice, 2).append()

    assert len({before, after, client.get(path).headers["ETag"]}) == 3


@pytest.mark.django_db
def test_etag_of_a_snapshot_is_another_one_when_the_object_is(client: Client) -> None:
    notice = Notice.objects.create(headline="Fire")
    path = f"/diffs/testapp.notice/{notice.pk}/?snapshot=1"
    before = client.get(path)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_notice SET headline = 'Flood'")  # which nobody records
    after = client.get(path)

    assert before.json()["cursor"] == after.json()["cursor"]
    assert before.headers["ETag"] != after.headers["ETag"]


def test_refused_cursor_is_never_unchanged(client: Client, notices: Feed) -> None:
    notices.now()

    response = client.get(f"{notices.path}?since=00000000_1", headers={"If-None-Match": "*"})

    assert (response.status_code, response.headers["Cache-Control"]) == (410, "no-store")


def test_answer_in_which_a_feed_is_refused_is_not_stored(client: Client, notices: Feed) -> None:
    response = client.get(f"/diffs/?feed=00000000_1@{notices.name}")

    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")
