"""A site that has something to hide, and what those who ask it may know."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from django.conf import settings as django_settings
from django.contrib.auth.models import Permission, User
from django.test import Client

from diffs.http.tokens import make_token
from tests.endpoint.feeds import Feed
from tests.testapp.models import Airport, Choice, Country, Notice, Question, Seat, Token

KEY = "canary-of-the-secret-key"
PASSWORD = "canary-of-the-password"
COLUMN = "canary-of-a-column"
ACTOR = "canary-of-an-actor"
PRIVATE = "canary-of-a-private-feed"


@dataclasses.dataclass(frozen=True)
class Site:
    """What there is on the server."""

    cursors: Sequence[str]
    names: Sequence[str]
    """Of feeds."""
    addresses: Sequence[tuple[str, str]]
    """Models and primary keys as paths have them."""
    sessions: dict[str, str]
    """Cookies by who has them."""
    good: Sequence[str]
    """Tokens that open the private feed to whoever has them."""
    tokens: Sequence[str]
    """Tokens that don't."""
    secrets: Sequence[str]
    """What nobody may ever be shown."""


def build() -> Site:
    """Fill databases and feeds."""
    question = Question.objects.create(pk=42, text=PRIVATE, secret=COLUMN)
    Notice.objects.create(pk=1, headline="Fire", draft=COLUMN)
    filled = [Feed(Question, 42), Feed(Notice, 1), Feed(Airport), Feed(Country, "a/b@:é"), Feed(Seat, (1, "A"))]
    for feed in filled:
        is_public = feed.registration.model is Notice
        for number in range(3):
            own = None if feed.pk is not None else (Airport, number)
            feed.append("update", {"text": "Fire" if is_public else PRIVATE}, actor=ACTOR, child=own)
            feed.append("update", {"text": PRIVATE}, actor=ACTOR, child=(Choice, number))
            feed.append("delete", child=(Choice, number))
    ada, bob = (User.objects.create_user(name) for name in ("ada", "bob"))
    ada.user_permissions.set(Permission.objects.filter(content_type__app_label="testapp", codename__startswith="view"))
    sessions = {"nobody": ""}
    for user in (ada, bob):
        client = Client()
        client.force_login(user)
        sessions[user.username] = client.cookies[django_settings.SESSION_COOKIE_NAME].value
    private = Feed(Question, question.pk).ref.name
    return Site(
        cursors=["now", "", "00000000_0", *(str(feed.now()) for feed in filled), _aged(filled[1])],
        names=[*(feed.name for feed in filled), "testapp.token:x", "auth.user:1", "testapp.notice"],
        addresses=[
            ("testapp.question", "42"),
            ("testapp.notice", "1"),
            ("testapp.airport", "1"),
            ("testapp.country", "a_2Fb_40_3Aé"),
            ("testapp.seat", "1,A"),
            ("testapp.token", "00000000-0000-0000-0000-000000000007"),
            ("auth.user", "1"),
        ],
        sessions=sessions,
        good=[make_token(private)],
        tokens=[
            make_token(private, 1, now=0.0),
            make_token(private, user=bob.pk + 10**6),
            make_token(Feed(Notice, 1).ref.name),
            make_token(Feed(Token, "7" * 32).ref.name),
        ],
        secrets=[KEY, PASSWORD, COLUMN],
    )


def _aged(feed: Any) -> str:
    return str(feed.aged_cursor(seconds=7200))
