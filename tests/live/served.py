"""What real servers serve in the tests: the site, and how many listen to it."""

from __future__ import annotations

import json
import os
import resource

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

from django.conf import settings
from django.core.asgi import get_asgi_application

from diffs.http.asgi import mount
from diffs.http.live.hub import hubs
from diffs.http.visit import Receive, Scope, Send

settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, **json.loads(os.environ.get("DIFFS_TEST_SETTINGS", "{}"))}
site = mount(get_asgi_application())


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and scope["path"] == "/listeners":
        hub = hubs.get()
        told = {
            "listeners": len(hub._listeners),
            "woken": sum(len(watched.tail.listeners) for watched in hub._tails.values()),
            "kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }
        body = json.dumps(told).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
    else:
        await site(scope, receive, send)
