"""Feed tokens: signed leave to read one feed until a time, with nothing kept on the server.

A token is ``diffs.<payload>.<signature>``. The prefix tells it from other bearer tokens, which are left to the site's
own authentication; the payload is the feed's name and the second in which the token expires.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from typing import Any

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


def feed_token(subject: models.Model | type[models.Model], pk: Any = None, *, max_age: Age = None) -> str:
    """Sign leave to pull a feed, with all that stands in it, for whoever has the token.

    Args:
        subject: an object, or with `pk` its model; a model alone for the model feed.
        pk: the object's primary key, so that it needn't be loaded.
        max_age: how long the token is good, in seconds or as a ``timedelta``; ``None``: the setting ``token_age``.

    Raises:
        NotRegistered: the model has no diffs.
        NoModelFeed: the model keeps no feed of all its objects.
        ValueError: the object has no primary key, `pk` can't be one, or `max_age` is no positive length of time.
    """
    return make_token(name_feed(subject, pk)[1], max_age)


def make_token(feed: FeedName, max_age: Age = None, *, now: float | None = None) -> str:
    """Sign leave to read a feed, with all that stands in it.

    Args:
        feed: which.
        max_age: how long the token is good, in seconds or as a ``timedelta``; ``None``: the setting ``token_age``.
        now: seconds since the Unix epoch, for tests.

    Raises:
        ValueError: `max_age` is no positive length of time.
    """
    if max_age is not None and not is_age(max_age):
        raise ValueError("A token's max_age is a positive number of seconds, or a timedelta.")
    age = settings.token_age if max_age is None else microseconds(max_age)
    expiry = int(_time(now) + age / 1_000_000)
    return PREFIX + _signer().sign_object([str(feed), expiry])


def read_token(token: str, *, now: float | None = None) -> FeedName:
    """The feed that a token opens.

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
        feed, expiry = _signer().unsign_object(match[1])
    except BadSignature:
        raise TokenError("This feed token was not signed here.") from None
    if _time(now) >= expiry:
        raise TokenError("This feed token has expired.")
    return parse_feed(feed)


def check_token(token: str, feed: FeedName, *, now: float | None = None) -> None:
    """Return where a token opens a feed.

    Raises:
        TokenError: it is wrong, expired or made for another feed.
    """
    if read_token(token, now=now) != feed:
        raise TokenError("This feed token is for another feed.")


def _signer() -> Signer:
    # Made anew each time, as the keys may have been changed; the separator is one that a bearer token may hold.
    return Signer(salt=_SALT, sep=".")


def _time(now: float | None) -> float:
    return time.time() if now is None else now
