"""The object as it is now, with a cursor to go on from."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgpack
import pytest
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from diffs.capture import values
from diffs.http.tokens import feed_token
from tests.testapp.models import Archive, Country, Draft, Everything, Notice, Question, Score, Seat, Tag

from .feeds import Feed

pytestmark = [pytest.mark.database, pytest.mark.django_db(databases=["default", "other"])]


def test_snapshot_is_the_object_and_a_cursor(client: Client) -> None:
    notice = Notice.objects.create(headline="Fire", body="In the kitchen", draft="not yet")
    Feed(Notice, notice.pk).append()

    response = client.get(f"/diffs/testapp.notice/{notice.pk}/?snapshot=1")

    assert response.json() == {
        "cursor": str(Feed(Notice, notice.pk).now()),
        "more": False,
        "diffs": [],
        "snapshot": {
            "model": "testapp.notice",
            "pk": notice.pk,
            "data": {"headline": "Fire", "body": "In the kitchen"},
        },
    }
    assert response.headers["Cache-Control"] == "public, max-age=1"


def test_snapshot_holds_no_diffs_also_where_they_are_known_here(client: Client) -> None:
    notice = Notice.objects.create(headline="Fire")
    feed = Feed(Notice, notice.pk)
    feed.append()
    address = f"{feed.path}?since={feed.now()}"
    feed.append()
    assert len(client.get(address).json()["diffs"]) == 1

    assert client.get(address + "&snapshot=1").json()["diffs"] == []


def test_snapshot_has_many_to_many_fields(viewer: Client) -> None:
    moment = dt.datetime(2013, 6, 13, 5, 15, tzinfo=dt.timezone.utc)
    question = Question.objects.create(text="?", pub_date=moment, meta={"a": [1]})
    tags = [Tag.objects.create(name=name) for name in "ab"]
    question.tags.set(tags)

    data = viewer.get(f"/diffs/testapp.question/{question.pk}/?snapshot=1").json()["snapshot"]["data"]

    assert {name: data[name] for name in ("text", "votes", "pub_date", "meta", "tags")} == {
        "text": "?",
        "votes": 0,
        "pub_date": "2013-06-13T05:15:00Z",
        "meta": {"a": [1]},
        "tags": [tag.pk for tag in tags],
    }
    assert "secret" not in data


@pytest.mark.django_db(transaction=True)
def test_snapshot_has_the_values_of_the_creates_diff(client: Client, rule: Any) -> None:
    rule(Everything, permission="public")
    everything = Everything.objects.create(
        binary=b"\xff",
        char="火",
        date=dt.date(2013, 6, 13),
        datetime=dt.datetime(2013, 6, 13, 5, 15, 0, 7, tzinfo=dt.timezone.utc),
        decimal="1.50",
        duration=dt.timedelta(1, 2, 3),
        float=0.1,
        json={"deep": [None, 2**60]},
        positive=2**62,
        time=dt.time(5, 15),
        uuid="0ecd7b5a-42aa-4f0f-9d9c-5d6f2a9c3b11",
    )
    path = f"/diffs/testapp.everything/{everything.pk}/"
    (diff,) = client.get(path).json()["diffs"]

    assert client.get(path + "?snapshot=1").json()["snapshot"]["data"] == diff["data"]


def test_snapshot_goes_with_msgpack(client: Client) -> None:
    notice = Notice.objects.create(headline="Fire")
    path = f"/diffs/testapp.notice/{notice.pk}/?snapshot=1"

    packed = client.get(path, headers={"Accept": "application/msgpack"})

    assert msgpack.unpackb(packed.content) == client.get(path).json()


def test_snapshot_of_an_object_that_is_not_there(client: Client) -> None:
    response = client.get("/diffs/testapp.notice/1/?snapshot=1")

    assert (response.status_code, response.json()) == (
        404,
        {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "There is no such object."},
    )


@pytest.mark.parametrize(("model", "pk", "path"), [(Country, "a/b", "a_2Fb"), (Seat, (1, "A"), "1,A")])
def test_snapshot_of_any_primary_key(client: Client, rule: Any, model: Any, pk: Any, path: str) -> None:
    rule(model, permission="public")
    model.objects.create(pk=pk)

    snapshot = client.get(f"/diffs/{model._meta.label_lower}/{path}/?snapshot=1").json()["snapshot"]

    assert snapshot["pk"] == (list(pk) if isinstance(pk, tuple) else pk)


def test_change_while_the_snapshot_is_made_is_not_missed(
    client: Client, monkeypatch: pytest.MonkeyPatch, rule: Any
) -> None:
    notice = Notice.objects.create(headline="before")
    feed = Feed(Notice, notice.pk)
    row_data = values.row_data

    def changed_behind_our_back(*arguments: Any) -> Any:
        data = row_data(*arguments)
        feed.append(data={"headline": "after"})
        return data

    monkeypatch.setattr(values, "row_data", changed_behind_our_back)
    page = client.get(f"{feed.path}?snapshot=1").json()
    (diff,) = client.get(f"{feed.path}?since={page['cursor']}").json()["diffs"]

    assert (page["snapshot"]["data"]["headline"], diff["data"]["headline"]) == ("before", "after")


class WritesToOther:
    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        return "other" if model is Archive else None


def test_snapshot_is_read_where_the_object_is_written(client: Client, rule: Any, settings: Any) -> None:
    settings.DATABASE_ROUTERS = [f"{__name__}.WritesToOther"]
    rule(Archive, permission="public")
    Archive.objects.using("other").create(pk=1, title="written")
    Archive.objects.using("default").create(pk=1, title="an old copy")

    with CaptureQueriesContext(connections["default"]) as queries:
        response = client.get("/diffs/testapp.archive/1/?snapshot=1")

    assert response.json()["snapshot"]["data"] == {"title": "written"}
    assert len(queries) == 0


def test_token_opens_the_snapshot(client: Client) -> None:
    question = Question.objects.create(text="?")
    path = f"/diffs/testapp.question/{question.pk}/?snapshot=1"

    assert client.get(path).status_code == 401
    assert client.get(f"{path}&token={feed_token(question)}").json()["snapshot"]["data"]["text"] == "?"


def test_P8_snapshot_takes_the_permission_of_pulling(client: Client, user: User) -> None:
    question = Question.objects.create(text="?")
    path = f"/diffs/testapp.question/{question.pk}/?snapshot=1"
    client.force_login(user)

    before = client.get(path).status_code
    user.user_permissions.add(Permission.objects.get(codename="view_question"))

    assert (before, client.get(path).status_code) == (403, 200)


def test_P8_snapshot_keeps_back_what_a_model_does_not_send(client: Client, rule: Any) -> None:
    rule(Draft, permission="public")
    draft = Draft.objects.create(text="not for you")
    path = f"/diffs/testapp.draft/{draft.pk}/?snapshot=1"

    hidden = client.get(path)
    Draft.objects.update(published=True)

    assert (hidden.status_code, hidden.json()["detail"]) == (404, "There is no such object.")
    assert client.get(path).json()["snapshot"]["data"]["text"] == "not for you"


def test_P8_snapshot_holds_what_the_models_own_serializer_gives(client: Client, rule: Any) -> None:
    rule(Score, permission="public")
    score = Score.objects.create(name="ada", points=3)
    path = f"/diffs/testapp.score/{score.pk}/?snapshot=1"

    shown = client.get(path).json()["snapshot"]["data"]
    Score.objects.update(points=-1)

    assert shown == {
        "created": True,
        "now": {"points": 3},
        "before": {"name": "ada", "points": 3},
    }
    assert client.get(path).status_code == 404
