"""What Redis publishes: that something was appended to a feed, or that floors were raised.

News say only that there is something to read. Whoever hears nothing misses nothing that reading doesn't find.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import redis
from six import ensure_str

from .outage import FIRST_PAUSE, LONGEST_PAUSE
from .store import AWAY

logger = logging.getLogger("diffs")

SILENCE = 5.0
"""Seconds without a word after which the server is asked whether it is there; twice as long, and it isn't."""


class Ear(Protocol):
    """Whoever is told; called in a thread, and must not keep it."""

    def ready(self, channel: str) -> None:
        """From now on nothing on a channel is missed; what came before wasn't heard."""

    def heard(self, channel: str, position: int) -> None:
        """A channel has news.

        Args:
            channel: a key of a feed, or of a shard's meta.
            position: the highest timestamp that they are about, microseconds.
        """

    def lost(self, *, is_refused: bool) -> None:
        """Nothing is heard until `ready` says so.

        Args:
            is_refused: whether the server lets nobody listen.
        """


class News:
    """Listens to channels over one connection, by a thread of its own.

    Args:
        client: gives the client of a server that publishes; asked anew for each connection.
        ear: is told.
    """

    def __init__(self, client: Callable[[], redis.Redis], ear: Ear) -> None:
        self._client = client
        self._ear = ear
        self._lock = threading.Lock()
        self._wanted: set[str] = set()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._called = threading.Event()
        """Set where the thread that has nothing to listen to is to look again."""
        self._pubsub: Any = None
        self._was_cut = False
        """Whether the connection was given up by another thread than the one that reads from it."""
        self._pause = FIRST_PAUSE
        self._was_refused = False

    def subscribe(self, channels: Sequence[str]) -> None:
        """Listen to more channels; `Ear.ready` tells when it is so.

        Takes no longer than the server's timeout.
        """
        with self._lock:
            self._wanted.update(channels)
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="diffs-news", daemon=True)
                self._thread.start()
            elif self._pubsub is not None:
                self._tell(self._pubsub.subscribe, channels)
                self._called.set()

    def unsubscribe(self, channels: Sequence[str]) -> None:
        """Listen to fewer channels."""
        with self._lock:
            self._wanted.difference_update(channels)
            if self._pubsub is not None:
                self._tell(self._pubsub.unsubscribe, channels)

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        self._called.set()
        with self._lock:
            # Ends the thread's waiting.
            self._cut()

    def _tell(self, command: Callable[..., Any], channels: Iterable[str]) -> None:
        try:
            command(*channels)
        except AWAY:
            # The next connection is told all that is wanted; whoever reads from this one has to notice.
            self._cut()

    def _cut(self) -> None:
        self._was_cut = True
        if self._pubsub is not None and self._pubsub.connection is not None:
            self._pubsub.connection.disconnect()

    def _listen(self) -> None:
        while not self._closed.is_set():
            is_refused = False
            try:
                self._hear()
            except redis.exceptions.NoPermissionError:
                is_refused = True
                self._log_refusal()
            except AWAY:
                pass
            except Exception:
                with self._lock:
                    was_cut = self._was_cut
                # The library may raise anything where its connection is closed under its hands.
                if not was_cut:
                    logger.exception("What Redis publishes isn't heard; this is tried again.")
            self._ear.lost(is_refused=is_refused)
            self._closed.wait(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _log_refusal(self) -> None:
        self._pause = LONGEST_PAUSE
        if not self._was_refused:
            self._was_refused = True
            logger.error(
                "Redis lets its user subscribe to no channel: what is new is noticed only every few seconds. Allow "
                "the channels that begin with the prefix: ACL SETUSER <user> +subscribe +unsubscribe &<prefix>:*"
            )

    def _hear(self) -> None:
        pubsub: Any = _PubSub(self._client().connection_pool)
        try:
            with self._lock:
                if self._wanted:
                    pubsub.subscribe(*self._wanted)
                self._pubsub = pubsub
                self._was_cut = self._closed.is_set()
            asked = False
            while not self._closed.is_set():
                if not pubsub.subscribed:
                    self._called.wait(SILENCE)
                    self._called.clear()
                    continue
                message = pubsub.get_message(timeout=SILENCE)
                if message is not None:
                    asked = False
                    self._pass_on(message)
                elif asked:
                    raise redis.TimeoutError("The server is silent.")
                else:
                    asked = True
                    pubsub.ping()
        finally:
            with self._lock:
                self._pubsub = None
            pubsub.close()

    def _pass_on(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "message":
            self._ear.heard(ensure_str(message["channel"]), int(message["data"]))
        elif kind == "subscribe":
            self._pause = FIRST_PAUSE
            self._ear.ready(ensure_str(message["channel"]))


class _PubSub(redis.client.PubSub):
    """Ends with its connection, so that it is told when nothing is heard.

    The library's own opens another and subscribes to everything again, unnoticed; and where that happens in a thread
    that doesn't read, the two get in each other's way, with older releases for ever.
    """

    def on_connect(self, connection: Any) -> None:
        raise redis.ConnectionError("What listened on the last connection doesn't listen on this one.")

    def _execute(self, conn: Any, command: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return command(*args, **kwargs)
