"""The tests' site, for servers of ASGI that a test starts."""

from __future__ import annotations

from django.core.asgi import get_asgi_application

from diffs.http.asgi import mount

application = mount(get_asgi_application())
