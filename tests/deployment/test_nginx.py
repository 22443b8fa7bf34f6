"""What the page on deployment says to nginx is run, with the endpoint behind it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from diffs import conf
from tests.documents import Page
from tests.documents.streams import Stream
from tests.testapp.models import Notice

from .running import PATIENCE, main_config, nginx_program, serve, wait_for

SITE, MAIN, BESIDE = (block.text for block in Page("docs/deployment.rst").blocks if block.language == "nginx")
COLLECTING = "gzip on; gzip_types *; gzip_proxied any; gzip_min_length 0; proxy_ignore_headers X-Accel-Buffering;"
"""What keeps streams back where a site's own file doesn't say otherwise."""


@pytest.fixture
def nginx(request: pytest.FixtureRequest, folder: Path, process_env: dict[str, str]) -> Iterator[list[str]]:
    """A site behind nginx as the page configures it; gives a command that asks it."""
    program = nginx_program()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = authority.issue_cert("testserver")
    certificate.private_key_pem.write_to_path(str(folder / "site.key"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "site.pem"))
    (folder / "style.css").write_text("served by nginx")
    (folder / "site.conf").write_text(_here(request.param, folder))
    (folder / "nginx.conf").write_text(main_config(folder, MAIN, f"{COLLECTING} include {folder}/site.conf;"))
    servers = [
        serve(folder / "live.sock", ["tests.asgi:application"], process_env),
        serve(
            folder / "site.sock",
            ["--factory", "--interface", "wsgi", "django.core.wsgi:get_wsgi_application"],
            process_env,
        ),
        subprocess.Popen([program, "-p", str(folder), "-c", str(folder / "nginx.conf")]),
    ]
    try:
        for name, server in zip(("live", "site", "nginx"), servers, strict=True):
            wait_for(folder / f"{name}.sock", server)
        yield [
            *(
                "curl",
                "--silent",
                "--no-buffer",
                "--include",
                "--compressed",
                "--http2",
                "--cacert",
                str(folder / "ca.pem"),
            ),
            *("--unix-socket", str(folder / "nginx.sock")),
        ]
    finally:
        for server in reversed(servers):
            server.terminate()
            server.wait(PATIENCE)


def _here(config: str, folder: Path) -> str:
    """The page's file with this test's paths."""
    for shown, real in (
        ("listen 443 ", f"listen unix:{folder}/nginx.sock "),
        ("/etc/ssl/example.com", f"{folder}/site"),
        ("/run/mysite", str(folder)),
        ("/srv/mysite/static", str(folder)),
    ):
        config = config.replace(shown, real)
    return config


def ask(command: list[str], path: str) -> str:
    """Get an answer, with its head."""
    done = subprocess.run([*command, f"https://testserver{path}"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("nginx", [SITE, BESIDE], ids=["all by ASGI", "the endpoint by ASGI"], indirect=True)
def test_pages_waits_and_streams_come_through_nginx(nginx: list[str]) -> None:
    notice = Notice.objects.create(body="before")
    feed = f"/diffs/testapp.notice/{notice.pk}/?since=now"

    assert re.match(r"HTTP/2 302 .*^location: /admin/login/", ask(nginx, "/admin/"), re.DOTALL | re.MULTILINE)
    assert "preference-applied: wait=1\n" in ask(nginx, f"{feed}&wait=1").replace("\r", "")

    stream = Stream([*nginx, "--header", "Accept: text/event-stream", f"https://testserver{feed}"], os.environ)
    try:
        head, opening, cursor = stream.take("head\n\nopening\n\nid", PATIENCE).split("\n\n")
        assert head.startswith("HTTP/2 200") and "content-type: text/event-stream" in head
        assert "retry: " in opening and cursor.startswith("id: ")
        for body in ("now", "and again"):
            notice.body = body
            notice.save()
            # The stream isn't at its end: what comes has come at once.
            assert f'"data":{{"body":"{body}"}}' in stream.take("diff", PATIENCE)
    finally:
        stream.close()


@pytest.mark.parametrize("nginx", [SITE], indirect=True)
def test_static_files_are_nginxs_own(nginx: list[str]) -> None:
    assert ask(nginx, "/static/style.css").endswith("served by nginx")


@pytest.mark.parametrize("config", [SITE, BESIDE])
def test_nginx_has_more_patience_than_the_endpoint(config: str) -> None:
    seconds = int(re.findall(r"proxy_read_timeout (\d+)s;", config)[0])
    assert seconds > conf._KEYS["max_wait"].default
    assert seconds > conf._KEYS["heartbeat"].default
