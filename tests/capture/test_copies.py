"""Copies of values that can change in place."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import pickle
from typing import Any

import pytest

from diffs.capture.copies import Snapshot, snapshot_of, snapshot_of_json

JSON = [
    None,
    [],
    {},
    "text",
    {"a": [1, 2.5, None, True], "ä": {"b": "\N{SNOWMAN}"}},
    [[[[]]]],
    2**80,
]


class Unwilling:
    """Can't be pickled."""

    def __init__(self) -> None:
        self.parts = [1]

    def __reduce__(self) -> Any:
        raise TypeError("Not this.")

    def __deepcopy__(self, memo: Any) -> Unwilling:
        other = Unwilling()
        other.parts = copy.deepcopy(self.parts, memo)
        return other


@pytest.mark.parametrize("value", JSON, ids=repr)
@pytest.mark.parametrize("take", [snapshot_of_json, snapshot_of])
def test_copy_gives_the_value_as_it_was(take: Any, value: Any) -> None:
    taken = take(value)
    before = copy.deepcopy(value)
    if isinstance(value, dict):
        value["more"] = 1
    elif isinstance(value, list):
        value.append(1)
    assert taken.value == before


@pytest.mark.parametrize("value", JSON, ids=repr)
def test_json_that_has_not_changed_is_known_at_once(value: Any) -> None:
    assert snapshot_of_json(value).is_of(copy.deepcopy(value))


@pytest.mark.parametrize(
    ("before", "after"), [([1], [True]), ([1], [1.0]), ({"a": 0}, {"a": False}), ([1], [1, 2]), ("1", 1)], ids=repr
)
def test_json_of_other_types_is_another_value(before: Any, after: Any) -> None:
    assert not snapshot_of_json(before).is_of(after)


@pytest.mark.parametrize("value", [{"when": dt.date(2024, 2, 29)}, [decimal.Decimal("1.50")], {1: {2, 3}}], ids=repr)
def test_value_for_an_encoder_of_the_users_own_is_copied_as_well(value: Any) -> None:
    taken = snapshot_of_json(value)
    assert taken.value == value
    assert taken.value is not value


def test_value_that_refers_to_itself_is_copied() -> None:
    value: list[Any] = [1]
    value.append(value)
    taken = snapshot_of_json(value).value
    assert taken[1] is taken


def test_value_that_no_pickle_takes_is_copied() -> None:
    value = Unwilling()
    taken = snapshot_of(value)
    value.parts.append(2)
    assert taken.value.parts == [1]
    taken.value.parts.append(3)
    assert taken.value.parts == [1]


@pytest.mark.parametrize("take", [snapshot_of_json, snapshot_of])
def test_copy_travels_to_other_processes_and_into_copies_of_objects(take: Any) -> None:
    taken: Snapshot = take({"a": [1]})
    travelled: Snapshot = pickle.loads(pickle.dumps(taken))
    assert travelled.value == {"a": [1]}
    assert travelled.is_of({"a": [1]}) == taken.is_of({"a": [1]})
    assert copy.deepcopy(taken) is taken
