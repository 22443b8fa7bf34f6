"""Several objects of one row, each out of date after the others' saves: what a client makes of the diffs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffs.capture.values import row_data
from diffs.registration import require
from diffs.testing import registered
from tests.testapp.models import Crate, Shelf

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

FIELDS = ("label", "count", "price", "notes", "shelf")
OBJECTS = 3
VALUES: dict[str, Any] = {
    "label": st.sampled_from(["", "a", "b"]),
    "count": st.one_of(st.integers(0, 2), st.just(F("count") + 1)),
    "price": st.sampled_from(["0.00", "1.50", "1.5"]),
    "notes": st.sampled_from([{}, {"a": 1}, {"a": True}]),
    "shelf": st.sampled_from([None, 0, 1]),
}


class Step(NamedTuple):
    """One of the objects is changed, then saved."""

    which: int
    changes: dict[str, Any]
    """Field names to values; of a shelf its place in the list."""
    named: tuple[str, ...] | None
    """The fields that are named to ``save()``."""
    is_loaded_again: bool


STEPS = st.lists(
    st.builds(
        Step,
        which=st.integers(0, OBJECTS - 1),
        changes=st.fixed_dictionaries({}, optional=VALUES),
        named=st.one_of(st.none(), st.none(), st.lists(st.sampled_from(FIELDS), min_size=1, unique=True).map(tuple)),
        is_loaded_again=st.sampled_from([False, False, True]),
    ),
    min_size=1,
    max_size=8,
)


def fold(feed: Any, cursor: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row as a client has it that knew this one, and applies what came since, in order."""
    return {**row, **{name: value for diff in feed.since(cursor) for name, value in diff.data.items()}}


def members(shelf: Shelf, cursor: str) -> dict[Any, dict[str, Any]]:
    """What a client that follows a shelf, empty at first, knows of the crates on it."""
    crates: dict[Any, dict[str, Any]] = {}
    for diff in shelf.diffs.since(cursor):
        known = crates.get(diff.pk, {})
        if diff.data.get("shelf", shelf.pk) == shelf.pk:
            crates[diff.pk] = {**known, **diff.data}
        else:
            crates.pop(diff.pk, None)
    return crates


def play(steps: list[Step]) -> tuple[Any, Any]:
    """What clients know at the end of a history, of the row and of each shelf, and what the database holds."""
    shelves = [Shelf.objects.create(name=str(number)) for number in range(2)]
    crate = Crate.objects.create()
    registration = require(Crate)
    begun = row_data(registration, Crate.objects.get(pk=crate.pk))
    cursor, cursors = crate.diffs.cursor, [shelf.diffs.cursor for shelf in shelves]
    objects = [Crate.objects.get(pk=crate.pk) for _ in range(OBJECTS)]
    for step in steps:
        if step.is_loaded_again:
            objects[step.which] = Crate.objects.get(pk=crate.pk)
        for name, value in step.changes.items():
            place = name == "shelf" and value is not None
            setattr(objects[step.which], name, shelves[value] if place else value)
        objects[step.which].save(update_fields=step.named)
    ended = row_data(registration, Crate.objects.get(pk=crate.pk))
    known = [fold(crate.diffs, cursor, begun)]
    truth = [ended]
    for shelf, since in zip(shelves, cursors, strict=True):
        crates = members(shelf, since)
        known.append(crates)
        # Who comes to know of a crate when it is moved here learns what changes from then on.
        told = {name: ended[name] for name in crates.get(crate.pk, ())}
        truth.append({crate.pk: told} if ended["shelf"] == shelf.pk else {})
    return known, truth


def is_followed(**options: Any) -> Callable[[], None]:
    """A test that clients end with the database's values, whatever is saved."""

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(steps=STEPS)
    def test(steps: list[Step]) -> None:
        with registered(Crate, parent="shelf", **options):
            known, truth = play(steps)
        assert known == truth

    return test  # type: ignore[no-any-return]


test_p7_narrow_saves_of_stale_objects_leave_clients_with_the_databases_values = is_followed(narrow=True)
test_p7_saves_told_whole_leave_clients_with_the_databases_values = is_followed(full_saves="all")

TWO_WRITERS = [
    Step(which=0, changes={"label": "a"}, named=None, is_loaded_again=False),
    Step(which=1, changes={"count": 1}, named=None, is_loaded_again=False),
]
NAMED_AGAIN = [
    Step(which=0, changes={"label": "a"}, named=("label",), is_loaded_again=False),
    Step(which=1, changes={}, named=("label",), is_loaded_again=False),
]
MOVED_BACK = [
    Step(which=0, changes={"shelf": 0}, named=None, is_loaded_again=False),
    Step(which=1, changes={"count": 1}, named=None, is_loaded_again=False),
]


@pytest.mark.parametrize("steps", [TWO_WRITERS, NAMED_AGAIN, MOVED_BACK], ids=["full", "named", "moved"])
def test_p7_by_default_what_a_stale_object_writes_back_stays_unknown_to_clients(steps: list[Step]) -> None:
    """The limit that the two options are there for."""
    with registered(Crate, parent="shelf"):
        known, truth = play(steps)
        assert known != truth
    for options in ({"narrow": True}, {"full_saves": "all"}):
        with registered(Crate, parent="shelf", **options):
            known, truth = play(steps)
            assert known == truth


def test_p7_narrow_saves_keep_both_writers_changes_and_whole_ones_the_last_writers() -> None:
    ends = {}
    for option, value in (("narrow", True), ("full_saves", "all")):
        with registered(Crate, parent="shelf", **{option: value}):
            _, (row, *_) = play(TWO_WRITERS)
            ends[option] = row["label"], row["count"]
    assert ends == {"narrow": ("a", 1), "full_saves": ("", 1)}
