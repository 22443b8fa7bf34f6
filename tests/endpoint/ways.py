"""The ways into the endpoint: Django's view, and the ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from asgiref.sync import async_to_sync
from django.core.asgi import get_asgi_application
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.test import Client

from diffs.http.asgi import mount

Application = Callable[..., Awaitable[None]]

PATIENCE = 30.0


class Answer(NamedTuple):
    """What an ASGI application sent."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The values of all headers of a name, with commas between."""
        return ", ".join(value for key, value in self.headers if key == name.lower()) or None


def make_scope(
    address: str, *, method: str = "GET", headers: Iterable[tuple[str, str]] = (("host", "testserver"),), **other: Any
) -> dict[str, Any]:
    """A request as a server gives it to an application.

    Args:
        address: path and query, percent-encoded.
    """
    raw_path, _, query = address.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
        **other,
    }


async def exchange(application: Application, scope: Mapping[str, Any], *body: bytes) -> Answer:
    """Send a request, and check that what comes back is an answer as HTTP and ASGI have it."""
    requests = asyncio.Queue[dict[str, Any]]()
    for index, part in enumerate(body or (b"",)):
        requests.put_nowait({"type": "http.request", "body": part, "more_body": index < len(body) - 1})
    sent: list[Mapping[str, Any]] = []

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    await asyncio.wait_for(application(scope, requests.get, send), PATIENCE)
    start, *parts = sent
    assert start["type"] == "http.response.start"
    assert [part["type"] for part in parts] == ["http.response.body"] * len(parts)
    assert [part.get("more_body", False) for part in parts] == [True] * (len(parts) - 1) + [False]
    answer = Answer(
        start["status"],
        [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in start["headers"]],
        b"".join(part.get("body", b"") for part in parts),
    )
    if scope["method"] == "HEAD" or answer.status in (204, 304):
        assert answer.body == b""
    else:
        assert answer.header("content-length") in (None, str(len(answer.body)))
    return answer


class AsgiClient(Client):
    """Django's test client, in front of the ASGI application."""

    def __init__(self, application: Application | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.application = application or mount(get_asgi_application())
        self.handler = self._handle  # type: ignore[assignment]

    def _handle(self, environ: dict[str, Any]) -> HttpResponse:
        names = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}
        headers = [
            (names.get(key) or key.removeprefix("HTTP_").lower().replace("_", "-"), str(value))
            for key, value in environ.items()
            if value and (key in names or key.startswith("HTTP_"))
        ]
        scope = make_scope(
            "",
            method=environ["REQUEST_METHOD"],
            headers=[("host", environ["SERVER_NAME"]), *headers],
            path=environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),
            query_string=environ["QUERY_STRING"].encode("latin-1"),
        )
        # Without a context of its own, so that databases are asked by this thread, within a test's transaction.
        answer = async_to_sync(exchange)(self.application, scope, environ["wsgi.input"].read())
        response = HttpResponse(answer.body, status=answer.status, content_type="")
        del response["Content-Type"]
        response.wsgi_request = WSGIRequest(environ)
        for name in dict(answer.headers):
            response[name] = answer.header(name)
        return response


WAYS = {"view": Client, "asgi": AsgiClient}
