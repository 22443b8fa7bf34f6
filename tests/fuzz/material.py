"""What fuzzers put together: values as they are in diffs, and texts that are nearly what somebody expects."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Text = SearchStrategy[str]

LEAVES: SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)
MOMENTS: SearchStrategy[Any] = st.one_of(
    st.dates(), st.datetimes(), st.datetimes(timezones=st.just(dt.timezone.utc)), st.uuids()
)


def nested(leaves: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Values of values; few, so that many can be tried."""
    inner = st.lists(leaves, max_size=3) | st.dictionaries(st.text(max_size=8), leaves, max_size=3)
    return st.one_of(leaves, leaves, inner, st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner))


DOCUMENTS = nested(LEAVES)
"""What JSON and msgpack can hold."""
VALUES = nested(LEAVES | MOMENTS)
"""What diffs can hold."""
ODD = nested(
    st.one_of(
        LEAVES,
        MOMENTS,
        st.binary(max_size=8),
        st.integers(),
        st.floats(),
        st.decimals(),
        st.timedeltas(),
        st.complex_numbers(),
        st.just(object()),
        st.text(st.characters(categories=["Cs"]), max_size=3),
    )
)
"""What they can't, too."""


@st.composite
def changed(draw: st.DrawFn, texts: SearchStrategy[str], characters: SearchStrategy[str] | None = None) -> str:
    """A text with a part of it replaced, repeated, left out, or all as it was."""
    text = draw(texts)
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, len(text)))
    part = draw(st.one_of(st.just(text[start:end]), characters or st.text(max_size=6), st.just(text[start:end] * 3)))
    return text[:start] + part + text[end:]


@st.composite
def damaged(draw: st.DrawFn, members: SearchStrategy[bytes]) -> bytes:
    """Bytes with a part of them replaced, or cut off."""
    member = draw(members)
    start = draw(st.integers(0, len(member)))
    end = draw(st.integers(start, len(member)))
    return member[:start] + draw(st.binary(max_size=6)) + member[end:]


def joined(separator: str, *texts: SearchStrategy[str]) -> Text:
    """A few texts with something between."""
    return st.lists(st.one_of(*texts), max_size=5).map(separator.join)


def mixed(known: Sequence[str], other: SearchStrategy[str] | None = None) -> Text:
    """What is known, changed, or anything else."""
    return st.one_of(st.sampled_from(known), changed(st.sampled_from(known)), other or st.text(max_size=30))
