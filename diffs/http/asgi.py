"""The endpoint as an ASGI application, which can also wait for news and stream them.

In a project's ``asgi.py``::

    application = mount(get_asgi_application())
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import unquote

from django.core.handlers.asgi import get_script_prefix
from django.core.signals import got_request_exception
from django.urls import NoReverseMatch, reverse
from django.urls import get_script_prefix as get_urls_prefix

from diffs.errors import ConfigurationError

from .documents import AS_JSON, FORMS
from .hosts import preflight, refusal, sharing
from .live.gathering import gatherings
from .live.stream import stream
from .live.waiting import wait_for_news
from .negotiation import preferred
from .problems import Problem
from .protocol import EVENT_STREAM
from .pull import FAILURES, answer, as_asked, authorise, by_method, failure
from .query import Asked, parse, resumed
from .replies import Header, Reply
from .rules import Rules, in_thread
from .sessions import Authenticate, make_request
from .visit import Message, Receive, Scope, Send, Visit

# Applications differ in what they say a scope is: Django's takes a dict.
Application = Callable[[Any, Receive, Send], Awaitable[None]]

logger = logging.getLogger("django.request")

_PATH = re.compile(r"/(?:([^/]+)/(?:(.+)/)?)?")
"""The paths of ``diffs.http.urls``."""
_SENT = frozenset(
    {
        b"accept",
        b"access-control-request-method",
        b"authorization",
        b"host",
        b"if-none-match",
        b"last-event-id",
        b"origin",
        b"prefer",
        b"x-forwarded-host",
    }
)
"""The headers that are read here."""
_NO_SNIFFING = ("X-Content-Type-Options", "nosniff")

_NOTHING_HERE = Problem(404, "There is nothing here.").reply()
_BROKEN = Reply(500, (("Content-Type", "text/plain"), ("Cache-Control", "no-store")), b"Internal Server Error")


class PullApplication:
    """The endpoint by itself, to be mounted in an ASGI application that isn't Django's.

    Its paths are those behind ``root_path``. Django has to be set up before it is called.

    Args:
        authenticate: gives the user of a Django request, or ``None`` where nobody is logged in; it may use databases,
            or be asynchronous. Unless given, Django's session says who it is.
    """

    def __init__(self, *, authenticate: Authenticate | None = None) -> None:
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"The pull endpoint takes HTTP connections, not {scope['type']}.")
        address = _find_address(scope["path"].removeprefix(scope.get("root_path", "")))
        if address is None:
            await _Outlet(send).reply(as_asked(scope["method"], _NOTHING_HERE))
        else:
            await self.serve(scope, receive, send, address)

    async def serve(self, scope: Scope, receive: Receive, send: Send, address: _Address) -> None:
        """Answer an HTTP request.

        Args:
            scope, receive, send: of ASGI.
            address: what its path names.
        """
        outlet, reply, asked = _understand(scope, send, address)
        try:
            if reply is None:
                reply = await self._answer(asked, scope, receive, outlet)
            if reply is not None:
                await outlet.reply(as_asked(asked.method, reply))
        except Exception as error:
            await in_thread(functools.partial(self._report, scope, error))
            await outlet.break_off()

    async def _answer(self, asked: Asked, scope: Scope, receive: Receive, outlet: _Outlet) -> Reply | None:
        """Answer with diffs; ``None`` where that is done, or where nobody is left to be answered."""
        rules = Rules(functools.partial(make_request, scope, self._authenticate))
        try:
            query = parse(asked)
            if asked.stream:
                query = resumed(asked, query)
            grants = await rules.ask(lambda: authorise(query, rules.reader))
            visit = Visit(asked, query, grants, rules, receive)
            if asked.stream:
                await stream(visit, outlet.send, outlet.onward)
                return None
            if query.wait and asked.method == "GET":
                return await wait_for_news(visit)
            pages = await gatherings.get().read(query.reads, [grant.target.own for grant in grants], asked.form)
            ask = in_thread if query.snapshot else rules.ask
            reply = await ask(lambda: answer(asked, query, grants, pages))
        except FAILURES as error:
            reply = failure(error)
        return reply

    def _report(self, scope: Scope, error: Exception) -> None:
        """Tell of an error as Django does where a view raises it."""
        request = make_request(scope, self._authenticate)
        got_request_exception.send(sender=type(self), request=request)
        logger.error(
            "Internal Server Error: %s", scope["path"], exc_info=error, extra={"status_code": 500, "request": request}
        )


application = PullApplication()
"""The endpoint by itself, for readers with Django's sessions and with tokens."""


