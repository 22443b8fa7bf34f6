"""What polls are compared with: views that do as little as can be, and a list of Django REST framework's."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified
from django.urls import URLPattern, path

from benchmarks.operations import floor

from .models import contender

FEED = "polls:feed"
"""A sorted set with the bytes that diffs are stored as."""
NEWEST = "polls:newest"
"""What a client that is up to date sends in ``If-None-Match``."""
PAGE = 100


def page(request: HttpRequest) -> HttpResponse:
    """The next stored bytes, joined."""
    since = request.GET["since"]
    found: Any = floor.client().zrangebyscore(FEED, f"({since}", "+inf", start=0, num=PAGE)
    return HttpResponse(b"[%b]" % b",".join(found), content_type="application/json")


def empty(request: HttpRequest) -> HttpResponseBase:
    """Nothing new, said after one ``GET``."""
    newest: Any = floor.client().get(NEWEST)
    if request.META["HTTP_IF_NONE_MATCH"].encode() != newest:
        raise AssertionError("The measure asks for what there is.")
    return HttpResponseNotModified()


def urls() -> list[URLPattern]:
    """The views, by the path that a measure asks for."""
    found = [path("floor/page/", page), path("floor/empty/", empty)]
    if importlib.util.find_spec("rest_framework") is not None and hasattr(contender, "Stamped"):
        found.append(path("list/", _list_view()))
    return found


def _list_view() -> Any:
    generics: Any = importlib.import_module("rest_framework.generics")
    serializers: Any = importlib.import_module("rest_framework.serializers")
    stamped: Any = contender.Stamped

    class StampedSerializer(serializers.ModelSerializer):  # type: ignore[misc]
        class Meta:
            model = stamped
            fields = "__all__"

    class StampedList(generics.ListAPIView):  # type: ignore[misc]
        serializer_class = StampedSerializer

        def get_queryset(self) -> Any:
            since = self.request.query_params["since"]
            return stamped.objects.filter(updated_at__gt=since).order_by("updated_at")[:PAGE]

    return StampedList.as_view()
