"""From a request's address and headers to what is asked for."""

from __future__ import annotations

import functools
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.core.signals import setting_changed

from diffs import cursor as cursors
from diffs.conf import settings
from diffs.cursor import Cursor
from diffs.errors import CursorError
from diffs.keys import parse_feed
from diffs.quoting import unquote
from diffs.registration import Registration, find_label
from diffs.store import Read

from .addresses import Target, find_target
from .documents import Form
from .problems import Problem
from .protocol import (
    COLLAPSE,
    DIGITS,
    FEED,
    LAST_EVENT_ID,
    LIMIT,
    MAX_PARAMETERS,
    MAX_QUERY,
    NOW,
    SINCE,
    SNAPSHOT,
    TOKEN,
    WAIT,
)
from .tokens import PREFIX

_MAX_REMEMBERED = 500
"""Characters; what is longer is read anew each time."""
_SECONDS = re.compile(r'"?([0-9]{1,9})[0-9]*"?', re.ASCII)
_BEARER = re.compile(r"bearer +(.*)", re.ASCII | re.IGNORECASE)


class Asked(NamedTuple):
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
    prefer: str = ""
    """The header of that name; empty without one."""
    last_event_id: str = ""
    """The header ``Last-Event-ID``; empty without one."""
    stream: bool = False
    """Whether an event stream is wanted, from whoever can give one."""


class Query(NamedTuple):
    """What is asked for."""

    targets: Sequence[Target]
    """The feeds."""
    reads: Sequence[Read]
    """For each what to read from the store."""
    several: bool
    """Whether the answer is to be one for several feeds, be there one or more."""
    collapse: bool
    """Whether only the net change of each object is wanted."""
    snapshot: bool
    """Whether the object is wanted as it is now, instead of its diffs."""
    tokens: Sequence[str]
    """Feed tokens; not yet whether they are good."""
    wait: int
    """For how many seconds the client wants to wait for news; 0: not at all."""


def parse(asked: Asked) -> Query:
    """Understand a request.

    Raises:
        Problem: 400 or 404.
    """
    model, pk, query = asked.model, asked.pk, asked.query
    # What other schemes and tokens hold isn't ours to keep.
    authorization = asked.authorization if PREFIX in asked.authorization else ""
    wish = _wish(asked.prefer) if asked.prefer else 0
    if model is None or len(query) + len(pk or "") + len(authorization) > _MAX_REMEMBERED:
        return _parse(model, pk, query, authorization, wish)
    return _remembered(model, pk, query, authorization, wish, find_label(model))


def _parse(
    model: str | None, pk: str | None, query: str, authorization: str, wish: int, _: Registration | None = None
) -> Query:
    if model is None:
        parameters = _parameters(query)
        wanted = _feeds(parameters)
    else:
        target = find_target(model, None if pk is None else unquote(pk))
        parameters = _parameters(query)
        wanted = [_wanted(target, _one(parameters, SINCE), SINCE)]
        if FEED in parameters:
            raise _malformed(FEED, "Name feeds either in the path or in the query.")
    snapshot = _flag(parameters, SNAPSHOT)
    if snapshot and (model is None or pk is None):
        raise _malformed(SNAPSHOT, "Only an object has a snapshot: ask for it under the object's own address.")
    limit = _limit(parameters)
    wait = _wait(parameters, wish)
    return Query(
        targets=tuple(one.target for one in wanted),
        reads=tuple(
            Read(one.target.feed, limit, one.cursor, mode="cursor" if one.from_now or snapshot else "asc")
            for one in wanted
        ),
        several=model is None,
        collapse=_flag(parameters, COLLAPSE),
        snapshot=snapshot,
        tokens=_tokens(parameters, authorization, feeds=len(wanted), several=model is None),
        # There is nothing that a snapshot could wait for.
        wait=0 if snapshot else wait,
    )


def resumed(asked: Asked, query: Query) -> Query:
    """What an event stream begins with: ``Last-Event-ID`` has the cursors of all feeds, in the order of the request.

    Args:
        asked: the request.
        query: what `parse` made of it.

    Raises:
        Problem: 400.
    """
    for name, wanted in ((COLLAPSE, query.collapse), (SNAPSHOT, query.snapshot)):
        if wanted:
            raise _malformed(name, f"{name!r} doesn't go with an event stream.")
    if not asked.last_event_id:
        return query
    try:
        starts = [cursors.parse(text) if text else None for text in asked.last_event_id.split(",")]
        if len(starts) != len(query.reads):
            raise CursorError("As many cursors as there are feeds.")
    except CursorError:
        raise _malformed(
            LAST_EVENT_ID, "This is no id of an event of these feeds: hand one back exactly as it was given out."
        ) from None
    return query._replace(
        reads=tuple(Read(read.feed, read.limit, start) for read, start in zip(query.reads, starts, strict=True))
    )


