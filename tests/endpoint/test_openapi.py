"""The OpenAPI document says what the endpoint does, all of it, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

import diffs
from diffs.http import protocol
from diffs.http.openapi import document
from tests.needs import missing
from tests.servers import RedisServer
from tests.testapp.models import Choice, Notice

from .cases import CASES
from .described import check, described, operation, resolved
from .feeds import Feed
from .stage import Case, make_stage
from .ways import WAYS

SHIPPED = Path(diffs.__file__).parent / "http" / "openapi.json"
QUERY = {
    protocol.SINCE,
    protocol.LIMIT,
    protocol.FEED,
    protocol.TOKEN,
    protocol.COLLAPSE,
    protocol.SNAPSHOT,
    protocol.WAIT,
}


@pytest.mark.parametrize(
    ("way", "case"),
    [
        pytest.param(way, case, id=f"{way}-{case.name.replace(' ', '_')}", marks=[pytest.mark.django_db])
        for case in CASES
        for way in WAYS
        if way in case.ways
    ],
)
def test_every_answer_is_described(case: Case, way: str) -> None:
    case = case.on(make_stage())
    response = WAYS[way]().generic(case.method, case.path, headers=dict(case.sent))

    check(case.method, case.path, response.status_code, response.headers, response.content)


def answers(client: Client, *asked: str, **options: Any) -> list[tuple[int, str]]:
    """Status and media type of answers that the document describes."""
    got = []
    for path in asked:
        response = client.get(path, **options)
        got.append((response.status_code, check("GET", path, response.status_code, response.headers, response.content)))
    return got


@pytest.mark.parametrize("form", [protocol.JSON, protocol.MSGPACK])
def test_forms_and_actors_are_described(viewer: Client, questions: Feed, form: str) -> None:
    questions.append("create", {"text": "?"}, actor="ada")
    questions.append("delete", child=(Choice, 1))

    asked = [f"{questions.path}{query}" for query in ("", "?collapse=1", "?limit=1")]
    assert answers(viewer, *asked, f"/diffs/?feed=@{questions.name}", headers={"Accept": form}) == [(200, form)] * 4


@pytest.mark.django_db
def test_snapshot_is_described(client: Client) -> None:
    notice = Notice.objects.create(headline="Fire")

    assert answers(client, f"/diffs/testapp.notice/{notice.pk}/?snapshot=1") == [(200, protocol.JSON)]


def test_unchanged_page_is_described(client: Client, notices: Feed) -> None:
    assert answers(client, notices.path, headers={"If-None-Match": "*"}) == [(304, "")]


def test_refused_user_is_described(client: Client, questions: Feed, user: User) -> None:
    client.force_login(user)

    assert answers(client, questions.path) == [(403, protocol.PROBLEM)]


def test_outage_is_described(client: Client, server: RedisServer, notices: Feed) -> None:
    server.kill()

    assert answers(client, notices.path, f"/diffs/?feed=@{notices.name}") == [(503, protocol.PROBLEM)] * 2


def test_nothing_is_described_that_no_test_sees() -> None:
    seen = {str(case.status) for case in CASES} | {"304", "403", "503"}
    statuses = {
        status
        for item in described()["paths"].values()
        for method in ("get", "head", "options")
        for status in item[method]["responses"]
    }

    assert statuses | {"405"} == seen


@pytest.mark.parametrize("path", ["/diffs/", "/diffs/a.b/", "/diffs/a.b/1/"])
def test_parameters_are_those_of_the_protocol(path: str) -> None:
    found = {
        place: {one["name"] for one in map(resolved, operation(path)["get"]["parameters"]) if one["in"] == place}
        for place in ("query", "header")
    }
    other = {"/diffs/": {protocol.SINCE, protocol.SNAPSHOT}, "/diffs/a.b/": {protocol.FEED, protocol.SNAPSHOT}}

    assert found["query"] == QUERY - other.get(path, {protocol.FEED})
    assert found["header"] == {"Prefer", "If-None-Match", protocol.LAST_EVENT_ID}
    assert operation(path)["head"]["parameters"] == operation(path)["get"]["parameters"]


def test_methods_and_media_types_are_those_of_the_protocol() -> None:
    for item in described()["paths"].values():
        assert {name.upper() for name in item if name != "parameters"} == set(protocol.METHODS)
        found = resolved(item["get"]["responses"]["200"])["content"]
        assert set(found) == {protocol.JSON, protocol.MSGPACK, protocol.EVENT_STREAM}


def test_bounds_are_those_of_the_settings(settings: Any) -> None:
    settings.SESSION_COOKIE_NAME = "who"
    settings.DIFFS_SETTINGS = {"max_page_size": 7, "page_size": 5, "max_feeds": 3, "max_wait": 2}
    components = document("https://example.com/live/")["components"]
    parameters = {name: one["schema"] for name, one in components["parameters"].items()}

    assert (parameters["Limit"]["maximum"], parameters["Limit"]["default"]) == (7, 5)
    assert (parameters["Feed"]["maxItems"], parameters["Tokens"]["maxItems"]) == (3, 3)
    assert parameters["Wait"]["maximum"] == 2
    assert components["securitySchemes"]["session"]["name"] == "who"


def test_mount_is_the_server() -> None:
    assert [document(mount)["servers"][0]["url"] for mount in ("/diffs/", "/", "https://example.com/live")] == [
        "/diffs",
        "",
        "https://example.com/live",
    ]


def test_document_is_one_of_openapi() -> None:
    try:
        import schemathesis
    except ImportError:
        missing("schemathesis takes a newer Python.")
    # Raises where it isn't.
    schemathesis.openapi.from_dict(document()).validate()


def test_shipped_document_is_that_of_unchanged_settings() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    printed = subprocess.run(
        [sys.executable, "-W", "error", "-m", "diffs.http.openapi"],
        env={**environment, "PYTHONPATH": str(SHIPPED.parent.parent.parent)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    # Where this fails: python -m diffs.http.openapi > diffs/http/openapi.json
    assert json.loads(printed) == json.loads(SHIPPED.read_text())
