"""The endpoint by each way in, asked what the OpenAPI document says that it may be asked, and what it may not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from hypothesis import strategies as st

from diffs.http import rules
from diffs.http.asgi import mount
from diffs.http.live.gathering import gatherings
from diffs.http.live.hub import hubs
from diffs.http.openapi import document
from diffs.store import close_store
from tests.endpoint import described
from tests.needs import missing
from tests.servers import RedisServer

from .site import ACTOR, KEY, PASSWORD, PRIVATE, Site, build
from .trying import fuzz, told

try:
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
        status_code_conformance,
    )
except ImportError:  # it takes a newer Python
    schemathesis = None


def _asgi() -> Any:
    application = mount(get_asgi_application())

    async def noticed(*arguments: Any) -> None:
        _loops.add(asyncio.get_running_loop())
        await application(*arguments)

    return noticed


WAYS: dict[str, Callable[[], Any]] = {"view": get_wsgi_application, "asgi": _asgi}
_loops: set[asyncio.AbstractEventLoop] = set()
"""Schemathesis runs applications in a loop of its own, which it never closes."""
ACCEPT = ["*/*", "application/json", "application/msgpack", "text/event-stream", "text/html, */*;q=0.1", ""]
OFTEN = st.sampled_from([True, True, True, True, False])
SLOW = 15.0
"""Seconds that no answer takes: a wait takes one, and a stream is old after a moment."""


@pytest.fixture
def site(server: RedisServer, transactional_db: None, settings: Any) -> Iterator[Site]:
    """A site with secrets, whose streams end soon."""
    if schemathesis is None:
        missing("schemathesis takes a newer Python.")
    settings.SECRET_KEY = KEY
    server.cli("CONFIG", "SET", "requirepass", PASSWORD)
    settings.DIFFS_SETTINGS = {
        "redis": {**server.options, "password": PASSWORD},
        "max_wait": 1,
        "heartbeat": 0.05,
        "stream_age": 0.2,
        "max_feeds": 4,
        "max_page_size": 20,
    }
    described.described.cache_clear()
    described.validator.cache_clear()
    yield build()
    while _loops:
        asyncio.run_coroutine_threadsafe(_let_go(), _loops.pop()).result(10)
    close_store()
    described.described.cache_clear()
    described.validator.cache_clear()


async def _let_go() -> None:
    """Give up what a loop that goes on would keep."""
    hubs.get().close()
    for things in (gatherings, rules._pools):
        thing = things.get()
        things.drop(thing)
        things._close(thing)


def _operations(way: str) -> list[Any]:
    """What may be asked, most of all to read."""
    config = schemathesis.Config.from_dict({"max-stream-events": 3})
    schema = schemathesis.openapi.from_dict(document("/diffs/"), config=config)
    schema.app = WAYS[way]()
    operations = [result.ok() for result in schema.get_all_operations()]
    return sorted(operations * 2 + [one for one in operations if one.method == "get"] * 6, key=lambda one: one.method)


@st.composite
def asked(draw: st.DrawFn, operations: list[Any], site: Site) -> Any:
    """A request as the document has it, or with a part that it forbids; often for what there is, by who there is."""
    operation = draw(st.sampled_from(operations))
    mode = draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
    case = draw(operation.as_strategy(generation_mode=mode))
    who = draw(st.sampled_from(sorted(site.sessions)))
    token = draw(st.sampled_from([*[""] * 6, *site.good, *site.tokens]))
    if draw(OFTEN):
        _aim(draw, case, site)
    if draw(OFTEN) and isinstance(case.query, dict):
        # A wait takes its time.
        case.query.pop("wait", None)
        case.headers.pop("Prefer", None)
    case.headers["Accept"] = draw(st.sampled_from(ACCEPT))
    if token and draw(st.booleans()):
        case.headers["Authorization"] = f"Bearer {token}"
    elif token and isinstance(case.query, dict):
        case.query["token"] = token
    if site.sessions[who]:
        case.cookies = {"sessionid": site.sessions[who]}
    return case, who, token


def _aim(draw: st.DrawFn, case: Any, site: Site) -> None:
    """Have a request ask for what there is."""
    if isinstance(case.path_parameters, dict) and case.path_parameters:
        model, pk = draw(st.sampled_from(site.addresses))
        case.path_parameters.update({"model": model, **({"pk": pk} if "pk" in case.path_parameters else {})})
    if not isinstance(case.query, dict):
        return
    for name in [name for name in case.query if draw(OFTEN)]:
        del case.query[name]
    for name in [name for name in case.headers if draw(OFTEN)]:
        del case.headers[name]
    if "{model}" in case.path:
        if draw(st.booleans()):
            case.query["since"] = draw(st.sampled_from(site.cursors))
    else:
        feeds = st.builds("{}@{}".format, st.sampled_from(site.cursors), st.sampled_from(site.names))
        case.query["feed"] = draw(st.lists(feeds, min_size=1, max_size=4, unique=True))


def _look(response: Any, who: str, token: str, site: Site) -> None:
    """Hold an answer against what its reader may know."""
    shown = response.content + repr(dict(response.headers)).encode()
    for secret in site.secrets:
        assert secret.encode() not in shown, f"{secret} is shown."
    if who != "ada":
        assert ACTOR.encode() not in shown, "An actor is shown."
        assert PRIVATE.encode() not in shown or token in site.good, "A private feed is shown."
    assert b"Traceback" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_fuzz_endpoint(site: Site, way: str, caplog: pytest.LogCaptureFixture) -> None:
    operations = _operations(way)
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
    ]
    seen: dict[int, int] = {}

    def ask(what: Any) -> None:
        case, who, token = what
        begun = time.monotonic()
        response = case.call()
        assert time.monotonic() - begun < SLOW, "The answer took too long."
        seen[response.status_code] = seen.get(response.status_code, 0) + 1
        _look(response, who, token, site)
        if response.status_code in (301, 404) and "application/problem+json" not in str(response.headers):
            # The path is none of the endpoint's: the site answers.
            return
        case.validate_response(response, checks=checks)

    count = fuzz(ask, asked(operations, site), share=0.2, few=60)
    told(f"endpoint by {way}, {dict(sorted(seen.items()))}", count)

    # Which others come up in a short run is chance.
    assert 200 in seen and len(seen) > 2
    for secret in (*site.secrets, *site.good):
        assert secret not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_fuzz_endpoint_while_redis_is_away(site: Site, way: str, server: RedisServer) -> None:
    server.kill()
    operations = _operations(way)
    seen: set[int] = set()

    def ask(what: Any) -> None:
        case, who, token = what
        response = case.call()
        seen.add(response.status_code)
        _look(response, who, token, site)
        assert response.status_code < 500 or response.status_code == 503

    told(f"endpoint by {way} without Redis", fuzz(ask, asked(operations, site), share=0.05, few=40))

    assert 503 in seen and 200 not in seen
