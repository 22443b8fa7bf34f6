"""What to ask next, given what was answered: cursors, pauses, refusals."""

from __future__ import annotations

import functools
import heapq
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from .answers import FeedPage, read_pages, read_snapshot
from .endpoint import Endpoint, Pause, Question, Result, Step, Steps, Told
from .outage import backoff
from .values import Diff, Event, Idle, Page, Reset, Snapshot

NOW = "now"
"""In the place of a cursor: from now on."""

HASTY_PAUSE = 1.0
"""Seconds, where a server says that it waits, and doesn't."""

Cursors = dict[str, str]
"""Where a reader stands, by feed; empty text: before the oldest diff that is kept."""


class Manner(NamedTuple):
    """How feeds are followed."""

    limit: int | None
    """The most diffs of each feed in one answer; ``None``: as the server likes."""
    wait: int
    """Seconds for which the server is to hold back an answer without news."""
    interval: float
    """Seconds between questions where it doesn't."""
    patience: float | None
    """Seconds for which to try again after failures; ``None``: without end."""
    idle: bool
    """Whether to tell also that there is nothing new."""

    @classmethod
    def of(cls, limit: int | None, wait: int, interval: float, patience: float | None, idle: bool) -> Manner:
        """See the attributes.

        Raises:
            ValueError: a number is out of range.
        """
        if wait < 0 or wait != int(wait):
            raise ValueError("`wait` is a whole number of seconds.")
        if not interval > 0:
            raise ValueError("`interval` is a positive number of seconds.")
        return cls(limit, int(wait), interval, patience, idle)


def begin(feeds: tuple[str, ...], since: str | Mapping[str, str] | None) -> Cursors:
    """Where to begin.

    Raises:
        ValueError: there are no feeds, or one cursor for several.
    """
    if not feeds:
        raise ValueError("Name a feed: 'polls.question:42' for an object's, 'polls.question' for a model's.")
    if isinstance(since, Mapping):
        return {feed: since.get(feed, "") for feed in feeds}
    if since not in (None, "", NOW) and len(feeds) > 1:
        raise ValueError("A cursor is good for one feed: give a mapping of feeds to cursors.")
    return dict.fromkeys(feeds, since or "")


def question(endpoint: Endpoint, cursors: Cursors, limit: int | None = None, *flags: str) -> Question:
    """The request for what comes after cursors."""
    parameters = [(flag, "1") for flag in flags]
    if limit is not None:
        parameters.append(("limit", str(limit)))
    feeds = tuple(cursors)
    if len(feeds) > 1:
        parameters += [("feed", f"{cursor}@{feed}") for feed, cursor in cursors.items()]
        return Question(endpoint.place.mount, feeds, tuple(parameters))
    if cursors[feeds[0]]:
        parameters.append(("since", cursors[feeds[0]]))
    return Question(endpoint.place.of_feed(feeds[0]), feeds, tuple(parameters))


def snapshot(endpoint: Endpoint, feed: str, patience: float | None) -> Steps[Snapshot]:
    """An object as it is."""
    asked = question(endpoint, {feed: ""}, None, "snapshot")
    found, _ = yield from endpoint.answer(asked, functools.partial(read_snapshot, feed=feed), patience=patience)
    return found


def pull(
    endpoint: Endpoint, cursors: Cursors, *, limit: int | None, collapse: bool, patience: float | None
) -> Steps[Page]:
    """What came after cursors, up to the limit."""
    asked = question(endpoint, cursors, limit, *(["collapse"] if collapse else []))
    pages, _ = yield from endpoint.answer(asked, functools.partial(read_pages, asked=cursors), patience=patience)
    return Page(
        events=tuple(_in_order(pages)),
        cursors=_cursors(cursors, pages),
        more=any(_has_more(page) for page in pages),
    )


def follow(endpoint: Endpoint, cursors: Cursors, manner: Manner) -> Generator[Step | Event, Result, NoReturn]:
    """Whatever comes after cursors.

    Args:
        endpoint: where.
        cursors: where to begin; changed so that it stands behind the event that was given last.
        manner: how.
    """
    last: dict[str, int] = {}
    refusals = 0
    while True:
        before = dict(cursors)
        # Otherwise it would depend on the answer which moment that is, and the answer may get lost.
        begins_now = NOW in before.values()
        pages, told = yield from endpoint.answer(
            question(endpoint, cursors, manner.limit),
            functools.partial(read_pages, asked=before),
            wait=0 if begins_now else manner.wait,
            patience=manner.patience,
        )
        count = 0
        for event in _in_order(pages):
            if isinstance(event, Reset):
                last.pop(event.feed, None)
            elif event.position <= last.get(event.feed, 0):
                # It was given before: in a feed each has a later position than the one before it.
                continue
            else:
                last[event.feed] = event.position
            cursors[event.feed] = event.cursor
            count += 1
            yield event
        cursors.update(_cursors(before, pages))
        refusals = refusals + 1 if any(isinstance(page, Reset) for page in pages) else 0
        if manner.idle and not count:
            yield Idle()
        has_moved = bool(count) or cursors != before
        if refusals > 1:
            # A server that refuses its own cursors would be asked without end.
            yield Pause(backoff(refusals - 1, endpoint.chance))
        elif not (has_moved and (begins_now or any(_has_more(page) for page in pages))):
            seconds = _pause(told, manner, has_news=bool(count)) * (0.9 + endpoint.chance() / 5)
            if seconds:
                yield Pause(seconds)


def _in_order(pages: Sequence[FeedPage | Reset]) -> list[Diff | Reset]:
    """What all feeds tell: refusals, then diffs by their time, and those of each feed as they came."""
    refused = [page for page in pages if isinstance(page, Reset)]
    told = [page.diffs for page in pages if isinstance(page, FeedPage)]
    return [*refused, *heapq.merge(*told, key=lambda diff: diff.position)]


def _cursors(feeds: Iterable[str], pages: Sequence[FeedPage | Reset]) -> Cursors:
    return {feed: page.cursor for feed, page in zip(feeds, pages, strict=True)}


def _has_more(page: FeedPage | Reset) -> bool:
    return isinstance(page, FeedPage) and page.more


def _pause(told: Told, manner: Manner, *, has_news: bool) -> float:
    """Seconds until the next question where there is no more for now."""
    if manner.wait and told.is_second and told.fruitless_waits < 2:
        # It was asked only whether it is there again.
        return 0.0
    if not told.waiting or not told.answer.has_waited:
        return manner.interval
    return 0.0 if has_news or told.answer.seconds >= told.waiting / 2 else min(HASTY_PAUSE, manner.interval)
