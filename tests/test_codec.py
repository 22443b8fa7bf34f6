"""Diffs survive their stored form, whatever they hold; damaged bytes are an error and never anything else."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import uuid
from typing import Any

import msgpack
import pytest
from django.core.serializers.json import DjangoJSONEncoder
from hypothesis import example, given
from hypothesis import strategies as st

from diffs.codec import (
    HEAD_LENGTH,
    MAX_VERSION,
    Change,
    Encoder,
    Row,
    decode,
    diff_id,
    new_nonce,
    timestamp_text,
)
from diffs.errors import MemberError, SerializationError

NONCE = b"\x01\x02\xfe\xff"
VERSION = 1_700_000_000_000_000
UTC = dt.timezone.utc

SAFE = 2**53 - 1
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-SAFE, SAFE),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.datetimes(
        dt.datetime(2, 1, 1), dt.datetime(9998, 12, 31), timezones=st.integers(-1439, 1439).map(lambda m: _offset(m))
    ),
    st.dates(),
    st.uuids(),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=20)
DATA = st.dictionaries(TEXT, VALUES, max_size=6)
ROWS = st.builds(Row, TEXT, st.integers(-SAFE, SAFE) | TEXT | st.uuids() | st.lists(TEXT | st.integers(0, 9)))
NAMES = st.lists(TEXT, max_size=4, unique=True)
ACTIONS = st.sampled_from(["create", "update", "delete"])
VERSIONS = st.integers(0, MAX_VERSION)
NONCES = st.binary(min_size=4, max_size=4)


def _offset(minutes: int) -> dt.timezone:
    return dt.timezone(dt.timedelta(minutes=minutes))


def read_back(value: Any) -> Any:
    """What a value is after it was stored."""
    if isinstance(value, dt.datetime):
        return timestamp_text(value.astimezone(UTC) if value.tzinfo else value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, list | tuple):
        return [read_back(item) for item in value]
    if isinstance(value, dict):
        return {name: read_back(item) for name, item in value.items()}
    return value


@given(ACTIONS, VERSIONS, NONCES, DATA, st.none() | TEXT, ROWS, NAMES)
def test_change_survives_its_stored_form_in_its_own_and_in_other_feeds(
    action: Any, version: int, nonce: bytes, data: dict[str, Any], actor: str | None, row: Row, names: list[str]
) -> None:
    omitted = [name for name in names if name not in data]
    encoder = Encoder(action, version, nonce, data, actor, omitted)
    expected = Change(diff_id(version, nonce), action, version, None, actor, read_back(data), tuple(omitted))
    assert decode(encoder.own()) == expected
    assert decode(encoder.foreign(row)) == expected._replace(row=Row(row.model, read_back(row.pk)))
    assert encoder.own() == encoder.own()


@given(st.data(), ACTIONS, VERSIONS, NONCES, DATA, st.none() | TEXT, ROWS, NAMES)
def test_every_truncation_is_an_error_or_a_whole_change_without_its_data(
    draw: st.DataObject,
    action: Any,
    version: int,
    nonce: bytes,
    data: dict[str, Any],
    actor: str | None,
    row: Row,
    names: list[str],
) -> None:
    encoder = Encoder(action, version, nonce, data, actor, [name for name in names if name not in data])
    for member in (encoder.own(), encoder.foreign(row)):
        found = decodes_or_refuses(member[: draw.draw(st.integers(0, len(member) - 1))])
        # A deletion may have no data, so the end of its actor is an end.
        whole = Change(diff_id(version, nonce), "delete", version, found and found.row, actor, {})
        assert found in (None, whole)


def test_every_single_truncation_of_a_member_that_names_fields_is_an_error() -> None:
    for action in ("create", "update", "delete"):
        member = Encoder(action, 1, NONCE, {"a": 1}, "ada", ["b", "c"]).own()  # type: ignore[arg-type]
        found = [decodes_or_refuses(member[:length]) for length in range(len(member))]
        # A deletion may end behind its actor.
        assert [change for change in found if change] == (
            [Change(diff_id(1, NONCE), "delete", 1, None, "ada", {})] if action == "delete" else []
        )


def test_every_single_truncation_of_an_update_is_an_error() -> None:
    member = Encoder("update", VERSION, NONCE, {"text": "long enough", "tags": [1, {"a": None}]}, "anna").foreign(
        Row("polls.question", "x" * 40)
    )
    for cut in range(len(member)):
        with pytest.raises(MemberError):
            decode(member[:cut])


@given(st.data(), ACTIONS, DATA, st.none() | TEXT, ROWS)
def test_damaged_member_is_an_error_or_still_a_change(
    draw: st.DataObject, action: Any, data: dict[str, Any], actor: str | None, row: Row
) -> None:
    member = bytearray(Encoder(action, VERSION, NONCE, data, actor).foreign(row))
    for _ in range(draw.draw(st.integers(1, 8))):
        member[draw.draw(st.integers(0, len(member) - 1))] = draw.draw(st.integers(0, 255))
    decodes_or_refuses(bytes(member))


@given(st.binary(max_size=80))
@example(b"")
@example(bytes((0x10,)) + bytes(11) + b"\xdd\xff\xff\xff\xff")
@example(bytes((0x11,)) + bytes(11) + b"\x91" * 3000)
@example(bytes((0x11,)) + bytes(11) + b"\x81\xa1a\xc7\x40\x01" + b"\x7f" * 64)
@example(bytes((0x11,)) + bytes(11) + b"\x81\xa1a\xc7\x03\x04abc")
def test_any_bytes_are_an_error_or_a_change(body: bytes) -> None:
    decodes_or_refuses(body)
    decodes_or_refuses(b"\x11" + bytes(11) + body)
    decodes_or_refuses(b"\x1e" + bytes(11) + body)


def decodes_or_refuses(member: bytes) -> Change | None:
    try:
        change = decode(member)
    except MemberError:
        return None
    assert type(change) is Change
    assert type(change.data) is dict
    assert change.id == member[1:12].hex()
    return change


def test_member_begins_with_a_head_that_anyone_can_read() -> None:
    encoder = Encoder("update", 0x01020304050607, b"\xaa\xbb\xcc\xdd", {"a": 1})
    head = bytes.fromhex("11 01020304050607 aabbccdd")
    assert encoder.own() == head + msgpack.packb({"a": 1})
    foreign = b"\x19" + head[1:] + msgpack.packb("polls.choice") + msgpack.packb(7) + msgpack.packb({"a": 1})
    assert encoder.foreign(Row("polls.choice", 7)) == foreign


@pytest.mark.parametrize(("action", "bits"), [("create", 0), ("update", 1), ("delete", 2)])
def test_first_byte_says_format_kind_of_row_actor_and_action(action: Any, bits: int) -> None:
    row = Row("polls.choice", 7)
    anonymous = Encoder(action, 0, NONCE, {})
    known = Encoder(action, 0, NONCE, {}, "anna")
    found = [member[0] for member in (anonymous.own(), known.own(), anonymous.foreign(row), known.foreign(row))]
    assert found == [0x10 | bits, 0x14 | bits, 0x18 | bits, 0x1C | bits]


def test_deletion_without_data_is_a_head_and_nothing_else() -> None:
    member = Encoder("delete", MAX_VERSION, NONCE, {}).own()
    assert len(member) == HEAD_LENGTH
    assert decode(member) == Change("ffffffffffffff0102feff", "delete", MAX_VERSION, None, None, {})


def test_deletion_may_have_data_and_an_actor() -> None:
    member = Encoder("delete", 1, NONCE, {"name": "gone"}, "").own()
    assert decode(member) == Change("000000000000010102feff", "delete", 1, None, "", {"name": "gone"})


def test_update_of_nothing_still_holds_its_empty_data() -> None:
    assert decode(Encoder("update", 1, NONCE, {}).own()).data == {}


@pytest.mark.parametrize("bits", [0x01, 0x21, 0xF1, 0x13])
def test_unknown_format_or_action_is_an_error(bits: int) -> None:
    member = bytes((bits,)) + Encoder("update", 1, NONCE, {"a": 1}).own()[1:]
    with pytest.raises(MemberError, match="unknown format"):
        decode(member)


@pytest.mark.parametrize(
    ("bits", "objects"),
    [
        (0x11, [{"a": 1}, "one too many"]),
        (0x11, ["no dict"]),
        (0x19, [7, 7, {"a": 1}]),
        (0x19, ["polls.choice", 7]),
        (0x19, ["polls.choice", b"7", {"a": 1}]),
        (0x19, ["polls.choice", None, {"a": 1}]),
        (0x19, ["polls.choice", 7.5, {"a": 1}]),
        (0x19, ["polls.choice", {}, {"a": 1}]),
        (0x19, ["polls.choice", [7, [8]], {"a": 1}]),
        (0x19, ["polls.choice"]),
        (0x15, [7, {"a": 1}]),
        (0x15, [b"ada", {"a": 1}]),
        (0x1A, ["polls.choice"]),
        (0x15, [{"a": 1}]),
        (0x16, []),
        (0x11, [{1: 2}]),
        (0x11, [["b"]]),
        (0x12, [["b"]]),
        (0x11, [{"a": 1}, ["b"]]),
        (0x11, [[], {"a": 1}]),
        (0x11, [["a"], {"a": 1}]),
        (0x11, [["b", "b"], {"a": 1}]),
        (0x11, [["b", 7], {"a": 1}]),
        (0x11, [["b"], ["c"], {"a": 1}]),
        (0x15, [["b"], {"a": 1}]),
        (0x11, [{"a": msgpack.ExtType(5, b"")}]),
        (0x11, [{"a": msgpack.ExtType(4, b"no uuid")}]),
    ],
)
def test_member_whose_body_does_not_fit_its_head_is_an_error(bits: int, objects: list[Any]) -> None:
    with pytest.raises(MemberError):
        decode(bytes((bits,)) + bytes(11) + b"".join(map(msgpack.packb, objects)))


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        decimal.Decimal("1.5"),
        dt.time(12),
        dt.timedelta(1),
        1j,
        object(),
        2**64,
        -(2**63) - 1,
        "\ud800",
        {"nested": [{"deeper": {3}}]},
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_that_a_diff_cannot_hold_is_an_error(value: Any) -> None:
    with pytest.raises(SerializationError, match="^A diff can't hold"):
        Encoder("update", 1, NONCE, {"field": value})
    with pytest.raises(SerializationError, match="^A diff can't hold"):
        Encoder("update", 1, NONCE, {}).foreign(Row("polls.choice", value))


@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        bytearray(b"bytes"),
        {1: "a key that is no text"},
        {None: "a key that is no text"},
        {b"key": "a key that is no text"},
        dt.datetime.min.replace(tzinfo=_offset(60)),
        dt.datetime.max.replace(tzinfo=_offset(-60)),
        SAFE + 1,
        math.nan,
        math.inf,
    ],
    ids=repr,
)
def test_value_that_could_not_be_read_again_is_an_error(value: Any) -> None:
    with pytest.raises(SerializationError, match="^A diff can't hold"):
        Encoder("update", 1, NONCE, {"field": value})
    with pytest.raises(SerializationError, match="^A diff can't hold"):
        Encoder("update", 1, NONCE, {"nested": [{"deeper": value}]})


def test_error_names_the_type_and_not_the_value() -> None:
    with pytest.raises(SerializationError) as caught:
        Encoder("update", 1, NONCE, {"secret": decimal.Decimal("123456789")})
    assert str(caught.value) == "A diff can't hold a decimal.Decimal: turn it into text, a number, a list or a dict."


@given(st.datetimes() | st.datetimes(timezones=st.just(UTC)))
def test_times_read_as_django_writes_them_with_microseconds_kept(value: dt.datetime) -> None:
    whole = value.replace(microsecond=value.microsecond // 1000 * 1000)
    stored = decode(Encoder("update", 1, NONCE, {"value": value, "whole": whole}).own()).data
    assert json.dumps(stored["whole"]) == json.dumps(whole, cls=DjangoJSONEncoder)
    assert dt.datetime.fromisoformat(stored["value"].replace("Z", "+00:00")) == value


@given(st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 12, 31), timezones=st.just(UTC)), st.integers(-1439, 1439))
def test_equal_instants_are_stored_alike_whatever_their_zone(value: dt.datetime, minutes: int) -> None:
    other = value.astimezone(_offset(minutes))
    assert Encoder("update", 1, NONCE, {"at": other}).own() == Encoder("update", 1, NONCE, {"at": value}).own()


@given(st.dates() | st.uuids())
def test_dates_and_uuids_read_as_django_writes_them(value: Any) -> None:
    stored = decode(Encoder("update", 1, NONCE, {"value": value}).own()).data["value"]
    assert json.dumps(stored) == json.dumps(value, cls=DjangoJSONEncoder)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (dt.datetime(2024, 5, 6, 7, 8, 9), "2024-05-06T07:08:09"),
        (dt.datetime(2024, 5, 6, 7, 8, 9, 120000), "2024-05-06T07:08:09.120"),
        (dt.datetime(2024, 5, 6, 7, 8, 9, 120001), "2024-05-06T07:08:09.120001"),
        (dt.datetime(2024, 5, 6, 7, 8, 9, 1), "2024-05-06T07:08:09.000001"),
        (dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), "2024-05-06T07:08:09Z"),
        (dt.datetime(2024, 5, 6, 7, 8, 9, 999000, tzinfo=UTC), "2024-05-06T07:08:09.999Z"),
        (dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=_offset(120)), "2024-05-06T07:08:09+02:00"),
        (dt.datetime.min, "0001-01-01T00:00:00"),
        (dt.datetime.max, "9999-12-31T23:59:59.999999"),
    ],
)
def test_text_of_a_time(value: dt.datetime, text: str) -> None:
    assert timestamp_text(value) == text


def test_dates_times_and_uuids_take_no_more_room_than_they_must() -> None:
    def size(value: Any) -> int:
        return (
            len(Encoder("update", 1, NONCE, {"f": value}).own()) - len(Encoder("update", 1, NONCE, {"f": 1}).own()) + 1
        )

    sizes = [size(value) for value in (dt.datetime(2024, 1, 1, tzinfo=UTC), dt.date(2024, 1, 1), uuid.UUID(int=0))]
    assert sizes == [10, 6, 18]


def test_change_of_one_field_stays_within_what_redis_keeps_compact() -> None:
    member = Encoder("update", VERSION, NONCE, {"status": "departed", "updated_at": dt.datetime.now(UTC)}).own()
    assert len(member) <= 64


def test_equal_changes_are_two_members() -> None:
    nonces = {new_nonce() for _ in range(50)}
    assert {len(nonce) for nonce in nonces} == {4}
    assert len(nonces) == 50
    assert len({Encoder("update", VERSION, nonce, {"a": 1}).own() for nonce in nonces}) == 50


@given(VERSIONS, NONCES)
def test_id_is_22_hexadecimal_digits_that_sort_by_version(version: int, nonce: bytes) -> None:
    text = diff_id(version, nonce)
    assert len(text) == 22
    assert int(text, 16) == version << 32 | int.from_bytes(nonce, "big")


def test_subclasses_of_plain_values_are_stored_as_what_they_are() -> None:
    class Name(str):
        pass

    class Level(int):
        pass

    stored = decode(Encoder("update", 1, NONCE, {"name": Name("a"), "level": Level(3), "pair": (1, 2)}).own()).data
    assert stored == {"name": "a", "level": 3, "pair": [1, 2]}


def test_diff_that_is_made_in_the_middle_of_another_spoils_neither() -> None:
    """As a signal's handler that saves may do it."""
    inner: list[bytes] = []

    class Interrupted(dt.datetime):
        def utcoffset(self) -> dt.timedelta | None:
            inner.append(Encoder("update", 2, NONCE, {"inner": "x" * 100}).own())
            return super().utcoffset()

    moment = Interrupted(2024, 2, 29, 12, 30, tzinfo=UTC)
    outer = Encoder("update", 1, NONCE, {"before": 1, "at": moment, "after": 2}).own()
    assert decode(outer).data == {"before": 1, "at": "2024-02-29T12:30:00Z", "after": 2}
    assert [decode(member).data for member in inner] == [{"inner": "x" * 100}] * len(inner)
    assert inner
