"""Where the endpoint is mounted: ``path("diffs/", include("diffs.http.urls"))``."""

from __future__ import annotations

from django.urls import path

from .views import pull

app_name = "diffs"
urlpatterns = [
    # First what is asked for most.
    path("<str:model>/<path:pk>/", pull, name="object"),
    path("<str:model>/", pull, name="model"),
    path("", pull, name="feeds"),
]
