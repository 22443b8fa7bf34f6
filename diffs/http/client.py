"""What a page needs so that its client can follow a feed."""

from __future__ import annotations

import dataclasses
from typing import Any

from django.db import models
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from diffs.errors import StoreUnavailable
from diffs.quoting import quote
from diffs.store import FeedRef, Read, get_store

from .addresses import name_feed
from .permissions import PUBLIC
from .tokens import Age, make_token


@dataclasses.dataclass(frozen=True, slots=True)
class ClientFeed:
    """A feed as a client knows it; in a template it becomes the attributes of an element."""

    url: str
    """Where to pull."""
    token: str | None = None
    """What opens the feed to whoever has it; ``None``: the client's own login does."""
    cursor: str = ""
    """From where to go on; empty: from the oldest diff that is retained."""

    def __html__(self) -> SafeString:
        token = "" if self.token is None else format_html(' data-diffs-token="{}"', self.token)
        return format_html('data-diffs-url="{}"{} data-diffs-cursor="{}"', self.url, token, self.cursor)

    def __str__(self) -> str:
        return self.__html__()


def feed_address(
    subject: models.Model | type[models.Model],
    pk: Any = None,
    *,
    token: bool | None = None,
    max_age: Age = None,
    user: Any = None,
) -> ClientFeed:
    """What a client needs to follow a feed from its oldest diff; Redis isn't asked.

    Args, Raises: see `client_feed`.
    """
    registration, name = name_feed(subject, pk)
    if name.pk is None:
        url = reverse("diffs:model", args=[name.model])
    else:
        url = reverse("diffs:object", args=[name.model, quote(name.pk)])
    if token is None:
        token = registration.options.permission != PUBLIC
    return ClientFeed(url, make_token(name, max_age, user=user) if token else None)


def client_feed(
    subject: models.Model | type[models.Model],
    pk: Any = None,
    *,
    token: bool | None = None,
    max_age: Age = None,
    user: Any = None,
) -> ClientFeed:
    """What a client needs to follow a feed from now on.

    Call it before the queries whose results the page shows: then nothing falls between page and diffs.

    Args:
        subject: an object, or with `pk` its model; a model alone for the model feed.
        pk: the object's primary key, so that it needn't be loaded.
        token: whether a token is made, which opens the feed to everybody who gets the page; ``None``: where the
            model isn't public.
        max_age: how long the token is good, in seconds or as a ``timedelta``; ``None``: the setting ``token_age``.
        user: whom alone the token opens the feed to, once logged in: ``request.user``, or a user's primary key.

    Returns:
        The feed; its cursor is empty where Redis is away.

    Raises:
        NotRegistered: the model has no diffs.
        NoModelFeed: the model keeps no feed of all its objects.
        ValueError: the object has no primary key, `pk` can't be one, `max_age` is no length of time, or nobody is
            logged in as the `user` whom a token is to be made for.
    """
    address = feed_address(subject, pk, token=token, max_age=max_age, user=user)
    registration, name = name_feed(subject, pk)
    try:
        page = get_store().read_one(Read(feed=FeedRef(name, registration.window), mode="cursor"))
    except StoreUnavailable:
        return address
    return dataclasses.replace(address, cursor=str(page.cursor))
