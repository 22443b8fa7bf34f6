"""Values in diffs: what Python reads is what Django's serializers give of the row."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import math
import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import serializers
from django.core.files.base import ContentFile, File
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, models
from django.db.models import Value
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from diffs.capture import values
from diffs.errors import SerializationError
from diffs.registration import require
from tests.testapp.models import Everything, Probe, Question, Temperature

from .recorded import Recording, name, said

UTC = dt.timezone.utc
TOKYO = dt.timezone(dt.timedelta(hours=9))
ON_POSTGRESQL = connection.vendor == "postgresql"


class Letter(models.TextChoices):
    BETA = "b", "Beta"


class Color(str, enum.Enum):
    """Says that it is ``Color.RED``."""

    RED = "red"


class Number(models.IntegerChoices):
    SEVEN = 7, "Seven"


VALUES: list[tuple[str, str, Any, Any]] = [
    ("an integer", "integer", 5, 5),
    ("an integer given as text", "integer", "5", 5),
    ("an integer given as a float", "integer", 5.0, 5),
    ("an integer given as a boolean", "integer", True, 1),
    ("an integer of an enumeration", "integer", Number.SEVEN, 7),
    ("a small integer", "small", -32768, -32768),
    ("the largest number that JavaScript holds", "big", 2**53 - 1, 2**53 - 1),
    ("a number that JavaScript can't hold", "big", 2**53, "9007199254740992"),
    ("the smallest number", "big", -(2**63), "-9223372036854775808"),
    ("a positive number that JavaScript can't hold", "positive", 2**63 - 1, "9223372036854775807"),
    ("a column of another name", "renamed", 3, 3),
    ("true", "boolean", True, True),
    ("a boolean given as a number", "boolean", 1, True),
    ("a boolean given as text", "boolean", "True", True),
    ("a boolean that may be unknown", "maybe", False, False),
    ("text", "char", "Žluťoučký kůň 火", "Žluťoučký kůň 火"),
    ("text given as a number", "char", 5, "5"),
    ("lazy text", "char", gettext_lazy("Monday"), "Monday"),
    ("safe text", "char", mark_safe("<b>"), "<b>"),
    ("text of an enumeration", "choice", Letter.BETA, "b"),
    ("text of somebody else's enumeration", "char", Color.RED, "red"),
    ("an address", "email", "ada@example.org", "ada@example.org"),
    ("a slug", "slug", "a-b", "a-b"),
    ("a URL", "url", "https://example.org/?a=1", "https://example.org/?a=1"),
    ("long text", "text", "x" * 60_000, "x" * 60_000),
    ("a date", "date", dt.date(2024, 2, 29), "2024-02-29"),
    ("a date given as text", "date", "2024-02-29", "2024-02-29"),
    ("a date given as a moment", "date", dt.datetime(2024, 2, 29, 3, tzinfo=UTC), "2024-02-28"),
    ("a moment", "datetime", dt.datetime(2024, 2, 29, 12, 30, tzinfo=UTC), "2024-02-29T12:30:00Z"),
    ("microseconds", "datetime", dt.datetime(2024, 2, 29, 12, 30, 0, 123456, UTC), "2024-02-29T12:30:00.123456Z"),
    ("milliseconds", "datetime", dt.datetime(2024, 2, 29, 12, 30, 0, 123000, UTC), "2024-02-29T12:30:00.123Z"),
    ("a moment in another zone", "datetime", dt.datetime(2024, 2, 29, 21, 30, tzinfo=TOKYO), "2024-02-29T12:30:00Z"),
    ("a moment given as text", "datetime", "2024-02-29T21:30:00+09:00", "2024-02-29T12:30:00Z"),
    ("a moment without a zone", "datetime", dt.datetime(2024, 2, 29, 7, 30), "2024-02-29T12:30:00Z"),
    ("a moment given as a date", "datetime", dt.date(2024, 2, 29), "2024-02-29T05:00:00Z"),
    ("a moment without a zone, given as text", "datetime", "2024-02-29 07:30", "2024-02-29T12:30:00Z"),
    ("a time", "time", dt.time(12, 30), "12:30:00"),
    ("a time with microseconds", "time", dt.time(12, 30, 1, 5), "12:30:01.000005"),
    ("a time with milliseconds", "time", dt.time(12, 30, 1, 5000), "12:30:01.005"),
    ("a time given as text", "time", "12:30", "12:30:00"),
    ("a duration", "duration", dt.timedelta(days=-1, microseconds=7), "-1 00:00:00.000007"),
    ("a duration of days", "duration", dt.timedelta(days=3, seconds=5), "3 00:00:05"),
    ("a decimal", "decimal", decimal.Decimal("1.12345678"), "1.12345678"),
    ("a decimal with too few digits", "decimal", decimal.Decimal("1.5"), "1.50000000"),
    ("a decimal with too many digits", "decimal", decimal.Decimal("1.123456789"), "1.12345679"),
    ("a decimal with an exponent", "decimal", decimal.Decimal("1E+3"), "1000.00000000"),
    ("a negative decimal", "decimal", decimal.Decimal("-0.00000001"), "-1E-8"),
    ("a decimal of nothing", "decimal", decimal.Decimal(0), "0E-8"),
    ("a decimal given as text", "decimal", "2.5", "2.50000000"),
    ("a decimal given as a number", "decimal", 2, "2.00000000"),
    ("a decimal given as a float", "decimal", 0.1, "0.10000000"),
    ("a float", "float", 0.1, 0.1),
    ("a float given as a number", "float", 3, 3.0),
    ("a float given as text", "float", "1e300", 1e300),
    ("a float given as a decimal", "float", decimal.Decimal("0.5"), 0.5),
    ("bytes", "binary", b"\x00\xff\xfe", "AP/+"),
    ("a view of bytes", "binary", memoryview(b"\x00\xff"), "AP8="),
    ("an array of bytes", "binary", bytearray(b"abc"), "YWJj"),
    ("a UUID", "uuid", uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    ("a UUID given as text", "uuid", "00000000000000000000000000000007", "00000000-0000-0000-0000-000000000007"),
    ("a UUID given as a number", "uuid", 7, "00000000-0000-0000-0000-000000000007"),
    ("an IPv4 address", "ip", "127.0.0.1", "127.0.0.1"),
    ("an IPv6 address", "ip", "2001:0db8::0001", "2001:db8::1"),
    ("a file's name", "file", "files/a.txt", "files/a.txt"),
    ("an object in JSON", "json", {"a": [1, None, True, "é"]}, {"a": [1, None, True, "é"]}),
    ("tuples in JSON", "json", (1, (2, 3)), [1, [2, 3]]),
    ("numbers as keys in JSON", "json", {1: {2.5: 3}}, {"1": {"2.5": 3}}),
    ("a number in JSON that JavaScript can't hold", "json", {"n": [2**60]}, {"n": ["1152921504606846976"]}),
    ("text alone in JSON", "json", "text", "text"),
    ("a number alone in JSON", "json", 7, 7),
    ("false alone in JSON", "json", False, False),
    ("an empty list in JSON", "json", [], []),
    ("a fraction in JSON", "json", 0.5, 0.5),
    ("an enumeration in JSON", "json", [Letter.BETA, Number.SEVEN], ["b", 7]),
]
NAMES = [case[0] for case in VALUES]


@pytest.fixture(autouse=True)
def _naive_moments_are_taken() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "DateTimeField .* received a naive datetime", RuntimeWarning)
        yield


def serialized(instance: models.Model) -> dict[str, Any]:
    """What Django's JSON serializer gives of the row, with our rules for microseconds and large numbers."""
    stored = type(instance)._default_manager.get(pk=instance.pk)
    (document,) = json.loads(serializers.serialize("json", [stored]))
    data: dict[str, Any] = document["fields"]
    for field, value in data.items():
        held = getattr(stored, field)
        if isinstance(held, dt.datetime):
            data[field] = values.plain(held).isoformat().replace("+00:00", "Z") if held.microsecond % 1000 else value
        elif isinstance(held, dt.time) and held.microsecond % 1000:
            data[field] = held.isoformat()
    return {field: values.plain(value) for field, value in data.items()}


