"""TLS in front of a server, as none of the bundled ones was built with it; and what a server needs that was."""

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
from typing import Any

import trustme

HOST = "127.0.0.1"
# More than a TLS record holds, so that nothing stays behind where `select` can't see it.
CHUNK = 65536
# How long it takes to notice that it is to stop accepting.
POLL_SECONDS = 0.02


class Certificates:
    """Certificates of a server and of its clients, in files; `remove` removes them."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="diffs-certificates-"))
        self._authority = self._folder / "authority.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self._authority))
        for name in ("server", "client"):
            authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(self._folder / f"{name}.pem"))

    @property
    def server_config(self) -> dict[str, str]:
        """The configuration of a server that talks to nobody without a certificate."""
        own = str(self._folder / "server.pem")
        return {
            "tls-cert-file": own,
            "tls-key-file": own,
            "tls-ca-cert-file": str(self._authority),
            "tls-auth-clients": "yes",
        }

    @property
    def client_options(self) -> dict[str, Any]:
        """What a client of it needs besides its address."""
        own = str(self._folder / "client.pem")
        return {"ssl": True, "ssl_ca_certs": str(self._authority), "ssl_certfile": own, "ssl_keyfile": own}

    def remove(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)


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
