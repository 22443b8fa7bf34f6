"""What came over an event stream, read from the bytes of the connection."""

from __future__ import annotations

from collections.abc import Sequence

DATA = b"\ndata: "
"""Stands once in each event, and in nothing else that is sent; an id is always before it."""
_END = b"\r\n\r\n"


class Broken(Exception):
    """A server sent something else than it should; the message says what."""


class Stream:
    """One connection: the answer's head, then chunks, and in them events.

    Most of many listeners get the same bytes at the same place; what was made of them once is looked up.
    """

    __slots__ = ("_body", "_has_begun", "_raw")

    _memo: dict[bytes, list[bytes]] = {}

    def __init__(self) -> None:
        self._raw = b""
        self._body = b""
        self._has_begun = False

    def take(self, data: bytes) -> list[bytes]:
        """Take what was read from the connection.

        Returns:
            The events that are complete with it, without the empty line at their end.

        Raises:
            Broken: it is no event stream, or has ended.
        """
        is_between = self._has_begun and not self._raw and not self._body
        if is_between and data in self._memo:
            return self._memo[data]
        events = self._parse(data)
        if is_between and not self._raw and not self._body:
            # Only what belongs to this turn.
            if len(self._memo) > 1000:
                self._memo.clear()
            self._memo[data] = events
        return events

    def _parse(self, data: bytes) -> list[bytes]:
        if not data:
            raise Broken("The server has closed a stream.")
        self._raw += data
        if not self._has_begun:
            head, end, rest = self._raw.partition(_END)
            if not end:
                return []
            if not head.startswith(b"HTTP/1.1 200 ") or b"text/event-stream" not in head:
                raise Broken(f"A listener is answered {head + rest!r}.")
            self._has_begun, self._raw = True, rest
        while (chunk := self._chunk()) is not None:
            self._body += chunk
        *events, self._body = self._body.split(b"\n\n")
        return events

    def _chunk(self) -> bytes | None:
        size, end, rest = self._raw.partition(b"\r\n")
        if not end:
            return None
        length = int(size, 16)
        if length == 0:
            raise Broken("The server has ended a stream.")
        if len(rest) < length + 2:
            return None
        self._raw = rest[length + 2 :]
        return rest[:length]


def diffs_of(events: Sequence[bytes]) -> list[bytes]:
    """The events that are diffs.

    Raises:
        Broken: there is one of another kind, a reset for example.
    """
    for event in events:
        if event.startswith(b"event: "):
            raise Broken(f"A listener is told {event!r}.")
    return [event for event in events if DATA in event]


def check(got: Sequence[Sequence[bytes]], count: int) -> None:
    """Look whether everyone who listens to the same feed got the same diffs, each once.

    Args:
        got: the events of each listener.
        count: how many there were.

    Raises:
        Broken: somebody didn't.
    """
    first = got[0]
    if len(first) != count or len(set(first)) != count:
        raise Broken(f"There were {count} diffs, and a listener got {len(first)}, {len(set(first))} of them different.")
    others = sum(each != first for each in got)
    if others:
        raise Broken(
            f"{others} of {len(got)} listeners got something else than the first: a diff is missing or came twice."
        )
