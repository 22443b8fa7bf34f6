"""Events as lines of text, for people and for programs."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from diffs.codec import MAX_SAFE_INTEGER
from diffs.diff import CREATE, DELETE, UPDATE

from .values import Diff, Reset

LONGEST_VALUE = 80
"""Characters of a value that are shown on a terminal."""

_DIM, _BOLD, _RED, _GREEN, _YELLOW, _MAGENTA = "2", "1", "31", "32", "33", "35"
_ACTIONS = {CREATE: _GREEN, UPDATE: _YELLOW, DELETE: _RED}
_WIDTH = max(map(len, _ACTIONS))


class Lines:
    """Lines for people.

    Args:
        colours: whether to use them.
        feeds: whether to say which feed told of a change.
        longest: the most characters of a value; ``None``: all.
    """

    def __init__(self, *, colours: bool, feeds: bool, longest: int | None) -> None:
        self._colours = colours
        self._feeds = feeds
        self._longest = longest

    def of(self, event: Diff | Reset) -> str:
        """An event."""
        if isinstance(event, Reset):
            return self._line(dt.datetime.now(dt.timezone.utc), "reset", _MAGENTA, f"{event.feed} ({event.reason})")
        pk = ",".join(map(str, event.pk)) if isinstance(event.pk, list) else event.pk
        fields = self._fields(event.data)
        fields += [f"{self._in(_DIM, f'{_plain(name)}=')}{self._in(_DIM, '(omitted)')}" for name in event.omitted]
        if event.actor is not None:
            fields.append(self._in(_DIM, f"by {_plain(event.actor)}"))
        if self._feeds:
            fields.append(self._in(_DIM, f"in {_plain(event.feed)}"))
        return self._line(event.timestamp, event.action, _ACTIONS[event.action], f"{event.model} {pk}", *fields)

    def _line(self, moment: dt.datetime, word: str, colour: str, subject: str, *fields: str) -> str:
        here = moment.astimezone()
        day = "" if here.date() == dt.datetime.now().astimezone().date() else f"{here:%Y-%m-%d} "
        time = f"{day}{here:%H:%M:%S}.{here.microsecond // 1000:03}"
        head = (self._in(_DIM, time), self._in(colour, word.ljust(_WIDTH)), self._in(_BOLD, _plain(subject)))
        return "  ".join((*head, *fields))

    def _fields(self, data: Any) -> list[str]:
        if not isinstance(data, Mapping):
            return [self._value(data)]  # a model's hook made it
        return [f"{self._in(_DIM, f'{_plain(name)}=')}{self._value(value)}" for name, value in data.items()]

    def _value(self, value: Any) -> str:
        text = _plain(json.dumps(value, ensure_ascii=False))
        if self._longest is not None and len(text) > self._longest:
            text = f"{text[: self._longest - 1]}…"
        return text

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text


def as_json(event: Diff | Reset) -> str:
    """An event as a line for programs; what a diff has stands as in the protocol."""
    if isinstance(event, Reset):
        return json.dumps({"event": "reset", "feed": event.feed, "reason": event.reason, "cursor": event.cursor})
    version = event.version if event.version <= MAX_SAFE_INTEGER else str(event.version)
    members = {
        "event": "diff",
        "feed": event.feed,
        "cursor": event.cursor,
        "id": event.id,
        "action": event.action,
        "model": event.model,
        "pk": event.pk,
        "timestamp": event.position,
        "version": version,
        "data": event.data,
    }
    if event.omitted:
        members["omitted"] = list(event.omitted)
    return json.dumps(members if event.actor is None else {**members, "actor": event.actor})


def _plain(text: str) -> str:
    """Text without what would steer a terminal: it comes from whoever wrote to the database."""
    return "".join(part if part.isprintable() else part.encode("unicode_escape").decode() for part in text)
