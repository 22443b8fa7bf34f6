"""TLS in front of a server: none of the bundled servers was built with it."""

from __future__ import annotations

import contextlib
import select
import shutil
import socket
import socketserver
import ssl
import tempfile
import threading
from pathlib import Path
from types import TracebackType

import trustme

HOST = "127.0.0.1"
# More than a TLS record holds, so that nothing stays behind where `select` can't see it.
CHUNK = 65536
# How long it takes to notice that it is to stop accepting.
POLL_SECONDS = 0.02


class TlsProxy:
    """Accepts TLS on a port of its own and hands the bytes on to a unix socket, as long as the context lasts."""

    def __init__(self, target: Path) -> None:
        """Make a certificate; ``with`` starts the proxy.

        Args:
            target: the server's unix socket.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="diffs-tls-"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority = trustme.CA()
        authority.issue_cert(HOST).configure_cert(context)
        self.authority = self._folder / "authority.pem"
        """The certificate that a client has to trust."""
        authority.cert_pem.write_to_path(str(self.authority))
        self._server = _Server(target, context)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), name="tls-proxy")

    @property
    def url(self) -> str:
        """The address, with the authority to trust."""
        return f"{self.url_without_authority}?ssl_ca_certs={self.authority}"

    @property
    def url_without_authority(self) -> str:
        """The address alone: a client that verifies certificates has to refuse it."""
        return f"rediss://{HOST}:{self.port}/0"

    def __enter__(self) -> TlsProxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = False

    def __init__(self, target: Path, context: ssl.SSLContext) -> None:
        self.target = target
        self.context = context
        # Closing one end wakes every connection's `select`.
        self.until, self._end = socket.socketpair()
        super().__init__((HOST, 0), _Connection)

    def server_close(self) -> None:
        self._end.close()
        super().server_close()
        self.until.close()


class _Connection(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        # A client that distrusts the certificate or hangs up is what tests do; they look at the client's side.
        with (
            contextlib.suppress(OSError),
            self.server.context.wrap_socket(self.request, server_side=True) as client,
            socket.socket(socket.AF_UNIX) as upstream,
        ):
            upstream.connect(str(self.server.target))
            other = {client: upstream, upstream: client}
            while self.server.until not in (ready := select.select([*other, self.server.until], [], [])[0]):
                for source in ready:
                    data = source.recv(CHUNK)
                    if not data:
                        return
                    other[source].sendall(data)
