"""Lengths of time and sizes as the commands read and write them."""

from __future__ import annotations

import datetime as dt
import decimal
import re

from django.template.defaultfilters import filesizeformat
from django.utils import translation

_AGE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([smhd]?)", re.ASCII)
_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1, "": 1}
_MICROSECONDS = 1_000_000


def parse_age(text: str | float) -> int:
    """Read a length of time.

    Args:
        text: ``"90"`` or ``"90s"``, ``"10m"``, ``"1.5h"``, ``"2d"``.

    Returns:
        Microseconds.

    Raises:
        ValueError: it is anything else.
    """
    match = _AGE.fullmatch(str(text).strip().lower())
    if match is None:
        raise ValueError("An age is a number of seconds, or a number with s, m, h or d: 90, 90s, 10m, 1.5h, 2d.")
    return int(decimal.Decimal(match[1]) * _SECONDS[match[2]] * _MICROSECONDS)


def age_text(microseconds: int) -> str:
    """A length of time in its two largest units: ``"2d 3h"``, ``"45s"``, ``"0.25s"``."""
    if 0 < microseconds < _MICROSECONDS:
        return f"{microseconds / _MICROSECONDS:g}s"
    rest = max(0, microseconds) // _MICROSECONDS
    parts = []
    for unit in "dhms":
        count, rest = divmod(rest, _SECONDS[unit])
        parts.append((count, unit))
    first = next((index for index, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count) or "0s"


def time_of(microseconds: int) -> dt.datetime:
    """A timestamp as an aware UTC ``datetime``."""
    return dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(microseconds=microseconds)


def size_text(size: int) -> str:
    """A number of bytes for people."""
    with translation.override(None):
        return filesizeformat(size).replace("\xa0", " ")


def count_text(number: int, noun: str) -> str:
    """How many of something: ``"1 feed"``, ``"1,200 feeds"``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
