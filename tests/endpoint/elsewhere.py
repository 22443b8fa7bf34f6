"""The endpoint under another address."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("api/v1/changes/", include("diffs.http.urls"))]
