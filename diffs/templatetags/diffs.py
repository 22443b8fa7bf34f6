"""``{% load diffs %}``: what a page's client needs to follow a feed."""

from __future__ import annotations

import dataclasses
from typing import Any

from django import template
from django.db import models
from django.utils.safestring import SafeString

from diffs.http.client import ClientFeed, feed_address
from diffs.http.tokens import Age

register = template.Library()


class FeedAttributes(SafeString):
    """An element's attributes as text, which also knows each by itself."""

    url: str
    token: str | None
    cursor: str


@register.simple_tag
def diffs_feed(
    subject: models.Model | ClientFeed, *, token: bool | None = None, max_age: Age = None, user: Any = None
) -> FeedAttributes:
    """Write the attributes from which a client learns how to follow a feed.

    ``<table {% diffs_feed question %}>`` writes an empty cursor, from which the client begins with the oldest diff
    that is retained: the page's queries came before the tag, so that a cursor of now would leave a hole. A view that
    asked before its queries, by ``diffs.http.client_feed``, gives the tag what it got.

    Args:
        subject: an object, or what ``client_feed`` gave.
        token: whether there is a token; ``None``: where the model isn't public.
        max_age: how long the token is good, in seconds; ``None``: the setting ``token_age``.
        user: whom alone the token opens the feed to, ``user=request.user``; only with an object.
    """
    if isinstance(subject, ClientFeed) and user is not None:
        raise ValueError("This feed has its token already: give the user to client_feed().")
    if not isinstance(subject, ClientFeed):
        feed = feed_address(subject, token=token, max_age=max_age, user=user)
    elif token is False:
        feed = dataclasses.replace(subject, token=None)
    else:
        feed = subject
    attributes = FeedAttributes(feed)
    attributes.url, attributes.token, attributes.cursor = feed.url, feed.token, feed.cursor
    return attributes
