"""Where the contenders' views are."""

from __future__ import annotations

from django.conf import settings
from django.urls import include, path

from .views import urls

urlpatterns = [*urls(), *([path("diffs/", include("diffs.http.urls"))] if "diffs" in settings.INSTALLED_APPS else [])]
