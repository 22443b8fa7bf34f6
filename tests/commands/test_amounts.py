"""Lengths of time and sizes as people write and read them."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import translation

from diffs.management.amounts import age_text, count_text, parse_age, size_text, time_of

SECOND = 1_000_000
HOUR = 3600 * SECOND


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("90", 90 * SECOND),
        ("90s", 90 * SECOND),
        ("10m", 600 * SECOND),
        ("1.5h", 5400 * SECOND),
        ("2d", 48 * HOUR),
        (" 2 D ", 48 * HOUR),
        ("0", 0),
        ("0s", 0),
        ("0.25", 250_000),
        ("0.000001s", 1),
        (90, 90 * SECOND),
        (1.5, 1_500_000),
        ("999999999d", 999_999_999 * 24 * HOUR),
    ],
)
def test_age_is_read(text: str, microseconds: int) -> None:
    assert parse_age(text) == microseconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "m10", "-5", "-5m", "+5", "10x", "10 minutes", "10mm", "1h30m", "1,5h", ".5h", "1e3", "inf", "nan", "٣"]
    + ["9" * 10, "0.0000001", None, True],
)
def test_anything_else_is_no_age(text: str) -> None:
    with pytest.raises(ValueError, match="An age is a number of seconds, or a number with s, m, h or d: 90, 90s, 10m"):
        parse_age(text)


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (-5 * SECOND, "0s"),
        (0, "0s"),
        (1, "1e-06s"),
        (250_000, "0.25s"),
        (SECOND, "1s"),
        (59 * SECOND + 999_999, "59s"),
        (60 * SECOND, "1m"),
        (61 * SECOND, "1m 1s"),
        (HOUR, "1h"),
        (HOUR + SECOND, "1h"),
        (HOUR + 61 * SECOND, "1h 1m"),
        (24 * HOUR, "1d"),
        (27 * HOUR + 59 * SECOND, "1d 3h"),
        (1000 * 24 * HOUR, "1000d"),
    ],
)
def test_age_is_written_in_its_two_largest_units(microseconds: int, text: str) -> None:
    assert age_text(microseconds) == text


def test_timestamp_is_a_time_in_utc() -> None:
    assert time_of(1_700_000_000_123_457) == dt.datetime(2023, 11, 14, 22, 13, 20, 123_457, dt.timezone.utc)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (1, "1 byte"), (1536, "1.5 KB"), (5 * 2**20, "5.0 MB"), (3 * 2**40, "3.0 TB")]
)
def test_size_is_written_for_people_whatever_the_language(size: int, text: str) -> None:
    with translation.override("de"):
        assert size_text(size) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 feeds"), (1, "1 feed"), (2, "2 feeds"), (12345, "12,345 feeds")])
def test_count_is_written_for_people(number: int, text: str) -> None:
    assert count_text(number, "feed") == text
