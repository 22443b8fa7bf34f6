"""Clients of the live modes, served as an ASGI server would serve them."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from diffs.http.asgi import application
from diffs.http.live.hub import hubs

SECONDS = 20.0

T = TypeVar("T")


class Client:
    """One request to the endpoint, as long as the context lasts; leaving it is leaving the server.

    Args:
        path: with the query; behind where the endpoint is mounted.
        headers: what is sent besides the host.
    """

    def __init__(self, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET") -> None:
        url = urlsplit(path)
        sent = {"host": "testserver", **(headers or {})}
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": url.path,
            "raw_path": url.path.encode(),
            "root_path": "",
            "query_string": url.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("testserver", 80),
        }
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.is_complete = False
        """Whether the server has ended the answer."""
        self.reads = asyncio.Event()
        """Cleared, it is a client that doesn't read: what is sent to it waits."""
        self.reads.set()
        self.sent_meanwhile = 0
        """How many messages were on their way at once at the most."""
        self.breaks_with: Exception | None = None
        """What sending to it raises."""
        self.waiters = 0
        """How many wait for it to hang up."""
        self.sending = 0
        """How many messages are on their way."""
        self._is_gone = asyncio.Event()
        self._has_asked = False
        self._changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self: T) -> T:
        self.start()  # type: ignore[attr-defined]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    def start(self) -> None:
        """Send the request."""
        self.task = asyncio.create_task(self._serve(), name="client")

    async def leave(self) -> None:
        """Hang up, and wait until the server has noticed.

        Raises:
            Whatever came out of the application.
        """
        self.hang_up()
        self.reads.set()
        assert self.task is not None
        await asyncio.wait_for(self.task, SECONDS)

    def hang_up(self) -> None:
        """Be gone."""
        self._is_gone.set()

    async def answer(self) -> Any:
        """Wait for the whole answer, and read it as JSON."""
        assert self.task is not None
        await asyncio.wait_for(asyncio.shield(self.task), SECONDS)
        return json.loads(self.body) if self.body else None

    async def until(self, condition: Callable[[], T]) -> T:
        """Wait until something is so that messages change, and return it.

        Raises:
            AssertionError: it never was.
        """
        deadline = asyncio.get_running_loop().time() + SECONDS
        while not (found := condition()):
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), deadline - asyncio.get_running_loop().time())
            except asyncio.TimeoutError:
                raise AssertionError(f"Waited in vain; until then came {self.body[-2000:]!r}.") from None
        return found

    async def _serve(self) -> None:
        try:
            await application(self.scope, self._receive, self._send)
        finally:
            self._changed.set()

    async def _receive(self) -> dict[str, Any]:
        if not self._has_asked:
            self._has_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        self.waiters += 1
        try:
            await self._is_gone.wait()
        finally:
            self.waiters -= 1
        return {"type": "http.disconnect"}

    async def _send(self, message: Mapping[str, Any]) -> None:
        self.sending += 1
        self.sent_meanwhile = max(self.sent_meanwhile, self.sending)
        try:
            await self.reads.wait()
            if self.breaks_with is not None:
                raise self.breaks_with
            self._take(message)
        finally:
            self.sending -= 1
            self._changed.set()

    def _take(self, message: Mapping[str, Any]) -> None:
        assert not self.is_complete, f"{message} comes after the end."
        if message["type"] == "http.response.start":
            assert not self.status, "An answer begins once."
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            assert self.status, "The body comes behind the start."
            self.is_complete = not message.get("more_body", False)
            self.take_body(message.get("body", b""))

    def take_body(self, body: bytes) -> None:
        self.body += body


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """An event of a stream, as a browser shows it."""

    name: str
    id: str
    data: Any


class Stream(Client):
    """A client that reads an event stream as the HTML standard says.

    Args:
        path: see `Client`.
        last_id: of an earlier connection.
    """

    def __init__(self, path: str, last_id: str = "", headers: Mapping[str, str] | None = None) -> None:
        resumed = {"last-event-id": last_id} if last_id else {}
        super().__init__(path, {"accept": "text/event-stream", **resumed, **(headers or {})})
        self.events: list[Event] = []
        self.last_id = last_id
        self.bare_ids: list[str] = []
        """Those that came without an event."""
        self.retry: int | None = None
        self.chunks: list[bytes] = []
        self._rest = b""

    @property
    def diffs(self) -> list[Any]:
        """The diffs that came."""
        return [event.data for event in self.events if event.name == "message"]

    @property
    def positions(self) -> list[int]:
        """Their timestamps."""
        return [diff["timestamp"] for diff in self.diffs]

    @property
    def resets(self) -> list[Any]:
        """The documents of the resets that came."""
        return self._named("reset")

    @property
    def resumes(self) -> list[Any]:
        """What the server said when it ended the stream."""
        return self._named("resume")

    async def live(self) -> None:
        """Wait until all that was there has come."""
        await self.until(lambda: self.bare_ids)

    async def count(self, number: int) -> None:
        """Wait until so many diffs have come."""
        await self.until(lambda: len(self.diffs) >= number)

    async def end(self) -> None:
        """Wait until the server has ended it and has forgotten this client."""
        assert self.task is not None
        await asyncio.wait_for(asyncio.shield(self.task), SECONDS)

    def take_body(self, body: bytes) -> None:
        super().take_body(body)
        self.chunks.append(body)
        *blocks, self._rest = (self._rest + body).split(b"\n\n")
        for block in blocks:
            self._take_block(block.decode().split("\n"))

    def _named(self, name: str) -> list[Any]:
        return [event.data for event in self.events if event.name == name]

    def _take_block(self, lines: list[str]) -> None:
        fields: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            if name:
                fields.setdefault(name, []).append(value.removeprefix(" "))
        if "retry" in fields:
            self.retry = int(fields["retry"][0])
        if "id" in fields:
            self.last_id = fields["id"][-1]
        if "data" in fields:
            name = fields.get("event", ["message"])[0]
            self.events.append(Event(name, self.last_id, json.loads("\n".join(fields["data"]))))
        elif "id" in fields:
            self.bare_ids.append(self.last_id)


async def until(condition: Callable[[], Any]) -> None:
    """Wait for what no message tells."""
    deadline = asyncio.get_running_loop().time() + SECONDS
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "Waited in vain."
        await asyncio.sleep(0.001)


def listeners() -> int:
    """How many the running loop's hub counts, and how many its feeds would wake."""
    hub = hubs.get()
    woken = {listener for watched in hub._tails.values() for listener in watched.tail.listeners}
    assert woken <= hub._listeners
    return len(hub._listeners)
