"""From a request's address and headers to what is asked for."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from collections.abc import Mapping, Sequence

from diffs import cursor as cursors
from diffs.conf import settings
from diffs.cursor import Cursor
from diffs.errors import CursorError
from diffs.keys import parse_feed
from diffs.store import Read

from .addresses import Target, find_target, unquote
from .documents import Form
from .problems import Problem
from .protocol import COLLAPSE, DIGITS, FEED, LIMIT, MAX_PARAMETERS, MAX_QUERY, NOW, SINCE, SNAPSHOT, TOKEN
from .tokens import PREFIX

_BEARER = re.compile(r"bearer +(.*)", re.ASCII | re.IGNORECASE)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, without the framework that it came through."""

    method: str
    model: str | None
    """The model in the path; ``None`` where the query names the feeds."""
    pk: str | None
    """The primary key in the path, quoted; ``None`` for a model feed."""
    query: str
    """All behind the question mark, as it was sent."""
    authorization: str
    """The header of that name; empty without one."""
    if_none_match: str
    """The header of that name; empty without one."""
    form: Form
    """What the client prefers."""


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A feed, and from where."""

    target: Target
    cursor: Cursor | None
    """Read what comes after it; ``None``: all that is retained."""
    from_now: bool
    """Read nothing, and get a cursor."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked for."""

    wanted: Sequence[Wanted]
    several: bool
    """Whether the answer is to be one for several feeds, be there one or more."""
    limit: int
    """The most diffs of each feed."""
    collapse: bool
    """Whether only the net change of each object is wanted."""
    snapshot: bool
    """Whether the object is wanted as it is now, instead of its diffs."""
    tokens: Sequence[str]

    def reads(self) -> list[Read]:
        """What to read from the store."""
        return [
            Read(
                feed=wanted.target.feed,
                limit=self.limit,
                cursor=wanted.cursor,
                mode="cursor" if wanted.from_now or self.snapshot else "asc",
            )
            for wanted in self.wanted
        ]


def parse(asked: Asked) -> Query:
    """Understand a request.

    Raises:
        Problem: 400 or 404.
    """
    if asked.model is None:
        parameters = _parameters(asked.query)
        wanted = _feeds(parameters)
    else:
        target = find_target(asked.model, None if asked.pk is None else unquote(asked.pk))
        parameters = _parameters(asked.query)
        wanted = [_wanted(target, _one(parameters, SINCE), SINCE)]
        if FEED in parameters:
            raise _malformed(FEED, "Name feeds either in the path or in the query.")
    snapshot = _flag(parameters, SNAPSHOT)
    if snapshot and (asked.model is None or asked.pk is None):
        raise _malformed(SNAPSHOT, "Only an object has a snapshot: ask for it under the object's own address.")
    return Query(
        wanted=wanted,
        several=asked.model is None,
        limit=_limit(_one(parameters, LIMIT)),
        collapse=_flag(parameters, COLLAPSE),
        snapshot=snapshot,
        tokens=_tokens(parameters, asked.authorization, feeds=len(wanted), several=asked.model is None),
    )


def _malformed(parameter: str, detail: str) -> Problem:
    return Problem(400, detail, parameter=parameter)


def _parameters(query: str) -> Mapping[str, list[str]]:
    if len(query) > MAX_QUERY:
        raise Problem(400, "The query is too long.")
    if not query.isascii():
        raise Problem(400, "The query holds characters that have to be percent-encoded.")
    try:
        return urllib.parse.parse_qs(
            query, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS, separator="&"
        )
    except UnicodeDecodeError:
        raise Problem(400, "The query isn't UTF-8.") from None
    except ValueError:
        raise Problem(400, "The query has too many parameters.") from None


def _one(parameters: Mapping[str, list[str]], name: str) -> str:
    values = parameters.get(name, [""])
    if len(values) > 1:
        raise _malformed(name, f"{name!r} is given more than once.")
    return values[0]


def _flag(parameters: Mapping[str, list[str]], name: str) -> bool:
    value = _one(parameters, name)
    if value not in ("", "0", "1"):
        raise _malformed(name, f"{name!r} takes 1 or 0.")
    return value == "1"


def _limit(text: str) -> int:
    if not text:
        return settings.page_size
    highest = settings.max_page_size
    if not DIGITS.fullmatch(text) or not 1 <= int(text) <= highest:
        raise _malformed(LIMIT, f"'limit' takes a whole number from 1 to {highest}.")
    return int(text)


def _wanted(target: Target, start: str, parameter: str) -> Wanted:
    if start == NOW:
        return Wanted(target, None, True)
    try:
        return Wanted(target, cursors.parse(start) if start else None, False)
    except CursorError:
        raise _malformed(
            parameter, "This is no cursor: hand one back exactly as it was given out, or 'now', or none."
        ) from None


def _feeds(parameters: Mapping[str, list[str]]) -> list[Wanted]:
    texts = parameters.get(FEED, [])
    if not texts:
        raise _malformed(FEED, "Name feeds: feed=<cursor>@<model>:<pk>, as often as there are feeds.")
    if len(texts) > settings.max_feeds:
        raise _malformed(FEED, f"One request takes {settings.max_feeds} feeds at most.")
    if SINCE in parameters:
        raise _malformed(SINCE, "Each feed has its own cursor: feed=<cursor>@<model>:<pk>.")
    wanted: dict[str, Wanted] = {}
    for text in texts:
        start, at, name = text.partition("@")
        try:
            if not at:
                raise _malformed(FEED, "A feed is written <cursor>@<model>:<pk>; the cursor may be 'now' or empty.")
            one = _wanted(find_target(*parse_feed(name)), start, FEED)
            if wanted.setdefault(str(one.target.feed.name), one) is not one:
                raise _malformed(FEED, "This feed is named twice.")
        except Problem as problem:
            raise problem.of_feed(name if at else text) from None
    return list(wanted.values())


def _tokens(parameters: Mapping[str, list[str]], authorization: str, *, feeds: int, several: bool) -> Sequence[str]:
    if not several:
        _one(parameters, TOKEN)
    bearer = _BEARER.fullmatch(authorization)
    # Other bearer tokens belong to the site's own authentication.
    header = [token for part in bearer[1].split(",") if (token := part.strip()).startswith(PREFIX)] if bearer else []
    tokens = [*parameters.get(TOKEN, []), *header]
    if len(tokens) > feeds:
        raise _malformed(TOKEN, "There are more tokens than feeds.")
    return tokens
