"""The site has nothing but its diffs."""

from django.urls import include, path

urlpatterns = [path("diffs/", include("diffs.http.urls"))]
