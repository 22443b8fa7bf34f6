"""The contender's project under ASGI: Django's application, and the endpoint mounted beside it."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from diffs.http.asgi import mount

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.project.settings"
django_only = get_asgi_application()
application = mount(django_only)
