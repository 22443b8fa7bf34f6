"""The documents: their code runs, their links lead somewhere, and they name everything that there is."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import io
import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from docutils.core import publish_doctree

import diffs
from diffs import checks, codec, conf, errors, registry
from diffs.diff import Diff
from diffs.http import protocol
from diffs.http.live import frames, gathering, hub, tail
from diffs.keys import SHARDS
from diffs.management import status
from diffs.store import batch, close_store, connection, embedded, outage, sender
from tests.servers import Cluster, RedisServer, Watched

from .capture.test_query_counts import TABLE
from .documents import PAGES, ROOT, Page, Samples
from .documents.project import work_through
from .documents.streams import Stream as Printed
from .endpoint.cases import CASES
from .live.clients import Stream

README = Page("README.rst")
RUN = [name for name in PAGES if Page(name).blocks]
"""Every block of these is run; there is no list of exceptions. Nothing is installed, and ``make`` isn't started."""
SENDS = (sender.LINGER, sender.BATCH_DIFFS)
QUEUE = (sender.MAX_DIFFS, sender.MAX_BYTES)
PAUSES = (outage.FIRST_PAUSE, outage.LONGEST_PAUSE)

TEST = re.compile(r"(?P<file>(?:\w+/)*test_\w+\.py|tests/[\w/]+\.py)(?:::(?P<name>\w+))?")
CASE = re.compile(r"cases: (?P<name>.+)")


def page(name: str) -> Page:
    return Page(f"docs/{name}.rst")


def sentence(text: str) -> str:
    """Text with its line breaks and indentation forgotten."""
    return " ".join(text.split())


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_every_code_block_does_what_the_page_says(name: str, tmp_path: Path, redis_server: RedisServer) -> None:
    before = [] if name == README.name else [README]
    assert work_through(Page(name), tmp_path, f"127.0.0.1:{redis_server.port}", before) == ""


@pytest.mark.parametrize("name", PAGES)
def test_page_is_restructured_text_without_faults(name: str) -> None:
    assert Page(name).problems == []


@pytest.mark.parametrize("name", PAGES)
def test_link_leads_to_a_file_and_to_a_place_in_it(name: str) -> None:
    for link in Page(name).links:
        if link.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.is_file(), f"{name} points to {link}, which isn't there."
        if anchor:
            linked = Page(target.resolve().relative_to(ROOT).as_posix())
            assert anchor in linked.anchors, f"{name} points to {link}; {linked.name} has {sorted(linked.anchors)}."


@pytest.mark.parametrize("name", PAGES)
def test_tests_that_a_page_names_are_there(name: str) -> None:
    for literal in Page(name).literals:
        if match := CASE.fullmatch(sentence(literal)):
            assert match["name"] in {case.name for case in CASES}, literal
        elif match := TEST.fullmatch(literal):
            files = list(ROOT.glob(match["file"]) if "/" in match["file"] else ROOT.glob(f"tests/**/{match['file']}"))
            assert files, literal
            assert match["name"] is None or any(f"def {match['name']}(" in file.read_text() for file in files), literal


def test_every_statement_of_the_protocol_names_its_test() -> None:
    statements = re.findall(r"^:(\d+): (.*?)(?=^:\d+:|^\S|\Z)", page("protocol").text, re.MULTILINE | re.DOTALL)
    assert [int(number) for number, _ in statements] == list(range(1, len(statements) + 1))
    assert [number for number, text in statements if "::test_" not in text and "``cases: " not in text] == []


def test_every_promise_names_the_file_of_its_tests_which_name_it() -> None:
    table = README.text.partition("What it promises")[2].partition("What it does not see")[0]
    promises = dict(re.findall(r"^(P\d)  (.*?)(?=^P\d|^==)", table, re.MULTILINE | re.DOTALL))
    assert sorted(promises) == [f"P{number}" for number in range(1, 9)]
    # What P7 says of several writers of one row is a later release's to hold.
    for name, text in {name: text for name, text in promises.items() if name != "P7"}.items():
        for file in re.findall(r"``(tests/[\w/]+\.py)``", text):
            assert re.search(rf"\b{name}\b|{name}_", (ROOT / file).read_text(), re.IGNORECASE), f"{file} of {name}"


