"""The board, the list it loads once, the diffs it pulls, and the admin."""

from board import views
from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", views.board, name="board"),
    path("flights.json", views.flights, name="flights"),
    path("diffs/", include("diffs.http.urls")),
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url=static("board/icon.svg"))),
]
