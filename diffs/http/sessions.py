"""The request that rules are shown where no middleware prepares one."""

from __future__ import annotations

import functools
import importlib
import io
from collections.abc import Callable, MutableMapping
from typing import Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings as django_settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from .permissions import settled

Authenticate = Callable[[HttpRequest], Any]

_IN_DATABASE = ("django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db")


def make_request(scope: MutableMapping[str, Any], authenticate: Authenticate | None) -> HttpRequest:
    """A request with session and user as Django's middleware would give them, as far as the site has such things.

    To be called where databases may be used.

    Args:
        scope: of ASGI.
        authenticate: gives the user of a request, or ``None``; instead of whose session it is.
    """
    request = ASGIRequest(scope, io.BytesIO())
    if _has_sessions():
        request.session = _session(request)
    has_users = apps.is_installed("django.contrib.auth")
    if authenticate is None and not (has_users and hasattr(request, "session")):
        return request
    find = functools.partial(_user, request, authenticate)
    request.user = SimpleLazyObject(find) if has_users else find()  # type: ignore[assignment]
    request.auser = functools.partial(_found, request)
    return request


def _has_sessions() -> bool:
    return apps.is_installed("django.contrib.sessions") or django_settings.SESSION_ENGINE not in _IN_DATABASE


def _session(request: HttpRequest) -> Any:
    engine = importlib.import_module(django_settings.SESSION_ENGINE)
    session = engine.SessionStore(request.COOKIES.get(django_settings.SESSION_COOKIE_NAME))
    # What looks a user up may begin a new session, and the client would never get its key.
    for name, instead in (("cycle_key", _nothing), ("flush", session.clear)):
        setattr(session, name, instead)
    return session


def _nothing() -> None:
    pass


def _user(request: HttpRequest, authenticate: Authenticate | None) -> Any:
    if authenticate is None:
        from django.contrib.auth import get_user

        return get_user(request)
    user = settled(authenticate(request))
    if user is None and apps.is_installed("django.contrib.auth"):
        from django.contrib.auth.models import AnonymousUser

        return AnonymousUser()
    return user


async def _found(request: HttpRequest) -> Any:
    """What ``request.auser()`` gives: the user, looked up in a thread."""
    await sync_to_async(lambda: request.user.is_authenticated)()
    return request.user