def test_every_setting_is_in_both_pages_with_its_default() -> None:
    whole: dict[str, Any] = {}
    exec(page("settings").blocks[0].text, whole)
    shown = {name: value for name, value in whole["DIFFS_SETTINGS"].items() if name != "redis"}
    assert shown == {name: key.default for name, key in conf._KEYS.items() if name != "redis"}
    table = README.text.partition("\nSettings\n")[2].partition("\nHooks\n")[0]
    rows = re.findall(r"^``(\w+)`` +``(.+?)`` ", table, re.MULTILINE)
    assert {name: eval(value) for name, value in rows} == {name: key.default for name, key in conf._KEYS.items()}


def test_every_option_of_register_is_in_both_pages() -> None:
    options = set(inspect.signature(registry.register).parameters) - {"model"}
    assert options == set(re.findall(r"^``(\w+)``$", page("registration").text, re.MULTILINE))
    table = README.text.partition("``register`` takes options")[2].partition("More in")[0]
    assert options == set(re.findall(r"^``(\w+)`` ", table, re.MULTILINE))


def test_every_check_is_listed_once() -> None:
    pages = page("settings").text + page("registration").text
    listed = re.findall(r"^``(diffs\.[EW]\d+)``", pages, re.MULTILINE)
    assert sorted(listed) == sorted(set(re.findall(r'"(diffs\.[EW]\d+)"', inspect.getsource(checks))))


def test_every_public_name_is_explained_somewhere() -> None:
    text = "\n".join(Page(name).text for name in PAGES)
    assert [name for name in diffs.__all__ if not re.search(rf"diffs\.(?:errors\.)?{name}\b", text)] == []


def test_every_error_and_every_attribute_of_a_diff_is_in_the_page_on_reading() -> None:
    text = page("reading").text
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.DiffsError)]
    assert [kind.__name__ for kind in kinds if f".{kind.__name__}`" not in text] == []
    attributes = [field.name for field in dataclasses.fields(Diff)] + ["created", "timestamp"]
    assert sorted(attributes) == sorted(re.findall(r"^``(\w+)``  ", text, re.MULTILINE))


def test_every_parameter_of_the_endpoint_is_in_the_protocol() -> None:
    names = (
        *(protocol.SINCE, protocol.LIMIT, protocol.FEED, protocol.TOKEN),
        *(protocol.SNAPSHOT, protocol.COLLAPSE, protocol.WAIT),
    )
    table = page("protocol").text.partition("\nParameters\n")[2].partition("\n:")[0]
    assert sorted(names) == sorted(re.findall(r"^``(\w+)(?:=1)?`` ", table, re.MULTILINE))


def test_every_option_of_the_browser_client_is_in_its_page() -> None:
    types = (ROOT / "diffs" / "static" / "diffs" / "diffs.d.ts").read_text(encoding="utf-8")
    interfaces = dict(re.findall(r"interface (\w+Options)\b.*? \{\n(.*?)^\}", types, re.MULTILINE | re.DOTALL))
    options = [name for members in interfaces.values() for name in re.findall(r"^  (\w+)\?:", members, re.MULTILINE)]
    statuses = re.findall(r'"(\w+)"', re.findall(r"type Status = (.*?);", types)[0])
    listed = re.findall(r"^``(\w+)``  ", page("browser-client").text, re.MULTILINE)
    assert sorted([*options, *statuses]) == sorted(listed)


