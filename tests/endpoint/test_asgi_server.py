"""The endpoint behind a real server."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from diffs.http.tokens import feed_token
from tests.testapp.models import Choice, Question

from .feeds import Feed

PATIENCE = 30.0


class Site:
    """The tests' site behind uvicorn, at a socket.

    Args:
        parser: uvicorn's name of what reads HTTP.
        folder: where to put the socket and what the server says.
        env: the environment that it runs in.
    """

    def __init__(self, parser: str, folder: Path, env: dict[str, str]) -> None:
        self._socket = folder / "site.sock"
        self._log = folder / "site.log"
        command = ["uvicorn", "tests.asgi:application", "--uds", str(self._socket), "--http", parser]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command, "--timeout-graceful-shutdown", "1"], env=env, stdout=log, stderr=log
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(str(self._socket))
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, self.said
                time.sleep(0.02)

    @property
    def said(self) -> str:
        """What the server wrote."""
        return self._log.read_text()

    def client(self) -> httpx.Client:
        """A client of it, which keeps its connection."""
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self._socket)), base_url="http://testserver", timeout=PATIENCE
        )

    def stop(self) -> None:
        """End it in order."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) in (0, -signal.SIGTERM)


@pytest.fixture(params=["h11", "httptools"])
def site(request: pytest.FixtureRequest, tmp_path: Path, process_env: dict[str, str]) -> Iterator[Site]:
    site = Site(request.param, tmp_path, process_env)
    yield site
    site.stop()


def test_endpoint_serves_polls_waits_and_streams_beside_the_site(site: Site) -> None:
    user = User.objects.create_user("ada")
    user.user_permissions.add(Permission.objects.get(codename="view_question"))
    browser = Client()
    browser.force_login(user)
    session = {"Cookie": f"sessionid={browser.cookies['sessionid'].value}"}
    question = Question.objects.create(text="?")
    feed = Feed(Question, question.pk)
    token = {"Authorization": f"Bearer {feed_token(question)}"}

    with site.client() as client:
        # The site itself, and what needs nobody.
        assert client.get("/admin/").headers["Location"] == "/admin/login/?next=/admin/"
        assert client.get(feed.path).status_code == 401
        assert client.post(feed.path, content=b"x" * 100_000).status_code == 405

        # A poll by a token, by a session, and one without news.
        page = client.get(feed.path, headers=token)
        assert [diff["data"]["text"] for diff in page.json()["diffs"]] == ["?"]
        assert client.get(feed.path, headers=session).json() == page.json()
        unchanged = client.get(feed.path, headers={**token, "If-None-Match": page.headers["ETag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        head = client.head(feed.path, headers=token)
        assert (head.content, head.headers["Content-Length"]) == (b"", str(len(page.content)))
        cursor = page.json()["cursor"]

        # A wait that ends with a change.
        with ThreadPoolExecutor(1) as elsewhere:
            waiting = elsewhere.submit(client.get, f"{feed.path}?since={cursor}&wait=25", headers=token)
            while not waiting.done():
                question.votes += 1
                question.save()
                time.sleep(0.05)
            news = waiting.result()
        assert news.headers["Preference-Applied"] == "wait=25"
        assert news.json()["diffs"][0]["data"]["votes"] >= 1

        # A stream, which goes on where the wait ended.
        headers = {**token, "Accept": "text/event-stream", "Last-Event-ID": news.json()["cursor"]}
        Choice.objects.create(question=question, text="42")
        with client.stream("GET", feed.path, headers=headers) as stream:
            assert stream.headers["Content-Type"] == "text/event-stream"
            assert any('"model":"testapp.choice"' in line for line in stream.iter_lines())

        # The connection serves on after all that.
        assert client.get(feed.path, headers=token).status_code == 200

    site.stop()
    assert "ERROR" not in site.said and "Traceback" not in site.said, site.said
