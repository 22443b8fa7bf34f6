"""The site for ASGI servers, with the diffs beside Django: ``uvicorn departures.asgi:application`` in ``example/``."""

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

from diffs.http.asgi import mount

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "departures.settings")

# Django's own server is not there to serve the page's script and style.
application = mount(ASGIStaticFilesHandler(get_asgi_application()))
