"""A cursor's text comes back as the same cursor, and no other text is one."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from diffs.cursor import Cursor, parse
from diffs.errors import CursorError

EPOCHS = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=8, max_size=8)
TIMESTAMPS = st.integers(0, 2**52 - 1)
CURSORS = st.builds(Cursor, EPOCHS, TIMESTAMPS)


@given(CURSORS)
def test_cursor_survives_its_text(cursor: Cursor) -> None:
    assert parse(str(cursor)) == cursor


@given(CURSORS)
def test_text_needs_no_quoting_in_a_url(cursor: Cursor) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", str(cursor))


@given(st.text() | CURSORS.map(str) | st.from_regex(r"[0-9a-zA-Z]{6,9}[_-][0-9a-fA-FxX]{0,15}\n?"))
def test_text_that_is_a_cursor_is_the_only_one_of_that_cursor(text: str) -> None:
    try:
        cursor = parse(text)
    except CursorError:
        return
    assert str(cursor) == text


@given(CURSORS, st.data())
def test_damaged_cursor_is_refused_or_another_one(cursor: Cursor, data: st.DataObject) -> None:
    text = str(cursor)
    place = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:place] + data.draw(st.text(max_size=2)) + text[place + 1 :]
    assume(damaged != text)
    with contextlib.suppress(CursorError):
        assert parse(damaged) != cursor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "abcdefgh",
        "abcdefgh_",
        "_0",
        "abcdefg_0",
        "abcdefghi_0",
        "ABCDEFGH_0",
        "abcdefgh-0",
        "abcdefgh_00",
        "abcdefgh_01",
        "abcdefgh_0x1",
        "abcdefgh_A",
        "abcdefgh_g",
        "abcdefgh_-1",
        "abcdefgh_+1",
        "abcdefgh_1_0",
        "abcdefgh_1 ",
        " abcdefgh_1",
        "abcdefgh_1\n",
        "abcdefgh_10000000000000",
        "abcdefgh_" + "f" * 5000,
        "äbcdefgh_1",
        "abcdefgh_١",
        "abcdefgh_\uff11",
        "abcdefgh_\0",
        None,
        1,
        b"abcdefgh_1",
        ("abcdefgh", 1),
    ],
    ids=lambda text: repr(text)[:24],
)
def test_anything_else_is_refused(text: Any) -> None:
    with pytest.raises(CursorError, match="^Not a cursor"):
        parse(text)


@pytest.mark.parametrize(
    ("cursor", "text"),
    [
        (Cursor("a1b2c3d4", 0), "a1b2c3d4_0"),
        (Cursor("00000000", 1_700_000_000_000_000), "00000000_60a24181e4000"),
        (Cursor("zzzzzzzz", 2**52 - 1), "zzzzzzzz_fffffffffffff"),
    ],
)
def test_text_of_a_cursor(cursor: Cursor, text: str) -> None:
    assert str(cursor) == text
    assert parse(text) == cursor
