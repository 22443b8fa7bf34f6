"""The endpoint under an address that has to be percent-encoded."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("änderungen/", include("diffs.http.urls"))]