def changed(recording: Recording) -> dict[str, Any]:
    """What the only diff holds."""
    ((told,),) = recording.feeds().values()
    return told[3]


@pytest.mark.database
@pytest.mark.parametrize(("field", "given", "expected"), [case[1:] for case in VALUES], ids=NAMES)
@pytest.mark.parametrize("way", ["create", "save", "update", "bulk_create", "bulk_update", "upsert"])
def test_a_value_is_what_djangos_serializer_gives_of_the_row(
    db: None, django_capture_on_commit_callbacks: Any, way: str, field: str, given: Any, expected: Any
) -> None:
    written = Everything.objects.create() if way in ("save", "update", "bulk_update", "upsert") else Everything()
    recording = Recording()
    with django_capture_on_commit_callbacks(execute=True):
        if way == "update":
            Everything.objects.filter(pk=written.pk).update(**{field: given})
        else:
            setattr(written, field, given)
        if way in ("create", "save"):
            written.save()
        elif way == "bulk_create":
            Everything.objects.bulk_create([written])
        elif way == "bulk_update":
            Everything.objects.bulk_update([written], [field])
        elif way == "upsert":
            Everything.objects.bulk_create(
                [written], update_conflicts=True, unique_fields=["id"], update_fields=[field]
            )
    data = changed(recording)
    assert (data[field], type(data[field])) == (expected, type(expected))
    row = serialized(written)
    assert data == (row if len(data) > 1 else {field: row[field]})


