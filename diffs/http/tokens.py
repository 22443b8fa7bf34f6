"""Feed tokens: signed leave to read one feed until a time, with nothing kept on the server.

A token is ``diffs.<payload>.<signature>``. The prefix tells it from other bearer tokens, which are left to the site's
own authentication; the payload is the feed's name, the second in which the token expires and, where it is for one user
only, the text of that user's primary key.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from typing import Any, NamedTuple

from django.core.signing import BadSignature, Signer
from django.db import models

from diffs.conf import is_age, microseconds, settings
from diffs.errors import TokenError
from diffs.keys import FeedName, parse_feed

from .addresses import name_feed

Age = float | dt.timedelta | None

PREFIX = "diffs."

_SALT = "diffs.feed-token"
_MAX_LENGTH = 32_768
_TEXT = re.compile(r"diffs\.([\w-]+\.[\w-]+)", re.ASCII)


class Leave(NamedTuple):
    """What a token gives."""

    feed: FeedName
    """The feed that it opens."""
    user: str | None = None
    """The text of the primary key of the user whom it opens it to; ``None``: to whoever has the token."""


def feed_token(
    subject: models.Model | type[models.Model], pk: Any = None, *, max_age: Age = None, user: Any = None
) -> str:
    """Sign leave to pull a feed, with all that stands in it, for whoever has the token or for one user.

    Args:
        subject: an object, or with `pk` its model; a model alone for the model feed.
        pk: the object's primary key, so that it needn't be loaded.
        max_age: how long the token is good, in seconds or as a ``timedelta``; ``None``: the setting ``token_age``.
        user: whom alone it opens the feed to, once logged in: a user, or a user's primary key.

    Raises:
        NotRegistered: the model has no diffs.
        NoModelFeed: the model keeps no feed of all its objects.
        ValueError: the object has no primary key, `pk` can't be one, `max_age` is no positive length of time, or
            nobody is logged in as `user`.
    """
    return make_token(name_feed(subject, pk)[1], max_age, user=user)


def make_token(feed: FeedName, max_age: Age = None, *, user: Any = None, now: float | None = None) -> str:
    """Sign leave to read a feed, with all that stands in it.

    Args:
        feed: which.
        max_age: how long the token is good, in seconds or as a ``timedelta``; ``None``: the setting ``token_age``.
        user: see `feed_token`.
        now: seconds since the Unix epoch, for tests.

    Raises:
        ValueError: `max_age` is no positive length of time, or `user` has no primary key.
    """
    if max_age is not None and not is_age(max_age):
        raise ValueError("A token's max_age is a positive number of seconds, or a timedelta.")
    age = settings.token_age if max_age is None else microseconds(max_age)
    expiry = int(_time(now) + age / 1_000_000)
    bound = () if user is None else (_bound_to(user),)
    return PREFIX + _signer().sign_object([str(feed), expiry, *bound])


def read_token(token: str, *, now: float | None = None) -> Leave:
    """What a token opens, and to whom.

    Args:
        token: what `make_token` gave.
        now: seconds since the Unix epoch, for tests.

    Raises:
        TokenError: the token is wrong or expired.
    """
    match = _TEXT.fullmatch(token) if len(token) <= _MAX_LENGTH else None
    if match is None:
        raise TokenError("This is no feed token.")
    try:
        # The signature is looked at before anything that it signs, and takes as long whatever is wrong with it.
        feed, expiry, *bounds = _signer().unsign_object(match[1])
    except BadSignature:
        raise TokenError("This feed token was not signed here.") from None
    if _time(now) >= expiry:
        raise TokenError("This feed token has expired.")
    if len(bounds) > 1:
        raise TokenError("This feed token is of a later release, and bound to more than this one knows.")
    return Leave(parse_feed(feed), *bounds)


def user_text(user: Any) -> str | None:
    """The text of a user's primary key, by which tokens know users; ``None`` where there is none."""
    pk = getattr(user, "pk", None)
    return None if pk is None else str(pk)


def _bound_to(user: Any) -> str:
    text = user_text(user) if hasattr(user, "pk") else str(user)
    if not text or isinstance(user, bool):
        raise ValueError(
            "A token's user is a user who is logged in, or a user's primary key: nobody else could use the token."
        )
    return text


def _signer() -> Signer:
    # Made anew each time, as the keys may have been changed; the separator is one that a bearer token may hold.
    return Signer(salt=_SALT, sep=".")


def _time(now: float | None) -> float:
    return time.time() if now is None else now
