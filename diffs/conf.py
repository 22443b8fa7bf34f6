"""``DIFFS_SETTINGS``, typed and read live."""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings as django_settings

from .errors import ConfigurationError

NAME = "DIFFS_SETTINGS"


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one key."""

    message: str
    hint: str
    unknown_key: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class _Key:
    default: Any
    takes: str
    is_valid: Callable[[Any], bool]
    convert: Callable[[Any], Any] = lambda value: value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 10**9


def is_count(value: Any) -> bool:
    """Whether this is a positive whole number."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_age(value: Any) -> bool:
    """Whether this is a length of time: positive seconds, or a positive ``timedelta``."""
    return _is_number(value.total_seconds() if isinstance(value, dt.timedelta) else value)


def seconds(age: float | dt.timedelta) -> float:
    """Seconds of a number of seconds or a ``timedelta``."""
    return age.total_seconds() if isinstance(age, dt.timedelta) else float(age)


def microseconds(age: float | dt.timedelta) -> int:
    """Whole microseconds of a number of seconds or a ``timedelta``."""
    return max(1, round(seconds(age) * 1_000_000))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9


def _is_hosts(value: Any) -> bool:
    return value is None or (_is_texts(value) and bool(value) and all(value))


def _is_origins(value: Any) -> bool:
    return _is_texts(value) and (list(value) == ["*"] or all(map(_ORIGIN.fullmatch, value)))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)


