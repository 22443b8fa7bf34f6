"""The page on the client names all that there is."""

from __future__ import annotations

import inspect
import re

from diffs import client
from diffs.client.__main__ import _parser
from diffs.client.transport import MAX_BYTES
from tests.documents import Page

TEXT = Page("docs/python-client.rst").text


def test_every_public_name_is_in_the_page() -> None:
    # What a type checker alone asks for.
    unspoken = {"Event", "Following", "AsyncFollowing", "Page", "Snapshot"}
    names = set(client.__all__) - unspoken
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", TEXT)] == []


def test_every_option_of_follow_is_in_the_page() -> None:
    options = set(inspect.signature(client.Client.follow).parameters) - {"self", "feeds"}
    table = TEXT.partition("``follow`` takes")[2].partition("Beginning")[0]
    assert options == set(re.findall(r"^``(\w+)`` ", table, re.MULTILINE))
    assert inspect.signature(client.AsyncClient.follow).parameters == inspect.signature(client.Client.follow).parameters


def test_every_error_is_in_the_page() -> None:
    errors = {name for name in client.__all__ if isinstance(getattr(client, name), type)}
    kinds = {name for name in errors if issubclass(getattr(client, name), client.ClientError)} - {"ClientError"}
    table = TEXT.partition("All are ``ClientError``")[2].partition(".. code-block")[0]
    assert kinds == set(re.findall(r"^``(\w+)`` ", table, re.MULTILINE))


def test_every_option_of_the_command_is_in_the_page() -> None:
    options = {action.option_strings[-1] for action in _parser()._actions if action.option_strings} - {"--help"}
    assert [option for option in sorted(options) if f"``{option}``" not in TEXT] == []


def test_numbers_are_those_of_the_code() -> None:
    assert MAX_BYTES == 64 * 1024 * 1024 and "more than 64 MB" in TEXT
    assert client.clients.WAIT == 30 and "30 unless given" in TEXT
    assert client.clients.INTERVAL == 5 and "5 unless given" in TEXT
    assert client.clients.TIMEOUT == 10 and "ten seconds after the wait" in TEXT
    assert client.rows.MOST == 10_000 and "10,000 objects" in TEXT
    assert (client.outage.FIRST_PAUSE, client.outage.LONGEST_PAUSE) == (0.5, 30.0)
    assert "from half a second to thirty" in TEXT