# What it rounds them to, only the database knows.
ROUNDED = {"a decimal with too many digits", "a decimal given as a float"}


@pytest.mark.database
@pytest.mark.parametrize(
    ("field", "given"),
    [pytest.param(*case[1:3], id=case[0]) for case in VALUES if case[0] not in ROUNDED],
)
def test_what_was_written_is_no_change_when_it_is_saved_again(
    db: None, django_capture_on_commit_callbacks: Any, field: str, given: Any
) -> None:
    written = Everything.objects.create(**{field: given})
    again = Everything.objects.get(pk=written.pk)
    recording = Recording()
    with django_capture_on_commit_callbacks(execute=True):
        written.save()
        again.save()
        setattr(again, field, given)
        again.save()
        Everything.objects.update(**{field: given})
    assert recording.feeds() == {}


@pytest.mark.database
def test_no_address_is_nothing(recording: Recording) -> None:
    written = Everything.objects.create(ip="127.0.0.1")
    recording.forget()
    written.ip = ""
    written.save()
    assert Everything.objects.get().ip is None
    assert recording.feeds() == {name(written): [said("update", written, ip=None)]}


def test_keys_of_a_many_to_many_field_that_have_no_order_have_that_of_their_text() -> None:
    field = Question._meta.get_field("tags")
    assert values.many_to_many_data(field, [3, None, "x", 20, 3]) == [20, 3, "x"]


