"""Where the contenders' views are; each family of goals that serves requests has a module of its own."""

from __future__ import annotations

from django.conf import settings
from django.urls import include, path

urlpatterns = [path("diffs/", include("diffs.http.urls"))] if "diffs" in settings.INSTALLED_APPS else []
