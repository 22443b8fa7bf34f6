"""What a page needs so that its client can follow a feed: in views and in templates."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.template import Context, Template
from django.test import Client
from django.utils.functional import SimpleLazyObject
from pytest_django import DjangoAssertNumQueries

import diffs
from diffs.errors import NoModelFeed, NotRegistered
from diffs.http import ClientFeed, client_feed
from diffs.http.tokens import read_token
from diffs.keys import FeedName
from diffs.registration import Options, Registration, add, remove
from tests.servers import RedisServer
from tests.testapp.models import Airport, Country, HotQuestion, Notice, Question, Tag

from .feeds import Feed

NAME = FeedName("testapp.question", "42")


def attributes(html: str) -> dict[str, str | None]:
    """What a browser finds in an element with these attributes."""
    found: dict[str, str | None] = {}

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.update(attrs)

    Parser().feed(f"<p {html}>")
    return found


def render(template: str, **context: Any) -> str:
    return Template("{% load diffs %}" + template).render(Context(context))


@pytest.mark.parametrize("subject", [(Question(pk=42),), (Question, 42), (Question, "42"), (HotQuestion(pk=42),)])
def test_client_feed_is_made_of_an_object_or_of_its_primary_key(
    questions: Feed, subject: Any, django_assert_num_queries: DjangoAssertNumQueries, db: None
) -> None:
    questions.append()
    with django_assert_num_queries(0):
        feed = client_feed(*subject)

    assert (feed.url, feed.cursor) == (questions.path, str(questions.now()))
    assert read_token(feed.token or "").feed == NAME


def test_client_feed_of_a_model(rule: Any) -> None:
    feed = client_feed(Airport)

    assert (feed.url, feed.cursor) == ("/diffs/testapp.airport/", str(Feed(Airport).now()))
    assert read_token(feed.token or "").feed == FeedName("testapp.airport")


def test_client_feed_of_a_lazy_object() -> None:
    user = SimpleLazyObject(lambda: User(pk=7))
    registration = Registration(User, Options())
    add(registration)
    try:
        feed = client_feed(user)
    finally:
        remove(registration)

    assert feed.url == "/diffs/auth.user/7/"


def test_client_follows_from_the_cursor_that_its_page_got(client: Client, notices: Feed) -> None:
    notices.append()
    feed = client_feed(Notice, 1)
    behind = notices.append()

    assert client.get(f"{feed.url}?since={feed.cursor}").json()["diffs"] == [behind]


def test_public_feed_gets_a_token_only_where_one_is_asked_for() -> None:
    assert client_feed(Notice, 1).token is None
    assert read_token(client_feed(Notice, 1, token=True).token or "").feed == FeedName("testapp.notice", "1")


def test_client_feed_without_token() -> None:
    assert client_feed(Question, 42, token=False).token is None


def test_token_of_a_client_feed_is_good_as_long_as_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    feed = client_feed(Question, 42, max_age=60)

    read_token(feed.token or "", now=1059.0)
    with pytest.raises(diffs.DiffsError, match="expired"):
        read_token(feed.token or "", now=1060.0)


def test_client_feed_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ClientFeed("/").cursor = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("subject", "error"),
    [
        ((Tag(pk=1),), NotRegistered),
        ((Tag, 1), NotRegistered),
        ((Question,), NoModelFeed),
        ((Question(),), ValueError),
        ((Question, "x"), ValueError),
    ],
)
def test_client_feed_says_why_there_is_none(subject: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        client_feed(*subject)


def test_page_is_made_also_while_redis_is_away(server: RedisServer) -> None:
    server.kill()

    feed = client_feed(Question, 42)

    assert (feed.url, feed.cursor) == ("/diffs/testapp.question/42/", "")
    assert attributes(render("{% diffs_feed question %}", question=Question(pk=42)))["data-diffs-cursor"] == ""


def test_tag_writes_the_attributes_of_an_element() -> None:
    found = attributes(render("{% diffs_feed question %}", question=Question(pk=42)))

    assert found == {
        "data-diffs-url": "/diffs/testapp.question/42/",
        "data-diffs-token": found["data-diffs-token"],
        "data-diffs-cursor": "",
    }
    assert read_token(found["data-diffs-token"] or "").feed == NAME


def test_tag_asks_redis_nothing_as_a_cursor_of_now_would_leave_a_hole(redis_server: RedisServer) -> None:
    def reads() -> int:
        count: int = redis_server.client.info("stats")["total_reads_processed"]
        return count

    before = reads()
    render("{% diffs_feed question %}", question=Question(pk=42))

    assert reads() == before + 1


def test_tag_without_token() -> None:
    html = render("{% diffs_feed question token=False %}", question=Question(pk=42))

    assert html == 'data-diffs-url="/diffs/testapp.question/42/" data-diffs-cursor=""'


def test_tag_of_a_public_object_has_no_token_unless_it_is_asked_for() -> None:
    assert "data-diffs-token" not in attributes(render("{% diffs_feed notice %}", notice=Notice(pk=1)))
    assert "data-diffs-token" in attributes(render("{% diffs_feed notice token=True %}", notice=Notice(pk=1)))


def test_tag_takes_the_age_of_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    found = attributes(render("{% diffs_feed question max_age=60 %}", question=Question(pk=42)))

    with pytest.raises(diffs.DiffsError, match="expired"):
        read_token(found["data-diffs-token"] or "", now=1060.0)


def test_tag_takes_what_the_view_asked_for_early(questions: Feed) -> None:
    feed = client_feed(Question, 42)

    assert attributes(render("{% diffs_feed feed %}", feed=feed)) == {
        "data-diffs-url": feed.url,
        "data-diffs-token": feed.token,
        "data-diffs-cursor": feed.cursor,
    }
    assert "data-diffs-token" not in attributes(render("{% diffs_feed feed token=False %}", feed=feed))


def test_tag_puts_the_feed_into_the_context() -> None:
    html = render(
        "{% diffs_feed question token=False as feed %}[{{ feed.url }}|{{ feed.token }}|{{ feed.cursor }}]{{ feed }}",
        question=Question(pk=42),
    )

    assert html == (
        '[/diffs/testapp.question/42/|None|]data-diffs-url="/diffs/testapp.question/42/" data-diffs-cursor=""'
    )


@pytest.mark.parametrize("template", ["{% diffs_feed feed %}", "{{ feed }}"])
@pytest.mark.parametrize("autoescape", ["on", "off"])
def test_attributes_are_escaped_once(template: str, autoescape: str) -> None:
    feed = ClientFeed('/"><script>&', "'<t>&amp;", '"c"')
    html = render(f"{{% autoescape {autoescape} %}}{template}{{% endautoescape %}}", feed=feed)

    assert attributes(html) == {
        "data-diffs-url": feed.url,
        "data-diffs-token": feed.token,
        "data-diffs-cursor": feed.cursor,
    }
    assert "<" not in html


def test_tag_quotes_primary_keys() -> None:
    found = attributes(render("{% diffs_feed country %}", country=Country(pk='"/><b>')))

    assert found["data-diffs-url"] == "/diffs/testapp.country/_22_2F_3E_3Cb_3E/"


def test_tag_of_what_has_no_feed_is_an_error() -> None:
    with pytest.raises(NotRegistered):
        render("{% diffs_feed tag %}", tag=Tag(pk=1))


def test_address_is_where_the_endpoint_is_mounted(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.endpoint.elsewhere"

    assert client_feed(Question, 42).url == "/api/v1/changes/testapp.question/42/"


def test_package_can_be_imported_before_django_is_set_up() -> None:
    code = "import diffs.http, sys; diffs.http.client_feed; print('diffs.http.views' in sys.modules)"

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "False\n"


def test_client_begins_where_the_view_asked(client: Client, db: None) -> None:
    notice = Notice.objects.create(headline="before")
    feed = client_feed(Notice, notice.pk)
    written = Feed(Notice, notice.pk).append(data={"headline": "after"})
    html = render("{% diffs_feed feed %}", feed=feed)

    found = attributes(html)
    page = client.get(f"{found['data-diffs-url']}?since={found['data-diffs-cursor']}").json()

    assert page["diffs"] == [written]