@pytest.mark.database
@pytest.mark.parametrize("given", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("way", ["create", "update"])
def test_what_no_number_is_becomes_text_or_what_the_database_makes_of_it(
    recording: Recording, way: str, given: float
) -> None:
    if way == "create":
        Everything.objects.create(float=given)
    else:
        Everything.objects.create(float=1.0)
        recording.forget()
        Everything.objects.update(float=given)
    stored = Everything.objects.get().float
    # SQLite keeps nothing where there is no number.
    assert (stored is None) == (math.isnan(given) and not ON_POSTGRESQL)
    assert changed(recording)["float"] == (None if stored is None else str(given))


@pytest.mark.database
@pytest.mark.parametrize("way", ["create", "save", "update", "bulk_update"])
def test_a_long_decimal_is_what_the_database_keeps_of_it(recording: Recording, way: str) -> None:
    long = decimal.Decimal("123456789012.12345678")
    written = Everything(decimal=long) if way == "create" else Everything.objects.create()
    recording.forget()
    if way == "update":
        Everything.objects.update(decimal=long)
    else:
        written.decimal = long
        written.save() if way != "bulk_update" else Everything.objects.bulk_update([written], ["decimal"])
    stored = Everything.objects.get().decimal
    assert (stored == long) == ON_POSTGRESQL
    assert changed(recording)["decimal"] == str(stored)


@pytest.mark.parametrize(
    "given",
    [
        ContentFile(b"text", name="a.txt"),
        SimpleUploadedFile("a.txt", b"text"),
    ],
    ids=["content", "an upload"],
)
def test_a_file_is_recorded_by_the_name_under_which_it_was_stored(
    recording: Recording, settings: Any, tmp_path: Any, given: Any
) -> None:
    settings.MEDIA_ROOT = tmp_path
    written = Everything.objects.create(file=given)
    assert changed(recording)["file"] == written.file.name == Everything.objects.get().file.name
    recording.forget()
    written.save()
    assert recording.feeds() == {}
    written.file.save("b.txt", ContentFile(b"other"))
    assert recording.feeds() == {name(written): [said("update", written, file="files/b.txt")]}
    written.file.delete()
    assert recording.feeds()[name(written)][1] == said("update", written, file="")


@pytest.mark.database
def test_other_peoples_fields_say_their_text_themselves(recording: Recording) -> None:
    probe = Probe.objects.create(celsius=Temperature(20.5))
    assert recording.feeds() == {name(probe): [said("create", probe, celsius="20.5 °C", notes={})]}
    recording.forget()
    loaded = Probe.objects.get()
    loaded.save()
    loaded.celsius = Temperature(20.5)
    loaded.save()
    assert recording.feeds() == {}
    loaded.celsius.degrees = 21.0
    loaded.save()
    Probe.objects.update(celsius=Temperature(22.0))
    assert recording.feeds() == {
        name(probe): [said("update", probe, celsius="21.0 °C"), said("update", probe, celsius="22.0 °C")]
    }


@pytest.mark.database
def test_a_json_fields_own_encoder_is_asked(recording: Recording) -> None:
    probe = Probe.objects.create(notes={"seen": {2, 1}})
    recording.forget()
    probe.save()
    probe.notes["seen"].add(3)
    probe.save()
    assert recording.feeds() == {name(probe): [said("update", probe, notes={"seen": [1, 2, 3]})]}


@pytest.mark.database
def test_an_expression_for_null_in_json_is_what_the_database_holds(recording: Recording) -> None:
    written = Everything.objects.create(json=[1])
    recording.forget()
    written.json = Value(None, models.JSONField())
    written.save()
    Everything.objects.update(json=Value([2], models.JSONField()))
    told = [data["json"] for _, _, _, data in recording.feeds()[name(written)]]
    assert told == [None, [2]]


@pytest.mark.database
@pytest.mark.skipif(not ON_POSTGRESQL, reason="SQLite has no arrays and ranges.")
def test_arrays_and_ranges_have_the_text_of_djangos_serializer(recording: Recording) -> None:
    from django.db.backends.postgresql.psycopg_any import DateRange, NumericRange

    from tests.pgapp.models import Series

    series = Series.objects.create(
        values=(1, 2),
        names=["a", None],
        grid=[[decimal.Decimal("1.5")], [2]],
        bounds=NumericRange(1, 9, "[]"),
        season=DateRange(dt.date(2024, 3, 1), None),
    )
    assert changed(recording) == serialized(series)
    recording.forget()
    loaded = Series.objects.get()
    loaded.save()
    assert recording.feeds() == {}
    loaded.values.append(3)
    loaded.grid[0][0] = decimal.Decimal("2.25")
    loaded.save()
    row = serialized(loaded)
    assert recording.feeds() == {name(series): [said("update", series, values=row["values"], grid=row["grid"])]}
    recording.forget()
    Series.objects.update(values=[5], bounds=(2, 3), names=None)
    row = serialized(loaded)
    changes = {"values": row["values"], "names": None, "bounds": row["bounds"]}
    assert recording.feeds() == {name(series): [said("update", series, **changes)]}


def test_a_field_whose_text_isnt_text_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    field = require(Probe).model._meta.get_field("celsius")
    monkeypatch.setattr(type(field), "value_to_string", lambda self, obj: object())
    with pytest.raises(SerializationError, match=r"^A diff can't hold a builtins.object: turn it into text, a number,"):
        values.stored(field, Temperature(1))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (True, True),
        (uuid.UUID(int=1), uuid.UUID(int=1)),
        (mark_safe("a"), "a"),
        (Number.SEVEN, 7),
        (2**53 - 1, 2**53 - 1),
        (-(2**53), "-9007199254740992"),
        (1.5, 1.5),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (decimal.Decimal("1.50"), "1.50"),
        (dt.datetime(2024, 2, 29, 21, 30, tzinfo=TOKYO), dt.datetime(2024, 2, 29, 12, 30, tzinfo=UTC)),
        (dt.datetime(2024, 2, 29, 7, 30), dt.datetime(2024, 2, 29, 12, 30, tzinfo=UTC)),
        (dt.date(2024, 2, 29), dt.date(2024, 2, 29)),
        (dt.time(1, 2, 3, 4000), "01:02:03.004"),
        (dt.timedelta(days=1, seconds=1), "P1DT00H00M01S"),
        ({1: (2, [3])}, {"1": [2, [3]]}),
        ({gettext_lazy("Monday"): 1, uuid.UUID(int=1): 2}, {"Monday": 1, "00000000-0000-0000-0000-000000000001": 2}),
        (gettext_lazy("Monday"), "Monday"),
        (File(None, name="a.txt"), "a.txt"),
        (Color.RED, "red"),
    ],
    ids=repr,
)
def test_what_a_hook_returns_is_put_into_a_form_that_json_knows(given: Any, expected: Any) -> None:
    found = values.plain(given)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    "given", [object(), b"a", {1, 2}, Everything(), Value(1)], ids=lambda given: type(given).__name__
)
def test_what_json_doesnt_know_is_an_error(given: Any) -> None:
    with pytest.raises(
        SerializationError, match=rf"^A diff can't hold a {type(given).__module__}.{type(given).__name__}"
    ):
        values.plain([given])


@pytest.mark.parametrize("key", [None, True, (1, 2), b"a"], ids=repr)
def test_keys_that_json_doesnt_know_are_an_error(key: Any) -> None:
    with pytest.raises(SerializationError, match=rf"^A diff's keys are text, not {type(key).__name__}\.$"):
        values.plain({key: 1})


def test_without_time_zones_moments_stay_as_they_are(recording: Recording, settings: Any) -> None:
    settings.USE_TZ = False
    written = Everything.objects.create(datetime=dt.datetime(2024, 2, 29, 7, 30, 0, 5))
    assert changed(recording)["datetime"] == "2024-02-29T07:30:00.000005"
    recording.forget()
    Everything.objects.get().save()
    assert recording.feeds() == {}
    assert written.datetime == Everything.objects.get().datetime