@pytest.mark.parametrize(
    ("name", "says", "so"),
    [
        ("limits", f"{batch.MAX_FEEDS:,} feeds, then their models; {batch.MAX_MODELS:,} models, then everything", True),
        ("limits", f"{protocol.MAX_QUERY:,} characters", True),
        ("protocol", f"at most {protocol.MAX_QUERY:,} characters and {protocol.MAX_PARAMETERS:,} parameters", True),
        ("protocol", f"at most {protocol.MAX_ECHO} characters of a request", True),
        ("settings", "``socket_timeout`` is 1 second", connection.SOCKET_TIMEOUT == 1.0),
        ("settings", "``socket_connect_timeout`` half a second", connection.CONNECT_TIMEOUT == 0.5),
        ("operations", "after half a second, and then ever less often, up to five seconds", PAUSES == (0.5, 5.0)),
        ("operations", "20 milliseconds after the first of them, or at once when there are 500", SENDS == (0.02, 500)),
        ("operations", "20,000 diffs or 16 MB", QUEUE == (20_000, 16_000_000)),
        ("operations", "for room, for at most a second", sender.FULL_SECONDS == 1.0),
        ("operations", "for at most about five seconds", sender.DRAIN_SECONDS == 5.0),
        ("limits", "20,000 diffs, or 16 MB of them", QUEUE == (20_000, 16_000_000)),
        ("operations", f"at most {embedded.LONGEST_PATH} bytes", True),
        ("operations", f"is below {status.COMPACT_LIMIT}", True),
        ("operations", "is shorter than a minute", status.MIN_WINDOW == 60_000_000),
        ("operations", "nine tenths of ``maxmemory``", status.NEARLY_FULL == 0.9),
        ("limits", "a thousand diffs or 1 MB of a feed", (tail.MAX_ENTRIES, tail.MAX_BYTES) == (1000, 1024 * 1024)),
        ("deployment", "within three seconds instead of at once", hub.READ_AGAIN == 3.0),
        ("deployment", f"one trip to Redis for up to {gathering.TOGETHER} of them together", True),
        ("deployment", "between one and three seconds", (frames.SHORTEST_RETRY, frames.LONGEST_RETRY) == (1000, 3000)),
        ("redis-keys", "modulo 64", len(SHARDS) == 64),
        ("redis-keys", "the format, now 1", codec.FORMAT == 1),
        ("redis-keys", "a head of twelve bytes", codec.HEAD_LENGTH == 12),
    ],
)
def test_numbers_are_those_of_the_code(name: str, says: str, so: bool) -> None:
    assert so
    assert says in sentence(page(name).text)


def test_every_warning_of_diffs_status_is_listed() -> None:
    warnings = re.findall(r'Finding\(\s*"([\w-]+)"', inspect.getsource(status))
    table = page("operations").text.partition("They are:")[2].partition("Sizing the window")[0]
    assert sorted(warnings) == sorted(re.findall(r"^``([\w-]+)`` ", table, re.MULTILINE))


def test_table_of_added_queries_is_the_measured_one() -> None:
    table = page("capture").text.partition("more on SQLite")[2].partition("Redis gets")[0]
    rows = [re.split(r" {2,}", line) for line in table.splitlines() if line and line[0] not in "= "]
    shown = [(name.replace("`", ""), int(added), int(*more or "0")) for name, added, *more in rows]
    assert shown == [(row.operation, row.added, row.on_sqlite) for row in TABLE]


def test_worked_example_of_a_member_is_what_the_package_makes_of_it() -> None:
    """Literally: the samples that stand for what differs from run to run would forgive a wrong id."""
    text = page("redis-keys").text
    member = bytes.fromhex(re.findall(r'bytes\.fromhex\("([0-9a-f ]+)"\)', text)[0])
    assert sentence(repr(codec.decode(member))) in sentence(text)
    assert f"({int.from_bytes(member[1:8], 'big')}, '{member[8:12].hex()}')" in text


@pytest.mark.store
@pytest.mark.django_db(transaction=True)
def test_documented_permissions_are_enough(store_server: RedisServer, settings: Any) -> None:
    assert _denied([store_server], store_server.options, settings) <= {"client", "client|setinfo"}


@pytest.mark.store
@pytest.mark.django_db(transaction=True)
def test_documented_permissions_are_enough_in_a_cluster(
    store_server: RedisServer, clusters: Callable[[str], Cluster], settings: Any
) -> None:
    cluster = clusters(store_server.kind)
    assert _denied(cluster.nodes, cluster.options, settings) <= {"client", "client|setinfo"}


@pytest.mark.store
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_documented_permissions_are_enough_behind_sentinel(store_server: RedisServer, settings: Any) -> None:
    with Watched(store_server.kind) as watched:
        assert _denied([watched.master], watched.options, settings) <= {"client", "client|setinfo"}


