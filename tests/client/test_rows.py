"""Rows that diffs keep in step."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from diffs.client import Rows
from diffs.diff import CREATE, DELETE, UPDATE, Action, Diff

KEY = ("polls.question", 1)


def diff(action: Action, version: int, pk: Any = 1, /, omitted: tuple[str, ...] = (), **data: Any) -> Diff:
    return Diff(
        id=f"{version:022x}",
        action=action,
        data=data,
        omitted=omitted,
        position=version,
        cursor="",
        model="polls.question",
        pk=pk,
        version=version,
    )


def applied(*diffs: Diff, **row: Any) -> dict[Any, Any]:
    rows = Rows()
    if row:
        rows.put(*KEY, row)
    for one in diffs:
        rows.apply(one)
    return dict(rows)


def test_diffs_make_change_and_remove_rows() -> None:
    rows = Rows()
    assert rows.apply(diff(CREATE, 1, text="What is life?", votes=0))
    assert rows.apply(diff(UPDATE, 2, votes=42))
    assert dict(rows) == {KEY: {"text": "What is life?", "votes": 42}}
    assert rows[KEY]["votes"] == 42
    assert len(rows) == 1
    assert rows.apply(diff(DELETE, 3))
    assert dict(rows) == {}
    assert not rows.apply(diff(DELETE, 4))


def test_rows_that_were_read_are_kept_in_step() -> None:
    row = {"votes": 1}
    rows = Rows()
    rows.put(*KEY, row)
    rows.apply(diff(UPDATE, 2, votes=2))
    assert rows[KEY] == {"votes": 2}
    assert row == {"votes": 1}


def test_row_is_whole_or_not_there() -> None:
    assert applied(diff(UPDATE, 2, votes=2)) == {}


def test_composite_primary_key_is_a_tuple() -> None:
    assert applied(diff(CREATE, 1, [1, "a"], n=1)) == {("polls.question", (1, "a")): {"n": 1}}


def test_each_field_keeps_the_value_with_the_highest_version() -> None:
    found = applied(diff(UPDATE, 7, a=7, b=7), diff(UPDATE, 5, b=5, c=5), diff(UPDATE, 6, c=6), a=0, b=0, c=0)
    assert found == {KEY: {"a": 7, "b": 7, "c": 6}}


def test_change_that_came_before_the_creation_counts() -> None:
    assert applied(diff(UPDATE, 7, a=7), diff(CREATE, 5, a=5, b=5)) == {KEY: {"a": 7, "b": 5}}


def test_what_comes_after_the_deletion_does_not_bring_a_row_back() -> None:
    assert applied(diff(DELETE, 7), diff(UPDATE, 6, a=6), diff(CREATE, 5, a=5), a=0) == {}


def test_row_that_was_made_again_stays_where_its_deletion_comes_late() -> None:
    assert applied(diff(CREATE, 8, a=8), diff(DELETE, 7), a=0) == {KEY: {"a": 8}}


def test_what_a_hook_made_takes_the_place_of_a_row() -> None:
    rows = Rows()
    rows.put(*KEY, "before")
    assert rows.apply(Diff(**{**as_dict(diff(UPDATE, 1)), "data": ["anything"]}))
    assert rows[KEY] == ["anything"]


def as_dict(value: Diff) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def test_beginning_anew() -> None:
    rows = Rows()
    rows.apply(diff(CREATE, 9, a=9))
    rows.clear()
    rows.put(*KEY, {"a": 1})
    rows.apply(diff(UPDATE, 2, a=2))
    assert dict(rows) == {KEY: {"a": 2}}


def test_versions_of_few_objects_are_remembered() -> None:
    rows = Rows(most=2)
    for pk in (1, 2, 3):
        rows.apply(diff(CREATE, 5, pk, a=5))
    assert not rows.apply(diff(DELETE, 4, 3))
    # Of the first one nothing is known any more.
    assert rows.apply(diff(DELETE, 4, 1))


def test_row_of_which_a_value_was_too_large_is_not_there_until_it_is_put_in_anew() -> None:
    rows = Rows()
    rows.put(*KEY, {"text": "old", "votes": 1})
    assert rows.stale == ()
    assert rows.apply(diff(UPDATE, 5, omitted=("text",), votes=2))
    assert (dict(rows), rows.stale) == ({}, (KEY,))
    # It isn't whole.
    assert not rows.apply(diff(UPDATE, 6, votes=3))
    assert (dict(rows), rows.stale) == ({}, (KEY,))
    rows.put(*KEY, {"text": "large", "votes": 3})
    assert (dict(rows), rows.stale) == ({KEY: {"text": "large", "votes": 3}}, ())
    # What came before it says nothing new of it.
    assert rows.apply(diff(UPDATE, 4, text="older", votes=0, more=1))
    assert (dict(rows), rows.stale) == ({KEY: {"text": "large", "votes": 3, "more": 1}}, ())
    assert rows.apply(diff(UPDATE, 7, text="small"))
    assert rows[KEY]["text"] == "small"


def test_creation_without_a_large_value_makes_no_row() -> None:
    rows = Rows()
    assert rows.apply(diff(CREATE, 5, omitted=("text",), votes=0))
    assert (dict(rows), rows.stale) == ({}, (KEY,))
    assert rows.apply(diff(DELETE, 6))
    assert (dict(rows), rows.stale) == ({}, ())
    assert rows.apply(diff(CREATE, 7, omitted=("text",), votes=0))
    assert rows.apply(diff(CREATE, 8, text="small", votes=0))
    assert (dict(rows), rows.stale) == ({KEY: {"text": "small", "votes": 0}}, ())


def test_value_that_was_too_large_counts_by_its_version_as_well() -> None:
    assert applied(diff(UPDATE, 7, text="small"), diff(UPDATE, 5, omitted=("text",)), text="") == {
        KEY: {"text": "small"}
    }
    assert applied(diff(UPDATE, 7, omitted=("text",)), diff(CREATE, 5, text="older", votes=0)) == {}
    assert applied(diff(UPDATE, 7, text="small"), diff(CREATE, 5, omitted=("text",), votes=0)) == {
        KEY: {"text": "small", "votes": 0}
    }


def test_change_of_a_row_that_is_not_kept_makes_nothing_stale() -> None:
    rows = Rows()
    assert not rows.apply(diff(UPDATE, 5, omitted=("text",)))
    assert rows.stale == ()


def test_row_that_cannot_be_fetched_is_taken_out() -> None:
    rows = Rows()
    rows.apply(diff(CREATE, 1, [1, "a"], omitted=("text",)))
    rows.put(*KEY, {"votes": 1})
    rows.discard("polls.question", [1, "a"])
    rows.discard(*KEY)
    rows.discard(*KEY)
    assert (dict(rows), rows.stale) == ({}, ())


def test_beginning_anew_forgets_what_was_to_be_fetched() -> None:
    rows = Rows()
    rows.apply(diff(CREATE, 1, omitted=("text",)))
    rows.clear()
    assert rows.stale == ()


def test_what_a_hook_made_is_whole_again() -> None:
    rows = Rows()
    rows.apply(diff(CREATE, 1, omitted=("text",)))
    assert rows.apply(Diff(**{**as_dict(diff(UPDATE, 2)), "data": ["anything"]}))
    assert (dict(rows), rows.stale) == ({KEY: ["anything"]}, ())


HISTORY = st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), min_size=1), min_size=1, max_size=5)


@given(HISTORY, st.data())
def test_order_of_arrival_makes_no_difference(changes: list[dict[str, int]], data: st.DataObject) -> None:
    versions = itertools.count(1)
    row: dict[str, int] = dict.fromkeys("abc", 0)
    told = [diff(CREATE, next(versions), **row)]
    for change in changes:
        row.update(change)
        told.append(diff(UPDATE, next(versions), **change))
    if is_deleted := data.draw(st.booleans()):
        told.append(diff(DELETE, next(versions)))
    assert applied(*data.draw(st.permutations(told))) == ({} if is_deleted else {KEY: row})


@given(HISTORY, st.data())
def test_whoever_fetches_what_is_stale_ends_with_the_last_values(
    changes: list[dict[str, int]], data: st.DataObject
) -> None:
    row: dict[str, int] = dict.fromkeys("abc", 0)
    rows = Rows()
    rows.put(*KEY, row)
    told = []
    for version, change in enumerate(changes, 1):
        row.update(change)
        omitted = {name for name in change if data.draw(st.booleans())}
        kept = {name: value for name, value in change.items() if name not in omitted}
        told.append(diff(UPDATE, version, omitted=tuple(omitted), **kept))
    # The object is read when the first diff comes, and so as it is when all have been made.
    for one in data.draw(st.permutations(told)):
        rows.apply(one)
        for key in rows.stale:
            rows.put(*key, row)
    assert rows[KEY] == row
