"""Who makes the changes of a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from diffs import actor


class ActorMiddleware:
    """Records with each diff which user's request it came from.

    Put it anywhere in ``MIDDLEWARE``. The user is looked up only when a diff is made: a request that changes nothing
    costs neither a session nor a query. What is changed while a streaming response is sent has no actor.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer a request."""
        if self._is_async:
            return self._answer(request)
        with actor(lambda: _user_of(request)):
            response: HttpResponseBase = self.get_response(request)
            return response

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        with actor(lambda: _user_of(request)):
            response: HttpResponseBase = await self.get_response(request)
            return response


def _user_of(request: HttpRequest) -> Any:
    """The primary key of the user, who is only now looked up; ``None`` where nobody is logged in."""
    user = getattr(request, "user", None)
    return user.pk if user is not None and user.is_authenticated else None
