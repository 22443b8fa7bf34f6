"""The Lua scripts, and how they are called."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis
from redis.client import NEVER_DECODE

Argument = str | bytes | int


class Script(NamedTuple):
    """A script's text and the name under which the server caches it."""

    text: str
    sha: str


class Call(NamedTuple):
    """One call of a script; all its keys are of one shard."""

    script: str
    keys: Sequence[str]
    arguments: Sequence[Argument]


@functools.cache
def load(name: str) -> Script:
    """Read a script from its file, behind what all scripts share."""
    folder = importlib.resources.files(__package__) / "lua"
    text = "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("common", name))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def run(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    """Run scripts in one trip, and those that the server doesn't know yet in a second.

    Args:
        client: whatever its ``decode_responses``, replies are bytes.

    Returns:
        For each call the script's reply, or the error that the server answered with.

    Raises:
        redis.RedisError: the server could not be asked.
    """
    replies = _trip(client, calls, "EVALSHA")
    unknown = [index for index, reply in enumerate(replies) if isinstance(reply, redis.exceptions.NoScriptError)]
    if unknown:
        again = _trip(client, [calls[index] for index in unknown], "EVAL")
        for index, reply in zip(unknown, again, strict=True):
            replies[index] = reply
    return replies


def _trip(client: redis.Redis, calls: Sequence[Call], command: str) -> list[Any]:
    if len(calls) == 1:
        try:
            return [client.execute_command(*_command(calls[0], command), **{NEVER_DECODE: True})]
        except redis.ResponseError as error:
            return [error]
    pipeline = client.pipeline(transaction=False)
    for call in calls:
        pipeline.execute_command(*_command(call, command), **{NEVER_DECODE: True})
    return list(pipeline.execute(raise_on_error=False))


def _command(call: Call, command: str) -> tuple[Argument, ...]:
    script = load(call.script)
    body = script.sha if command == "EVALSHA" else script.text
    return (command, body, len(call.keys), *call.keys, *call.arguments)
