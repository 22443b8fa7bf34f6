"""The contender's project under ASGI: the endpoint by itself, and beside it Django's view."""

from __future__ import annotations

from django.core.asgi import get_asgi_application

from diffs.http.asgi import mount

view = get_asgi_application()
application = mount(view)