def _denied(servers: Sequence[RedisServer], options: Mapping[str, Any], settings: Any) -> set[str]:
    """What the servers refused while a user who has what the page gives did everything."""
    lines = [block.text for block in page("redis-keys").blocks if "ACL SETUSER" in block.text]
    for server in servers:
        server.cli("ACL", "LOG", "RESET")
        for line in lines if "cluster" in options else lines[:1]:
            server.cli(*shlex.split(line.replace("\\\n", "").removeprefix("$ redis-cli ")))
    try:
        user = {**options, "username": "diffs", "password": "secret"}
        settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, "redis": user}
        _use_everything()
        return {entry["object"] for server in servers for entry in _acl_log(server)}
    finally:
        close_store()
        for server in servers:
            server.cli("ACL", "DELUSER", "diffs")


def _use_everything() -> None:
    from tests.testapp.models import Question

    question = Question.objects.create(text="What is life?")
    position = question.diffs.cursor
    question.votes = 1
    question.save()
    assert [diff.data["votes"] for diff in question.diffs.since(position)] == [1]
    assert (len(question.diffs), question.diffs[-1].action) == (2, "update")
    asyncio.run(_listen(question))
    diffs.touch(question)
    with pytest.raises(diffs.CursorExpired):
        list(question.diffs.since(position))
    question.diffs.clear()
    question.votes = 2
    question.save()
    status = io.StringIO()
    call_command("diffs_status", format="json", stdout=status)
    assert json.loads(status.getvalue())["total"]["diffs"] == 1
    call_command("prune_diffs", "--older-than", "1s", verbosity=0)


async def _listen(question: Any) -> None:
    headers = {"authorization": f"Bearer {diffs.feed_token(question)}"}
    async with Stream(f"/testapp.question/{question.pk}/", headers=headers) as client:
        await client.count(2)
        await client.live()


def _acl_log(server: RedisServer) -> Iterator[dict[str, str]]:
    for entry in server.cli("ACL", "LOG"):
        pairs = entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))
        yield {name.decode(): value.decode() if isinstance(value, bytes) else value for name, value in pairs.items()}


def test_a_block_that_says_something_wrong_is_found(tmp_path: Path, redis_server: RedisServer) -> None:
    wrong = Page("wrong.rst", (ROOT / "tests" / "documents" / "wrong.rst").read_text())
    report = work_through(wrong, tmp_path, f"127.0.0.1:{redis_server.port}", [README])
    found = {int(line) for line in re.findall(r"^wrong\.rst:(\d+)", report, re.MULTILINE)}
    assert found == {block.line for block in wrong.blocks if block.path is None}, report


def test_what_a_stream_gives_besides_what_is_shown_is_found() -> None:
    stream = Printed(["printf", r"id: 1\n\nid: 1\n\nid: 1\ndata: {}\n\nid: 1\n\nid: 2\n\n"], os.environ)
    assert stream.take("id: 1\n\nid: 1\ndata: {}", 60) == "id: 1\n\nid: 1\ndata: {}"
    assert stream.close() == "id: 2"


def test_sample_stands_for_one_value_everywhere() -> None:
    samples = Samples()
    cursors = [f"0a1b2c3d_{number:013x}" for number in range(4)]
    assert samples.as_shown(f"{cursors[0]} {cursors[1]}", f"{cursors[2]} {cursors[3]}") == f"{cursors[0]} {cursors[1]}"
    assert samples.as_real(f"?since={cursors[0]}") == f"?since={cursors[2]}"
    assert samples.as_shown(cursors[0], cursors[3]) == cursors[1]
    assert samples.as_shown(cursors[2], cursors[2]) == cursors[0]


def test_a_cursor_is_no_sample_of_a_time() -> None:
    cursor, time = "0a1b2c3d_660bae5461361", "1795205687022433"
    assert Samples().as_shown(cursor, time) == time


@pytest.mark.parametrize("name", PAGES)
def test_docutils_has_nothing_to_say_of_any_page(name: str) -> None:
    said = io.StringIO()
    publish_doctree((ROOT / name).read_text(encoding="utf-8"), name, settings_overrides={"warning_stream": said})
    assert said.getvalue() == ""
