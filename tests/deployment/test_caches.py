"""A cache in front of the endpoint, as nginx has one: it may keep what is for everybody, and nothing else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission, User
from django.test import Client

from diffs.http.tokens import feed_token
from tests.documents.streams import Stream
from tests.store.processes import wait_for as until
from tests.testapp.models import Notice, Question

from .running import PATIENCE, main_config, nginx_program, serve, wait_for

# Whatever says nothing about caches is kept for an hour, whoever asked: the site's answers have to say it themselves.
CACHE = """
    proxy_cache_path {folder}/cache keys_zone=site:1m;
    server {{
        listen unix:{folder}/nginx.sock;
        location / {{
            proxy_pass http://unix:{folder}/site.sock;
            proxy_set_header Host testserver;
            proxy_cache site;
            proxy_cache_key $request_uri;
            proxy_cache_valid any 1h;
            add_header X-Cache $upstream_cache_status always;
        }}
    }}
"""
SERVERS = {
    "asgi": ["tests.asgi:application"],
    "view": ["--factory", "--interface", "wsgi", "django.core.wsgi:get_wsgi_application"],
}


class Got(NamedTuple):
    """An answer that came through the cache."""

    status: int
    cached: str
    """What the cache says of it: ``HIT``, ``MISS`` and so on."""
    text: str


Ask = Callable[..., Got]


@pytest.fixture(params=SERVERS)
def ask(request: pytest.FixtureRequest, folder: Path, process_env: dict[str, str]) -> Iterator[Ask]:
    """Ask the site, through the cache: ``ask(path, "Name: value", method="HEAD")``."""
    config = folder / "nginx.conf"
    config.write_text(main_config(folder, "events {}", CACHE.format(folder=folder)))
    servers = {
        "site": serve(folder / "site.sock", SERVERS[request.param], process_env),
        "nginx": subprocess.Popen([nginx_program(), "-p", str(folder), "-c", str(config)]),
    }

    def ask(path: str, *headers: str, method: str = "GET") -> Got:
        sent = [argument for header in headers for argument in ("--header", header)]
        form = ["--head"] if method == "HEAD" else ["--include", "--request", method]
        done = subprocess.run(
            [*_curl(folder), *form, *sent, f"http://testserver{path}"], capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        head, _, body = done.stdout.replace("\r", "").partition("\n\n")
        found = dict(line.split(": ", 1) for line in head.split("\n")[1:])
        return Got(int(head.split()[1]), found.get("X-Cache", ""), body)

    try:
        for name, server in servers.items():
            wait_for(folder / f"{name}.sock", server)
        yield ask
    finally:
        for server in reversed(servers.values()):
            server.terminate()
            server.wait(PATIENCE)


def _curl(folder: Path) -> list[str]:
    return ["curl", "--silent", "--no-buffer", "--unix-socket", str(folder / "nginx.sock")]


def session(name: str, *permissions: str) -> str:
    """The header of somebody who has logged in."""
    user = User.objects.create_user(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return f"Cookie: {django_settings.SESSION_COOKIE_NAME}={client.cookies[django_settings.SESSION_COOKIE_NAME].value}"


@pytest.mark.slow
def test_p8_cache_gives_no_reader_what_was_for_another(ask: Ask) -> None:
    notice = Notice.objects.create(headline="for everybody")
    question = Question.objects.create(text="for some")
    path, public = f"/diffs/testapp.question/{question.pk}/", f"/diffs/testapp.notice/{notice.pk}/"
    token = f"Authorization: Bearer {feed_token(question)}"
    ada, bob = session("ada", "view_question"), session("bob")
    several = f"/diffs/?feed=@testapp.notice:{notice.pk}&feed=@testapp.question:{question.pk}"

    def all_ask(path: str) -> list[tuple[int, bool]]:
        """Twice each in turn, who may read it first: status, and whether the secret is in it."""
        got = [ask(path, *headers) for headers in ([ada], [token], [bob], [], [token], [ada], [bob], [])]
        assert {one.cached for one in got} == {"MISS"}
        return [(one.status, "for some" in one.text) for one in got]

    for query in ("", "?collapse=1", "?snapshot=1", "?limit=1", "?wait=1"):
        assert all_ask(path + query) == [
            *((200, True), (200, True), (403, False), (401, False)),
            *((200, True), (200, True), (403, False), (401, False)),
        ]
    statuses = [status for status, _ in all_ask(f"{path}?since=now")]
    assert statuses == [200, 200, 403, 401, 200, 200, 403, 401]
    assert [status for status, _ in all_ask(f"{path}?since=00000000_1")] == [410, 410, 403, 401, 410, 410, 403, 401]
    assert [status for status, _ in all_ask(several)] == [200, 200, 403, 401, 200, 200, 403, 401]
    assert {ask(path, *headers, method="HEAD").cached for headers in ([ada], [], [token])} == {"MISS"}

    # What is for everybody is kept, for a second: the cache works.
    until(lambda: ask(public).cached == "HIT")
    assert "for everybody" in ask(public, bob).text


@pytest.mark.slow
def test_p8_address_with_a_token_is_not_kept_either(ask: Ask) -> None:
    question = Question.objects.create(text="for some")
    ada, bob = session("ada"), session("bob")
    bound = feed_token(question, user=User.objects.get(username="ada"))
    path = f"/diffs/testapp.question/{question.pk}/?token="

    assert [ask(path + feed_token(question))[:2] for _ in range(2)] == [(200, "MISS")] * 2
    # The address is the same for all who have it, and yet it is ada's.
    assert [ask(path + bound, *who)[:2] for who in ([ada], [bob], [], [ada])] == [
        (status, "MISS") for status in (200, 401, 401, 200)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("ask", ["asgi"], indirect=True)
def test_p8_stream_is_not_kept(ask: Ask, folder: Path) -> None:
    notice = Notice.objects.create(headline="Fire")
    path = f"http://testserver/diffs/testapp.notice/{notice.pk}/"
    for _ in range(2):
        stream = Stream([*_curl(folder), "--include", "--header", "Accept: text/event-stream", path], os.environ)
        try:
            head = stream.take("head\n\nopening\n\nid", PATIENCE).split("\n\n")[0]
            assert "X-Cache: MISS" in head and "text/event-stream" in head
        finally:
            stream.close()