def mount(
    application: Application, path: str | None = None, *, authenticate: Authenticate | None = None
) -> Application:
    """Serve the endpoint without Django's middleware, and leave all else to another application.

    Args:
        application: Django's, nearly always: ``get_asgi_application()``.
        path: where the endpoint is, as in ``/diffs/``; unless given, where the URL configuration has it.
        authenticate: see `PullApplication`.
    """
    return _Mounted(application, path, PullApplication(authenticate=authenticate))


class _Mounted:
    """Two applications, of which the path chooses one."""

    def __init__(self, application: Application, path: str | None, endpoint: PullApplication) -> None:
        self._application = application
        self._path = None if path is None else f"/{path.strip('/')}".rstrip("/")
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = self._find_address(scope) if scope["type"] == "http" else None
        if address is None:
            await self._application(scope, receive, send)
        else:
            await self._endpoint.serve(scope, receive, send, address)

    def _find_address(self, scope: Scope) -> _Address | None:
        if self._path is None:
            self._path = _path_of_urls()
        path: str = scope["path"].removeprefix(get_script_prefix(scope))
        return _find_address(path.removeprefix(self._path)) if path.startswith(self._path) else None


def _path_of_urls() -> str:
    """Where the site's URL configuration has the endpoint, without a slash at the end."""
    try:
        url = reverse("diffs:feeds")
    except NoReverseMatch:
        raise ConfigurationError(
            "The URL configuration doesn't say where the pull endpoint is: include diffs.http.urls there, or give "
            "mount(path=...)."
        ) from None
    return f"/{unquote(url.removeprefix(get_urls_prefix()))}".rstrip("/")


class _Address(NamedTuple):
    """What a path names."""

    model: str | None
    pk: str | None


def _find_address(path: str) -> _Address | None:
    match = _PATH.fullmatch(path)
    return None if match is None else _Address(match[1], match[2])


def _understand(scope: Scope, send: Send, address: _Address) -> tuple[_Outlet, Reply | None, Asked]:
    """Read a request.

    Returns:
        Where its answer goes, the answer where that is clear without any diffs, and what is asked for.
    """
    sent: dict[bytes, str] = {}
    for name, value in scope.get("headers", ()):
        if name in _SENT:
            text = value.decode("latin-1")
            sent[name] = f"{sent[name]},{text}" if name in sent else text
    method = scope["method"]
    media_type = preferred(sent.get(b"accept", ""), can_stream=method == "GET")
    asked = Asked(
        method=method,
        model=address.model,
        pk=address.pk,
        query=scope.get("query_string", b"").decode("latin-1"),
        authorization=sent.get(b"authorization", ""),
        if_none_match=sent.get(b"if-none-match", ""),
        form=FORMS.get(media_type, AS_JSON),
        prefer=sent.get(b"prefer", ""),
        last_event_id=sent.get(b"last-event-id", ""),
        stream=media_type == EVENT_STREAM,
    )
    reply = refusal(scope, sent) or preflight(method, sent) or by_method(method)
    return _Outlet(send, sharing(sent.get(b"origin"))), reply, asked


def _encoded(headers: Iterable[Header]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]


class _Outlet:
    """Sends to the client, with what every answer to it carries."""

    __slots__ = ("_has_begun", "_headers", "onward")

    def __init__(self, send: Send, headers: Iterable[Header] = ()) -> None:
        self.onward = send
        """Sends what comes after the beginning, which carries all this."""
        self._headers = _encoded((_NO_SNIFFING, *headers))
        self._has_begun = False

    async def send(self, message: Message) -> None:
        """Send a message of ASGI."""
        if message["type"] == "http.response.start":
            self._has_begun = True
            message = {**message, "headers": [*message["headers"], *self._headers]}
        await self.onward(message)

    async def reply(self, reply: Reply) -> None:
        """Send a whole answer."""
        headers = _encoded(reply.headers)
        if reply.body:
            headers.append((b"content-length", str(len(reply.body)).encode()))
        try:
            await self.send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await self.send({"type": "http.response.body", "body": reply.body})
        except OSError:
            # The client has gone, which some servers tell whoever sends.
            return

    async def break_off(self) -> None:
        """Say that something is broken, or nothing where an answer has begun: the server then cuts the connection."""
        if not self._has_begun:
            await self.reply(_BROKEN)
