"""What lies between a browser and a site, and may fail."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from types import TracebackType

HOST = "127.0.0.1"
CHUNK = 65_536
LOOK_EVERY = 0.02


class Proxy:
    """Hands bytes on between a port of its own and a site's, as long as the context lasts."""

    def __init__(self, target: int) -> None:
        """Listen.

        Args:
            target: the site's port.
        """
        self._target = target
        self._listener = socket.create_server((HOST, 0))
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._streams: set[socket.socket] = set()
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.is_dead = False
        """Whether bytes go no further, and nobody is told: a network that has gone."""
        self.holds_streams = False
        """Whether of an event stream only the headers arrive: a proxy that waits for the end of each answer."""

    @property
    def url(self) -> str:
        """Where the site seems to be."""
        return f"http://{HOST}:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Break all connections that there are."""
        for one in list(self._pairs):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._has_ended.set()
        self._thread.join()
        for one in (self._listener, *self._pairs):
            one.close()

    def _run(self) -> None:
        while not self._has_ended.wait(0 if not self.is_dead else LOOK_EVERY):
            if self.is_dead:
                continue
            for one in select.select([self._listener, *self._pairs], [], [], LOOK_EVERY)[0]:
                if one is self._listener:
                    self._accept()
                elif one in self._pairs:
                    self._hand_on(one)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            site = socket.create_connection((HOST, self._target))
        except OSError:
            client.close()
            return
        self._pairs |= {client: site, site: client}

    def _hand_on(self, source: socket.socket) -> None:
        try:
            part = source.recv(CHUNK)
            if part:
                self._pairs[source].sendall(self._allowed(source, part))
                return
        except OSError:
            pass
        target = self._pairs.pop(source)
        del self._pairs[target]
        self._streams -= {source, target}
        source.close()
        target.close()

    def _allowed(self, source: socket.socket, part: bytes) -> bytes:
        """What is handed on of what came."""
        if not self.holds_streams or source in self._streams:
            return b"" if source in self._streams else part
        head, end, _ = part.partition(b"\r\n\r\n")
        if part.startswith(b"HTTP/1.1 ") and b"text/event-stream" in head:
            self._streams.add(source)
            return head + end
        return part
