"""A server in front of the tests' site that answers what it is told to, once for each request."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from .serve import HOST

Fault = bytes | Callable[[socket.socket], object] | None
"""What is sent before the connection is closed; or done with it; or nothing, and the site answers."""


def reply(status: str, body: bytes = b"", **headers: str) -> bytes:
    """An answer of HTTP."""
    fields = {"Content_Length": str(len(body)), "Connection": "close", **headers}
    head = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def problem(status: int, detail: str, members: str = "", **headers: str) -> bytes:
    """A problem as the endpoint tells it."""
    body = f'{{"status": {status}, "detail": "{detail}"{members}}}'.encode()
    return reply(f"{status} Problem", body, Content_Type="application/problem+json", **headers)


class Faulty:
    """Listens on a port of its own, as long as the context lasts.

    Args:
        port: of the site, to which requests go that `faults` says nothing of; 0: there is none, and the last fault
            lasts.
    """

    def __init__(self, port: int = 0) -> None:
        self.faults: deque[Fault] = deque()
        self.requests: list[str] = []
        """What was asked: each request's head."""
        self._port = port
        self.ended = threading.Event()
        self._server = _Server((HOST, 0), _Handler)
        self._server.faulty = self

    @property
    def url(self) -> str:
        """Where it seems to mount diffs."""
        return f"http://{HOST}:{self._server.server_address[1]}/diffs/"

    def hang(self, connection: socket.socket) -> None:
        """Say nothing, and keep the connection."""
        self.ended.wait()

    def answer(self, connection: socket.socket) -> None:
        """Answer a request with what comes next."""
        request = b""
        while b"\r\n\r\n" not in request:
            part = connection.recv(65536)
            if not part:
                return
            request += part
        self.requests.append(request.decode("ascii"))
        fault = self._next()
        if isinstance(fault, bytes):
            connection.sendall(fault)
        elif fault:
            fault(connection)
        else:
            head, _, rest = request.partition(b"\r\n")
            with socket.create_connection((HOST, self._port)) as site:
                site.sendall(head + b"\r\nConnection: close\r\n" + rest.replace(b"Connection: keep-alive\r\n", b""))
                while part := site.recv(65536):
                    connection.sendall(part)

    def _next(self) -> Fault:
        if not self._port and len(self.faults) == 1:
            return self.faults[0]
        return self.faults.popleft() if self.faults else None

    def __enter__(self) -> Faulty:
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    faulty: Faulty

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error here."""


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.server.faulty.answer(self.request)  # type: ignore[attr-defined]