def _is_prefix(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and not set(value) & set("{}")


def _is_redis(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


# As browsers write it in the header of that name: nothing else would ever be equal.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")

_AGE = "a positive number of seconds, or a timedelta"
_COUNT = "a positive whole number"
_KEYS = {
    "redis": _Key({}, "a dict: url, host, port, embedded, cluster, sentinels, or arguments of redis.Redis", _is_redis),
    "max_element_age": _Key(3600, _AGE, is_age, microseconds),
    "max_elements": _Key(10_000, f"{_COUNT}, or None", lambda value: value is None or is_count(value)),
    "max_diff_bytes": _Key(65_536, _COUNT, is_count),
    "max_m2m": _Key(1000, _COUNT, is_count),
    "flush": _Key("commit", "'commit' or 'background'", lambda value: value in ("commit", "background")),
    "versions": _Key("clock", "'clock' or 'database'", lambda value: value in ("clock", "database")),
    "outbox": _Key(False, "True or False", _is_bool),
    "use_transactions": _Key(True, "True or False", _is_bool),
    "test_mode": _Key(False, "True or False", _is_bool),
    "prefix": _Key("diffs", "text without braces", _is_prefix),
    "max_bulk_diffs": _Key(10_000, _COUNT, is_count),
    "page_size": _Key(100, _COUNT, is_count),
    "max_page_size": _Key(1000, _COUNT, is_count),
    "max_feeds": _Key(50, _COUNT, is_count),
    "token_age": _Key(86_400, _AGE, is_age, microseconds),
    "public_actors": _Key(False, "True or False", _is_bool),
    "max_wait": _Key(60, "a whole number of seconds, or 0", _is_whole),
    "stream_age": _Key(600, _AGE, is_age, seconds),
    "heartbeat": _Key(15, _AGE, is_age, seconds),
    "max_listeners": _Key(20_000, _COUNT, is_count),
    "allowed_hosts": _Key(None, "None, or a list of host names as in ALLOWED_HOSTS", _is_hosts),
    "cors_origins": _Key([], "a list of origins such as 'https://app.example.com', or ['*']", _is_origins, frozenset),
}


def did_you_mean(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """Advice for an unknown name: the nearest known one, or all of them."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(map(repr, sorted(known)))}."


class Settings:
    """The settings as they are now; nothing is copied, so that ``override_settings`` works."""

    @property
    def redis(self) -> dict[str, Any]:
        """Where the server is: arguments of ``redis.Redis``, or ``url``, or ``embedded``."""
        return dict(self._get("redis"))

    @property
    def max_element_age(self) -> int:
        """How long a diff is kept where the model doesn't say otherwise, in microseconds."""
        age: int = self._get("max_element_age")
        return age

    @property
    def max_elements(self) -> int | None:
        """The most diffs that a feed keeps where the model doesn't say otherwise; ``None``: all of its window."""
        most: int | None = self._get("max_elements")
        return most

    @property
    def max_diff_bytes(self) -> int:
        """The most bytes that a stored diff may have; fields that don't fit are named instead."""
        most: int = self._get("max_diff_bytes")
        return most

    @property
    def max_m2m(self) -> int:
        """The most objects of a many-to-many field that a diff lists; a field with more is named instead."""
        most: int = self._get("max_m2m")
        return most

    @property
    def flush(self) -> str:
        """When diffs are sent: with the ``"commit"``, or by a thread in the ``"background"``, soon after it."""
        return str(self._get("flush"))

    @property
    def versions(self) -> str:
        """What orders the diffs of a row: the application server's ``"clock"``, or the ``"database"``."""
        return str(self._get("versions"))

    @property
    def outbox(self) -> bool:
        """Whether diffs stand in a table of the database until Redis has them."""
        uses: bool = self._get("outbox")
        return uses

    @property
    def use_transactions(self) -> bool:
        """Whether diffs wait for the commit."""
        uses: bool = self._get("use_transactions")
        return uses

    @property
    def test_mode(self) -> bool:
        """Whether an in-process fake stands in for the server."""
        return bool(self._get("test_mode"))

    @property
    def prefix(self) -> str:
        """What all keys begin with."""
        return str(self._get("prefix"))

    @property
    def max_bulk_diffs(self) -> int:
        """The most objects of one bulk operation that get diffs; above it cursors are refused instead."""
        return int(self._get("max_bulk_diffs"))

    @property
    def page_size(self) -> int:
        """How many diffs the endpoint gives where the client names no limit."""
        return min(int(self._get("page_size")), self.max_page_size)

    @property
    def max_page_size(self) -> int:
        """The highest limit that a client may name."""
        return int(self._get("max_page_size"))

    @property
    def max_feeds(self) -> int:
        """The most feeds that one request may name."""
        return int(self._get("max_feeds"))

    @property
    def token_age(self) -> int:
        """How long a feed token is good, in microseconds."""
        return int(self._get("token_age"))

    @property
    def public_actors(self) -> bool:
        """Whether public feeds and feed tokens show who made a change."""
        return bool(self._get("public_actors"))

    @property
    def max_wait(self) -> int:
        """The longest that a client may wait for news, in seconds."""
        return int(self._get("max_wait"))

    @property
    def stream_age(self) -> float:
        """After how long an event stream ends, so that permissions are checked again; in seconds."""
        return float(self._get("stream_age"))

    @property
    def heartbeat(self) -> float:
        """How often an event stream without news says that it is there, in seconds."""
        return float(self._get("heartbeat"))

    @property
    def max_listeners(self) -> int:
        """How many requests of one process may wait or stream at a time."""
        return int(self._get("max_listeners"))

    @property
    def allowed_hosts(self) -> Sequence[str] | None:
        """The hosts that the ASGI application serves; ``None``: those of Django's ``ALLOWED_HOSTS``."""
        hosts: Sequence[str] | None = self._get("allowed_hosts")
        return hosts

    @property
    def cors_origins(self) -> frozenset[str]:
        """The origins whose pages may read what the ASGI application answers; ``"*"`` alone: all."""
        origins: frozenset[str] = self._get("cors_origins")
        return origins

    def __init__(self) -> None:
        self._checked: dict[str, tuple[Any, Any]] = {}
        """By key the value that was there last and what it was converted to: every save asks."""

    def _get(self, name: str) -> Any:
        key = _KEYS[name]
        value = _raw().get(name, key.default)
        checked = self._checked.get(name)
        if checked is not None and checked[0] is value:
            return checked[1]
        if not key.is_valid(value):
            raise ConfigurationError(f"{NAME}[{name!r}] takes {key.takes}.")
        converted = key.convert(value)
        if not isinstance(value, Mapping | list):  # which can change in place
            self._checked[name] = value, converted
        return converted


def _raw() -> Mapping[str, Any]:
    # Django keeps among its attributes what it was asked for; asking it again goes a longer way.
    raw: Any = object.__getattribute__(django_settings, "__dict__").get(NAME)
    if raw is None:
        raw = getattr(django_settings, NAME, {})
    if type(raw) is not dict and not isinstance(raw, Mapping):
        raise ConfigurationError(f"{NAME} takes a dict.")
    return raw


def problems() -> Iterator[Problem]:
    """What is wrong with the settings, a problem each."""
    try:
        raw = _raw()
    except ConfigurationError as error:
        yield Problem(str(error), f"Write {NAME} = {{...}}.")
        return
    for name, value in raw.items():
        if name not in _KEYS:
            yield Problem(f"{NAME} has an unknown key {name!r}.", did_you_mean(str(name), _KEYS), unknown_key=True)
        elif not _KEYS[name].is_valid(value):
            message = f"{NAME}[{name!r}] has a value of the wrong type or range ({type(value).__name__})."
            yield Problem(message, f"It takes {_KEYS[name].takes}.")


settings = Settings()
