"""The endpoint as a Django view."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from diffs.store import get_store

from .documents import FORMS
from .negotiation import preferred
from .permissions import Reader
from .protocol import PRIVATE_CACHE, PUBLIC_CACHE
from .pull import respond
from .query import Asked
from .replies import Reply


# Exempt, because nothing is ever changed here: other methods than GET are to be told so.
@csrf_exempt
@login_not_required
@transaction.non_atomic_requests
def pull(request: HttpRequest, model: str | None = None, pk: str | None = None) -> HttpResponse:
    """Diffs of an object, of a model, or of the feeds that the query names.

    Args:
        request: the request.
        model: the model's label; ``None`` where the query names the feeds.
        pk: the primary key, quoted; ``None`` for a model feed.
    """
    return to_response(respond(asked_by(request, model, pk), Reader(lambda: request), get_store))


def asked_by(request: HttpRequest, model: str | None, pk: str | None) -> Asked:
    """A Django request as the endpoint's core takes it."""
    return Asked(
        method=request.method or "",
        model=model,
        pk=pk,
        query=request.META.get("QUERY_STRING", ""),
        authorization=request.META.get("HTTP_AUTHORIZATION", ""),
        if_none_match=request.META.get("HTTP_IF_NONE_MATCH", ""),
        form=FORMS[preferred(request.META.get("HTTP_ACCEPT", ""))],
        prefer=request.META.get("HTTP_PREFER", ""),
    )


def to_response(reply: Reply) -> HttpResponse:
    """An answer as Django takes it."""
    headers = dict(reply.headers)
    has_type = "Content-Type" in headers
    response = _Response(reply.body, status=reply.status, headers=headers, content_type=None if has_type else "")
    if not has_type:
        del response["Content-Type"]
    if reply.status == 503:
        # The store logs an outage once; Django would log it as an error, by mail as well, with every poll.
        response._has_been_logged = True  # type: ignore[attr-defined]
    return response


class _Response(HttpResponse):
    """An answer that is for one reader once a middleware has put a cookie into it, as one that renews sessions does."""

    def set_cookie(self, *args: Any, **kwargs: Any) -> None:
        if self.headers.get("Cache-Control") == PUBLIC_CACHE:
            self.headers["Cache-Control"] = PRIVATE_CACHE
            patch_vary_headers(self, ("Cookie",))
        super().set_cookie(*args, **kwargs)
