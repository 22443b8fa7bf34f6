"""Primary keys: one canonical text for each, whatever it was given as."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from typing import Any

import pytest
from django.db import models
from django.test.utils import isolate_apps
from hypothesis import given
from hypothesis import strategies as st

from diffs import pks
from tests.testapp.models import Bar, Country, Question, Seat, Token

UTC = dt.timezone.utc
TOKYO = dt.timezone(dt.timedelta(hours=9))


class Color(str, enum.Enum):
    RED = "red"


def keyed_by(field: Any) -> Any:
    """A model with this primary key."""
    with isolate_apps("tests.testapp"):
        meta = type("Meta", (), {"app_label": "testapp"})
        return type("Thing", (models.Model,), {"__module__": __name__, "Meta": meta, "key": field})


DATED = keyed_by(models.DateField(primary_key=True))
TIMED = keyed_by(models.DateTimeField(primary_key=True))
CLOCKED = keyed_by(models.TimeField(primary_key=True))
PRICED = keyed_by(models.DecimalField(max_digits=9, decimal_places=2, primary_key=True))
MEASURED = keyed_by(models.DecimalField(primary_key=True))
FLAGGED = keyed_by(models.BooleanField(primary_key=True))
SPANNED = keyed_by(models.DurationField(primary_key=True))
FLOATED = keyed_by(models.FloatField(primary_key=True))

KEYS: list[tuple[Any, Any, Any, str]] = [
    (Question, 1, 1, "1"),
    (Question, "001", 1, "1"),
    (Question, True, 1, "1"),
    (Question, 2**53 - 1, 2**53 - 1, "9007199254740991"),
    (Question, 2**53, "9007199254740992", "9007199254740992"),
    (Question, -(2**63), "-9223372036854775808", "-9223372036854775808"),
    (Bar, 7, 7, "7"),
    (Country, "a/b {c}@:é", "a/b {c}@:é", "a/b {c}@:é"),
    (Country, 5, "5", "5"),
    (Country, Color.RED, "red", "red"),
    (Country, "", "", ""),
    (Token, uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007", "00000000-0000-0000-0000-000000000007"),
    (Token, "7" * 32, "77777777-7777-7777-7777-777777777777", "77777777-7777-7777-7777-777777777777"),
    (Seat, (7, "A"), [7, "A"], "7,A"),
    (Seat, ["7", "~"], [7, "~"], "7,~~"),
    (Seat, [7, ","], [7, ","], "7,~,"),
    (DATED, dt.date(2024, 2, 29), "2024-02-29", "2024-02-29"),
    (DATED, "2024-02-29", "2024-02-29", "2024-02-29"),
    (TIMED, dt.datetime(2024, 2, 29, 21, 30, tzinfo=TOKYO), "2024-02-29T12:30:00Z", "2024-02-29T12:30:00Z"),
    (TIMED, dt.datetime(2024, 2, 29, 7, 30), "2024-02-29T12:30:00Z", "2024-02-29T12:30:00Z"),
    (TIMED, "2024-02-29T12:30:00.5Z", "2024-02-29T12:30:00.500Z", "2024-02-29T12:30:00.500Z"),
    (CLOCKED, dt.time(12, 30), "12:30:00", "12:30:00"),
    (PRICED, decimal.Decimal("1.50"), "1.5", "1.5"),
    (PRICED, "1.5", "1.5", "1.5"),
    (PRICED, decimal.Decimal("1E+2"), "100", "100"),
    (PRICED, "9999999", "9999999", "9999999"),
    (PRICED, "0.01", "0.01", "0.01"),
    (PRICED, "0", "0", "0"),
    (MEASURED, "12345678.5", "12345678.5", "12345678.5"),
    (FLAGGED, "True", True, "True"),
    (SPANNED, dt.timedelta(days=1), "1 day, 0:00:00", "1 day, 0:00:00"),
    (FLOATED, 1, "1.0", "1.0"),
]


@pytest.mark.parametrize(
    ("model", "given", "wire", "text"), KEYS, ids=[f"{key[0].__name__} {key[1]!r}" for key in KEYS]
)
def test_a_key_has_one_text(model: Any, given: Any, wire: Any, text: str) -> None:
    found = pks.wire(model, given)
    assert (found, type(found)) == (wire, type(wire))
    assert pks.text(model, given) == text


@pytest.mark.parametrize(
    ("model", "text"), [(key[0], key[3]) for key in KEYS if key[0] is not SPANNED], ids=lambda value: str(value)
)
def test_the_text_leads_back_to_the_key(model: Any, text: str) -> None:
    assert pks.text(model, pks.parse(model, text)) == text


@given(st.integers(0, 2**31 - 1), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=1))
def test_composite_keys_lead_back_whatever_they_hold(row: int, letter: str) -> None:
    assert pks.parse(Seat, pks.text(Seat, (row, letter))) == (row, letter)


NO_KEYS: list[tuple[Any, Any]] = [
    (Question, None),
    (Question, ""),
    (Question, "x"),
    (Question, object()),
    (Question, float("inf")),
    (Question, Question(pk=1)),
    (Country, None),
    (Country, "\ud800"),
    (Token, "x"),
    (Seat, 1),
    (Seat, (1,)),
    (Seat, (1, "A", 2)),
    (Seat, ("x", "A")),
    (Seat, (1, None)),
    (DATED, "yesterday"),
    (PRICED, "x"),
    (PRICED, decimal.Decimal("1e9999999")),
    (TIMED, dt.datetime(1, 1, 1, tzinfo=TOKYO)),
]


@pytest.mark.parametrize(
    ("model", "given"), NO_KEYS, ids=[f"{key[0].__name__} {number}" for number, key in enumerate(NO_KEYS)]
)
def test_what_cant_be_a_key_is_an_error(model: Any, given: Any) -> None:
    with pytest.raises(ValueError, match=r"primary key"):
        pks.wire(model, given)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Question, ""),
        (Question, "x"),
        (Question, "9223372036854775808"),
        (Question, "-9223372036854775809"),
        (Question, "9" * 5000),
        (Country, "x" * 201),
        (Token, "1"),
        (Seat, "1"),
        (Seat, "1,A,B"),
        (Seat, "x,A"),
        (Seat, "1,AB"),
        (Seat, "9223372036854775808,A"),
        (DATED, "x"),
        (TIMED, "0001-01-01T00:00:00+14:00"),
        (TIMED, "9999-12-31T23:59:59-14:00"),
        (PRICED, "10000000"),
        (PRICED, "1e7"),
        (PRICED, "1e999999"),
        (PRICED, "1e9999999"),
        (PRICED, "-1e-999999"),
        (MEASURED, "1e1001"),
        (MEASURED, "1e-1001"),
    ],
)
def test_text_that_names_no_object_is_an_error(model: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r"primary key"):
        pks.wire(model, pks.parse(model, text))
