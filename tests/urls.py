"""Where the tests' site mounts things."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("diffs/", include("diffs.http.urls")),
]
