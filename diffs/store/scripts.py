"""The Lua scripts, and how they are called."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

from .cluster import Cluster
from .lines import Lines

Argument = str | bytes | int


class Script(NamedTuple):
    """A script's text and the name under which the server caches it."""

    text: str
    sha: str


class Call(NamedTuple):
    """One call of a script; all its keys are of one shard."""

    script: str
    keys: Sequence[str | bytes]
    arguments: Sequence[Argument]


@functools.cache
def load(name: str) -> Script:
    """Read a script from its file, behind what all scripts share."""
    folder = importlib.resources.files(__package__) / "lua"
    text = "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("common", name))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def run(lines: Lines | Cluster, calls: Sequence[Call]) -> list[Any]:
    """Run scripts in one trip, and those that the server doesn't know yet in a second.

    Args:
        lines: to the server, or to those of a cluster.
        calls: what to run.

    Returns:
        For each call the script's reply, or the error that the server answered with.

    Raises:
        redis.RedisError: the server could not be asked.
    """
    replies = lines.trip([_command(call, "EVALSHA", load(call.script).sha) for call in calls])
    unknown = [index for index, reply in enumerate(replies) if isinstance(reply, redis.exceptions.NoScriptError)]
    if unknown:
        again = [calls[index] for index in unknown]
        texts = lines.trip([_command(call, "EVAL", load(call.script).text) for call in again])
        for index, reply in zip(unknown, texts, strict=True):
            replies[index] = reply
    return replies


def _command(call: Call, name: str, body: str) -> tuple[Argument, ...]:
    return (name, body, len(call.keys), *call.keys, *call.arguments)
