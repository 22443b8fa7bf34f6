"""The contender's project under WSGI."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.project.settings"
application = get_wsgi_application()
