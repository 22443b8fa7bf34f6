"""Which hosts are served, and which origins' pages may read the answers, where no middleware sees to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings as django_settings
from django.http.request import split_domain_port, validate_host

from diffs.conf import settings

from .problems import Problem
from .protocol import METHODS
from .replies import Header, Reply

_IN_DEBUG = (".localhost", "127.0.0.1", "[::1]")

_WRONG_HOST = Problem(400, "This host is not served here.").reply()
_PREFLIGHT = Reply(
    204,
    (
        ("Access-Control-Allow-Methods", ", ".join(METHODS)),
        (
            "Access-Control-Allow-Headers",
            "Accept, Authorization, Cache-Control, If-None-Match, Last-Event-ID, Prefer",
        ),
        ("Access-Control-Max-Age", "7200"),
    ),
)
_EXPOSED = ("Access-Control-Expose-Headers", "ETag, Preference-Applied, Retry-After")
_VARY = ("Vary", "Origin")


def refusal(scope: Mapping[str, Any], sent: Mapping[bytes, str]) -> Reply | None:
    """The answer to a request for a host that isn't served.

    Args:
        scope: of ASGI.
        sent: headers by their names in small letters.
    """
    allowed = settings.allowed_hosts
    if allowed is None:
        allowed = django_settings.ALLOWED_HOSTS or (_IN_DEBUG if django_settings.DEBUG else ())
    domain, _ = split_domain_port(_host(scope, sent))
    return None if domain and validate_host(domain, allowed) else _WRONG_HOST


def _host(scope: Mapping[str, Any], sent: Mapping[bytes, str]) -> str:
    """What Django takes for the host, where the port doesn't matter."""
    if django_settings.USE_X_FORWARDED_HOST and b"x-forwarded-host" in sent:
        return sent[b"x-forwarded-host"]
    if b"host" in sent:
        return sent[b"host"]
    server = scope.get("server")
    return str(server[0]) if server else "unknown"


def sharing(origin: str | None) -> tuple[Header, ...]:
    """The headers by which a browser knows whether a page may read an answer.

    Args:
        origin: the page's; ``None`` where the request names none.
    """
    origins = settings.cors_origins
    if not origins:
        return ()
    if "*" in origins:
        # Without leave to send cookies: what a session opens is for the site's own pages.
        return (("Access-Control-Allow-Origin", "*"), _EXPOSED)
    if origin not in origins:
        return (_VARY,)
    return (
        _VARY,
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        _EXPOSED,
    )


def preflight(method: str, sent: Mapping[bytes, str]) -> Reply | None:
    """The answer to a browser that asks what a page may send; ``None``: it asks nothing, or may not.

    Args:
        method: of the request.
        sent: headers by their names in small letters.
    """
    if method != "OPTIONS" or b"access-control-request-method" not in sent:
        return None
    origins = settings.cors_origins
    return _PREFLIGHT if "*" in origins or sent.get(b"origin") in origins else None
