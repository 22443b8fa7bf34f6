"""Who may pull what, by the rules of the registered models."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import async_to_sync
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest

from diffs import pks
from diffs.registration import Registration

from .tokens import user_text

PUBLIC = "public"
AUTHENTICATED = "authenticated"

MAX_ANSWERS = 10_000
"""How many answers are remembered of one reader, who may stay for a while."""

Rule = Callable[[Any, type[models.Model], Any], Any]


class Reader:
    """Whoever sent a request, and what the rules said of them so far.

    The user is looked up only where a rule needs it: a public feed costs no query.

    Args:
        get_request: gives the request; called wherever a question can't be answered from memory.
    """

    __slots__ = ("_answers", "_get_request", "_is_authenticated", "_user", "was_asked")

    def __init__(self, get_request: Callable[[], HttpRequest]) -> None:
        self._get_request = get_request
        self._answers: dict[tuple[str, str | None], bool | None] = {}
        self._is_authenticated: bool | None = None
        self._user: str | None = None
        self.was_asked = False
        """Whether any answer depended on who reads, so that the page is for this reader alone."""

    @property
    def is_authenticated(self) -> bool:
        """Whether somebody is logged in."""
        self.was_asked = True
        if self._is_authenticated is None:
            user = getattr(self._get_request(), "user", None)
            self._is_authenticated = bool(user is not None and user.is_authenticated)
            self._user = user_text(user) if self._is_authenticated else None
        return self._is_authenticated

    def is_user(self, text: str) -> bool:
        """Whether the user of that primary key is logged in.

        Args:
            text: of the primary key.
        """
        return self.is_authenticated and self._user == text

    def may_pull(self, registration: Registration, pk: Any) -> bool:
        """Whether the rule of a model lets this reader see an object.

        Args:
            registration: the object's model.
            pk: in any form that the model takes; ``None`` for the model feed.
        """
        return self._rule_says(registration, pk) is True

    def may_see_deletion(self, registration: Registration, pk: Any) -> bool:
        """Whether this reader is told that an object is gone, which says no more than its primary key.

        A rule can't be asked about what isn't there: where it finds nothing to judge, everybody is told who may pull
        the feed, or the object would stay on their pages for ever. One that says no is heeded.

        Args:
            registration: the object's model.
            pk: in any form that the model takes.
        """
        return self._rule_says(registration, pk) is not False

    def _rule_says(self, registration: Registration, pk: Any) -> bool | None:
        """What the rule of a model says; ``None`` where it found no object to judge."""
        rule = registration.options.permission
        if rule == PUBLIC:
            return True
        self.was_asked = True
        if not callable(rule):
            return self._answer((registration.label, None), lambda: self._passes(registration, rule))
        if pk is None:
            return self._answer((registration.label, None), lambda: self._ask(rule, registration.model, None))
        try:
            text = pks.text(registration.model, pk)
            value = pks.parse(registration.model, text)
        except ValueError:
            # Stored when the model had another kind of primary key: nobody can be asked about it.
            return False
        return self._answer((registration.label, text), lambda: self._ask(rule, registration.model, value))

    def may_see_actors(self, registration: Registration) -> bool:
        """Whether a reader who may pull an object of a model is also shown who changed it."""
        return registration.options.permission != PUBLIC and self.is_authenticated

    def _answer(self, key: tuple[str, str | None], ask: Callable[[], bool | None]) -> bool | None:
        if key not in self._answers:
            answer = ask()
            if len(self._answers) >= MAX_ANSWERS:
                self._answers.clear()
            self._answers[key] = answer
        return self._answers[key]

    def _passes(self, registration: Registration, rule: str | None) -> bool:
        # Asked in any case, as whoever needs the user once asks for this too.
        is_authenticated = self.is_authenticated
        if rule == AUTHENTICATED:
            return is_authenticated
        user = getattr(self._get_request(), "user", None)
        return user is not None and bool(user.has_perm(rule or default_permission(registration.model)))

    def _ask(self, rule: Rule, model: type[models.Model], pk: Any) -> bool | None:
        try:
            # A coroutine is true before it has said anything.
            return bool(settled(rule(self._get_request(), model, pk)))
        except PermissionDenied:
            return False
        except (ObjectDoesNotExist, Http404):
            return None


def default_permission(model: type[models.Model]) -> str:
    """The permission to view a model's objects, as Django names it."""
    return f"{model._meta.app_label}.view_{model._meta.model_name}"


def settled(answer: Any) -> Any:
    """What a function of the site's gave, be it asynchronous or not."""
    return async_to_sync(_wait_for)(answer) if inspect.isawaitable(answer) else answer


async def _wait_for(answer: Awaitable[Any]) -> Any:
    return await answer