# Whoever waits for news asks the same again and again. By registration, which a model gets anew with other options.
_remembered = functools.lru_cache(maxsize=2048)(_parse)


def forget(**_: Any) -> None:
    """Read everything anew, as other settings may give texts another meaning."""
    _remembered.cache_clear()


setting_changed.connect(forget, dispatch_uid="diffs.query")


class _Wanted(NamedTuple):
    target: Target
    cursor: Cursor | None
    """Read what comes after it; ``None``: all that is retained."""
    from_now: bool
    """Read nothing, and get a cursor."""


def _malformed(parameter: str, detail: str) -> Problem:
    return Problem(400, detail, parameter=parameter)


def _parameters(query: str) -> Mapping[str, list[str]]:
    if len(query) > MAX_QUERY:
        raise Problem(400, "The query is too long.")
    if not query.isascii():
        raise Problem(400, "The query holds characters that have to be percent-encoded.")
    if "%" not in query and "+" not in query and query.count("&") < MAX_PARAMETERS:
        plain: dict[str, list[str]] = {}
        for part in query.split("&"):
            name, _, value = part.partition("=")
            plain.setdefault(name, []).append(value)
        return plain
    try:
        return urllib.parse.parse_qs(
            query, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS, separator="&"
        )
    except UnicodeDecodeError:
        raise Problem(400, "The query isn't UTF-8.") from None
    except ValueError:
        raise Problem(400, "The query has too many parameters.") from None


def _one(parameters: Mapping[str, list[str]], name: str) -> str:
    values = parameters.get(name)
    if values is None:
        return ""
    if len(values) > 1:
        raise _malformed(name, f"{name!r} is given more than once.")
    return values[0]


def _flag(parameters: Mapping[str, list[str]], name: str) -> bool:
    if name not in parameters:
        return False
    value = _one(parameters, name)
    if value not in ("", "0", "1"):
        raise _malformed(name, f"{name!r} takes 1 or 0.")
    return value == "1"


def _limit(parameters: Mapping[str, list[str]]) -> int:
    text = _one(parameters, LIMIT)
    if not text:
        return settings.page_size
    highest = settings.max_page_size
    if not DIGITS.fullmatch(text) or not 1 <= int(text) <= highest:
        raise _malformed(LIMIT, f"'limit' takes a whole number from 1 to {highest}.")
    return int(text)


def _wait(parameters: Mapping[str, list[str]], wish: int) -> int:
    text = _one(parameters, WAIT)
    if not text:
        return wish
    highest = settings.max_wait
    if not DIGITS.fullmatch(text) or int(text) > highest:
        raise _malformed(WAIT, f"'wait' takes a whole number of seconds from 0 to {highest}.")
    return int(text)


def _wish(prefer: str) -> int:
    """The seconds of ``Prefer: wait=…`` (RFC 7240), whose malformed parts are to be ignored."""
    for preference in prefer.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == WAIT:
            seconds = _SECONDS.fullmatch(value.strip())
            return 0 if seconds is None else min(int(seconds[1]), settings.max_wait)
    return 0


def _wanted(target: Target, start: str, parameter: str) -> _Wanted:
    if start == NOW:
        return _Wanted(target, None, True)
    try:
        return _Wanted(target, cursors.parse(start) if start else None, False)
    except CursorError:
        raise _malformed(
            parameter, "This is no cursor: hand one back exactly as it was given out, or 'now', or none."
        ) from None


def _feeds(parameters: Mapping[str, list[str]]) -> list[_Wanted]:
    texts = parameters.get(FEED, [])
    if not texts:
        raise _malformed(FEED, "Name feeds: feed=<cursor>@<model>:<pk>, as often as there are feeds.")
    if len(texts) > settings.max_feeds:
        raise _malformed(FEED, f"One request takes {settings.max_feeds} feeds at most.")
    if SINCE in parameters:
        raise _malformed(SINCE, "Each feed has its own cursor: feed=<cursor>@<model>:<pk>.")
    wanted: dict[str, _Wanted] = {}
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
    if TOKEN not in parameters and not authorization:
        return ()
    if not several:
        _one(parameters, TOKEN)
    bearer = _BEARER.fullmatch(authorization)
    # Other bearer tokens belong to the site's own authentication.
    header = [token for part in bearer[1].split(",") if (token := part.strip()).startswith(PREFIX)] if bearer else []
    tokens = (*parameters.get(TOKEN, []), *header)
    if len(tokens) > feeds:
        raise _malformed(TOKEN, "There are more tokens than feeds.")
    return tokens
