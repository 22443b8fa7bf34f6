"""P7 and P8: who is told of the deletion of an object whose rule looks at the object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.test import Client

from tests.testapp.models import Choice, Question

from .feeds import Feed

pytestmark = pytest.mark.django_db

Rule = Callable[[HttpRequest, Any, Any], bool]


def by_getting(request: HttpRequest, model: Any, pk: Any) -> bool:
    return bool(model.objects.get(pk=pk).votes >= 0)


def by_get_or_404(request: HttpRequest, model: Any, pk: Any) -> bool:
    return bool(get_object_or_404(model, pk=pk).votes >= 0)


def by_filtering(request: HttpRequest, model: Any, pk: Any) -> bool:
    return bool(model.objects.filter(pk=pk, votes__gte=0).exists())


def by_refusing(request: HttpRequest, model: Any, pk: Any) -> bool:
    raise PermissionDenied


def by_not_finding(request: HttpRequest, model: Any, pk: Any) -> bool:
    raise Http404


def pulled(client: Client, feed: Feed) -> list[tuple[str, Any]]:
    response = client.get(f"/diffs/{feed.registration.label}/{feed.pk}/")
    assert response.status_code == 200, response.content
    return [(diff["action"], diff["pk"]) for diff in response.json()["diffs"]]


@pytest.mark.parametrize(
    ("permission", "told"),
    [
        (by_getting, [("delete", 7)]),
        (by_get_or_404, [("delete", 7)]),
        (by_not_finding, [("delete", 7)]),
        (by_filtering, []),
        (by_refusing, []),
    ],
)
def test_of_a_child_that_is_gone_only_the_deletion_is_told_where_the_rule_finds_nothing_to_judge(
    permission: Rule, told: list[tuple[str, Any]], client: Client, rule: Any
) -> None:
    rule(Question, permission="public")
    rule(Choice, permission=permission)
    questions = Feed(Question, 42)
    questions.append("create", {"text": "no longer there"}, child=(Choice, 7))
    questions.append("update", {"text": "nor this"}, child=(Choice, 7))
    questions.append("delete", child=(Choice, 7))
    assert pulled(client, questions) == told


def test_a_rule_of_the_whole_model_holds_for_deletions_too(client: Client, rule: Any) -> None:
    rule(Question, permission="public")
    rule(Choice, permission="authenticated")
    questions = Feed(Question, 42)
    questions.append("delete", child=(Choice, 7))
    assert pulled(client, questions) == []


def test_a_feed_whose_object_is_gone_is_refused_where_the_rule_finds_nothing_to_judge(
    client: Client, rule: Any
) -> None:
    rule(Question, permission=by_getting)
    questions = Feed(Question, 42)
    questions.append("delete")
    response = client.get("/diffs/testapp.question/42/")
    assert response.status_code == 401
