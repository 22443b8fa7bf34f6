"""Serves the tests' site: ``python -m tests.client.serve wsgi|asgi PORT``."""

from __future__ import annotations

import sys

HOST = "127.0.0.1"


def main(kind: str, port: int) -> None:
    """Serve until the process is ended."""
    if kind == "wsgi":
        from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
        from django.core.wsgi import get_wsgi_application

        class Quiet(WSGIRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadedWSGIServer((HOST, port), Quiet)
        server.set_app(get_wsgi_application())
        server.serve_forever()
    else:
        import uvicorn
        from django.core.asgi import get_asgi_application

        from diffs.http.asgi import mount

        uvicorn.run(mount(get_asgi_application()), host=HOST, port=port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
