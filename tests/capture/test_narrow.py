"""``narrow=True``: what a full save writes, what its diff says, and that all else is as Django does it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from asgiref.sync import async_to_sync
from django.core.files.base import ContentFile
from django.db import DatabaseError, connection, models, transaction
from django.db.models import F
from django.db.models.signals import post_save, pre_save
from django.test.utils import CaptureQueriesContext

import diffs
from diffs.testing import registered
from tests.testapp.models import Archive, Careful, Crate, Glass, Note, Pallet, Place, Restaurant, Score, Shelf, Stamped

from .recorded import Recording, name, said

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True, databases=["default", "other"])]


@pytest.fixture
def crate() -> Crate:
    return Crate.objects.create(label="a", count=1, notes={"a": [1]})


def loaded(instance: models.Model) -> Any:
    """Another object of the same row, as another process would have it."""
    return type(instance)._base_manager.get(pk=instance.pk)


def row(instance: models.Model, *names: str) -> tuple[Any, ...]:
    """What the database holds."""
    found: tuple[Any, ...] = type(instance)._base_manager.values_list(*names).get(pk=instance.pk)
    return found


@contextlib.contextmanager
def writes() -> Iterator[list[str]]:
    """The statements of a block that write, or look for, rows; behind it."""
    found: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield found
    statements = [query["sql"] for query in captured.captured_queries]
    found += [sql for sql in statements if sql.startswith(("UPDATE", "INSERT", "SELECT")) and "0 = 1" not in sql]


def columns(statement: str) -> set[str]:
    """The columns that an UPDATE sets."""
    assert statement.startswith("UPDATE")
    assignments = statement.partition(" SET ")[2].partition(" WHERE ")[0]
    return {part.partition('"')[2].partition('"')[0] for part in assignments.split(", ") if part.startswith('"')}


def test_only_what_changed_is_written_and_told(crate: Crate) -> None:
    stale = loaded(crate)
    crate.label = "newer"
    crate.save()
    stale.count = 2
    stale.price = "0.00"
    with writes() as found:
        stale.save()
    assert [columns(statement) for statement in found if statement.startswith("UPDATE")] == [{"count"}]
    assert row(crate, "label", "count") == ("newer", 2)
    assert [dict(diff.data) for diff in crate.diffs][1:] == [{"label": "newer"}, {"count": 2}]


def test_without_it_the_old_value_is_written_back_and_nothing_says_so(crate: Crate) -> None:
    with registered(Crate):
        stale = loaded(crate)
        crate.label = "newer"
        crate.save()
        stale.count = 2
        stale.save()
        assert row(crate, "label", "count") == ("a", 2)
        assert [dict(diff.data) for diff in crate.diffs][1:] == [{"label": "newer"}, {"count": 2}]


def test_a_save_of_nothing_new_looks_whether_the_row_is_there_and_writes_nothing(crate: Crate) -> None:
    cursor = crate.diffs.cursor
    with writes() as found:
        crate.save()
        loaded(crate).save()
    assert [statement[:8] for statement in found] == ["SELECT 1", 'SELECT "', "SELECT 1"]
    assert list(crate.diffs.since(cursor)) == []


@pytest.mark.parametrize("changes", [{}, {"count": 2}], ids=["unchanged", "changed"])
def test_a_row_that_is_gone_is_inserted_again_whole(crate: Crate, changes: dict[str, Any]) -> None:
    pk = crate.pk
    Crate.objects.filter(pk=pk).delete()
    vars(crate).update(changes)
    with transaction.atomic():
        crate.save()
        assert not transaction.get_rollback()
    expected = {"label": "a", "count": 1, "notes": {"a": [1]}, **changes}
    assert row(crate, *expected) == tuple(expected.values())
    assert (crate.diffs[-1].action, {name: crate.diffs[-1].data[name] for name in expected}) == ("create", expected)


@pytest.mark.parametrize("changes", [{}, {"count": 2}], ids=["unchanged", "changed"])
@pytest.mark.parametrize("options", [{"force_update": True}, {"update_fields": ["count"]}], ids=["forced", "named"])
def test_an_update_that_is_insisted_on_fails_where_the_row_is_gone(
    crate: Crate, changes: dict[str, Any], options: dict[str, Any]
) -> None:
    Crate.objects.filter(pk=crate.pk).delete()
    vars(crate).update(changes)
    kind = getattr(Crate, "NotUpdated", DatabaseError)
    with pytest.raises(kind, match="did not affect any rows"):
        crate.save(**options)
    assert not Crate.objects.exists()


def test_an_update_that_is_insisted_on_writes_what_changed(crate: Crate) -> None:
    crate.count = 2
    with writes() as found:
        crate.save(force_update=True)
        crate.save(force_update=True)
    assert [statement[:6] for statement in found if "FOR NO" not in statement and "shelf" not in statement[:30]] == [
        "UPDATE",
        "SELECT",
    ]
    assert crate.diffs[-1].data == {"count": 2}


def test_an_insert_that_is_insisted_on_is_one() -> None:
    crate = Crate(pk=7, label="a")
    crate.save(force_insert=True)
    assert (crate.diffs[0].action, row(crate, "label")) == ("create", ("a",))


def test_a_model_that_looks_for_its_row_first_does_so() -> None:
    careful = Careful.objects.create(text="a")
    careful.text = "b"
    with writes() as found:
        careful.save()
        careful.save()
    assert [statement[:6] for statement in found] == ["SELECT", "UPDATE", "SELECT"]
    Careful.objects.all().delete()
    careful.save()
    assert row(careful, "text") == ("b",)


def test_fields_that_set_themselves_are_written_and_told_at_each_save(still: str) -> None:
    stamped = Stamped.objects.create(text="a")
    with writes() as found:
        stamped.save()
    assert [columns(statement) for statement in found] == [{"touched", "saves", "kind"}]
    assert stamped.diffs[-1].data == {"touched": still, "saves": 1, "kind": "constant"}
    stamped.text = "b"
    stamped.save()
    assert stamped.diffs[-1].data == {"text": "b", "touched": still, "saves": 2, "kind": "constant"}
    assert row(stamped, "text", "saves", "kind") == ("b", 2, "constant")


def test_a_file_that_is_assigned_is_stored_and_written_even_by_the_same_name(
    crate: Crate, settings: Any, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = str(tmp_path)
    crate.photo = ContentFile("one", name="a.txt")
    crate.save()
    assert crate.diffs[-1].data == {"photo": "crates/a.txt"}
    stale = loaded(crate)
    Crate.objects.update(photo="crates/b.txt")
    with writes() as found:
        stale.save()
    assert [statement[:8] for statement in found] == ["SELECT 1"]
    stale.photo = ContentFile("two", name="crates/a.txt")
    stale.photo.name = "a.txt"
    stale.save()
    assert row(crate, "photo") == ("crates/a.txt",)
    assert crate.diffs[-1].data == {"photo": "crates/a.txt"}
    assert (tmp_path / "crates/a.txt").read_text() == "two"


def test_generated_fields_are_told_when_what_they_come_from_is_written() -> None:
    glass = Glass.objects.create(width=2, height=3)
    stale = loaded(glass)
    Glass.objects.update(height=10)
    stale.width = 4
    stale.save()
    assert glass.diffs[-1].data == {"width": 4, "area": 40}
    stale.label = "b"
    stale.save()
    assert glass.diffs[-1].data["label"] == "b"
    assert "width" not in glass.diffs[-1].data
    assert row(glass, "width", "height", "area", "label") == (4, 10, 40, "b")


def test_generated_fields_are_still_there_when_nothing_was_written() -> None:
    glass = loaded(Glass.objects.create(width=2, height=3))
    glass.save()
    assert (vars(glass)["area"], Glass.objects.count()) == (6, 1)


def test_deferred_fields_stay_out_and_of_the_others_what_changed_is_written(crate: Crate) -> None:
    partly = Crate.objects.defer("notes", "price").get(pk=crate.pk)
    Crate.objects.update(label="newer")
    partly.count = 5
    with writes() as found:
        partly.save()
    assert [columns(statement) for statement in found if statement.startswith("UPDATE")] == [{"count"}]
    assert row(crate, "label", "count") == ("newer", 5)
    assert partly.get_deferred_fields() == {"notes", "price"}
    with writes() as found:
        partly.save()
    assert [statement[:8] for statement in found] == ["SELECT 1"]
    Crate.objects.all().delete()
    with pytest.raises(getattr(Crate, "NotUpdated", DatabaseError)):
        partly.save()


def test_an_object_with_deferred_fields_writes_what_is_named(crate: Crate) -> None:
    partly = Crate.objects.only("label").get(pk=crate.pk)
    Crate.objects.update(label="newer")
    partly.save(update_fields=["label"])
    assert row(crate, "label") == ("a",)
    assert crate.diffs[-1].data == {"label": "a"}


def test_a_deferred_field_that_is_assigned_is_written(crate: Crate) -> None:
    partly = Crate.objects.only("label").get(pk=crate.pk)
    partly.count = 1
    partly.save()
    assert crate.diffs[-1].data == {"count": 1}


def test_named_fields_are_all_written_and_all_told(crate: Crate) -> None:
    stale = loaded(crate)
    Crate.objects.update(label="newer", count=9)
    stale.count = 2
    stale.save(update_fields=["count", "label"])
    assert row(crate, "label", "count") == ("a", 2)
    assert crate.diffs[-1].data == {"label": "a", "count": 2}


def test_an_expression_is_written_even_where_it_comes_to_what_was_known(crate: Crate) -> None:
    stale = loaded(crate)
    Crate.objects.update(count=5)
    stale.count = F("count") - 4
    stale.save()
    assert row(crate, "count") == (1,)
    assert crate.diffs[-1].data == {"count": 1}


def test_a_value_that_changed_within_is_written(crate: Crate) -> None:
    stale = loaded(crate)
    stale.notes["a"].append(2)
    stale.save()
    assert row(crate, "notes") == ({"a": [1, 2]},)
    assert crate.diffs[-1].data == {"notes": {"a": [1, 2]}}


def test_an_object_that_names_another_row_is_written_whole(crate: Crate) -> None:
    other = Crate.objects.create(label="b", count=2)
    taken = loaded(crate)
    taken.pk = other.pk
    taken.save()
    assert row(other, "label", "count", "notes") == ("a", 1, {"a": [1]})
    assert set(other.diffs[-1].data) == {"shelf", "label", "count", "price", "notes", "photo"}


def test_a_new_object_over_a_row_that_is_there_is_written_whole(crate: Crate) -> None:
    Crate(pk=crate.pk, label="b").save()
    assert row(crate, "label", "count") == ("b", 0)
    assert set(crate.diffs[-1].data) == {"shelf", "label", "count", "price", "notes", "photo"}


def test_an_object_that_is_declared_new_is_written_whole(crate: Crate) -> None:
    stale = loaded(crate)
    Crate.objects.update(label="newer")
    stale._state.adding = True
    stale.save()
    assert row(crate, "label") == ("a",)
    assert set(crate.diffs[-1].data) == {"shelf", "label", "count", "price", "notes", "photo"}


def test_what_a_receiver_writes_of_another_object_is_that_object_s_own_affair(crate: Crate) -> None:
    other = loaded(Crate.objects.create(label="b"))
    Crate.objects.update(label="newer")

    def receive(instance: Crate, **options: Any) -> None:
        if instance.pk == crate.pk:
            other.save_base(raw=True)

    crate.count = 2
    pre_save.connect(receive, sender=Crate)
    try:
        crate.save()
    finally:
        pre_save.disconnect(receive, sender=Crate)
    assert (row(crate, "label"), row(other, "label")) == (("newer",), ("b",))
    assert (crate.diffs[-1].data, other.diffs[-1].data["label"]) == ({"count": 2}, "b")


def test_an_object_that_is_saved_to_another_database_is_written_whole() -> None:
    with registered(Archive, narrow=True, databases=["default", "other"]):
        archive = Archive.objects.create(title="a")
        Archive.objects.using("other").create(pk=archive.pk, title="b")
        archive.save(using="other")
        assert Archive.objects.using("other").get().title == "a"
        archive.save(using="other")
        assert [diff.data for diff in archive.diffs] == [{"title": "a"}, {"title": "b"}, {"title": "a"}]


def test_on_a_database_that_isn_t_recorded_saves_are_django_s() -> None:
    with registered(Archive, narrow=True):
        archive = Archive.objects.using("other").create(title="a")
        stale = Archive.objects.using("other").get()
        Archive.objects.using("other").update(title="b")
        stale.save()
        assert Archive.objects.using("other").get().title == "a"
        assert list(archive.diffs) == []


def test_a_fixture_is_written_whole(crate: Crate) -> None:
    stale = loaded(crate)
    Crate.objects.update(label="newer")
    stale.save_base(raw=True)
    assert row(crate, "label") == ("a",)
    assert crate.diffs[-1].data["label"] == "a"
    assert len(crate.diffs[-1].data) == 6


def test_a_save_that_is_repeated_after_a_rollback_writes_again(crate: Crate) -> None:
    crate.count = 2
    with transaction.atomic():
        crate.save()
        transaction.set_rollback(True)
    assert row(crate, "count") == (1,)
    crate.save()
    assert row(crate, "count") == (2,)
    assert crate.diffs[-1].data == {"count": 2}


def test_receivers_see_no_named_fields(crate: Crate) -> None:
    seen: list[Any] = []

    def receive(signal: Any, update_fields: Any, **options: Any) -> None:
        seen.append((signal is post_save, update_fields, options.get("created")))

    crate.count = 2
    for signal in (pre_save, post_save):
        signal.connect(receive, sender=Crate)
    try:
        crate.save()
        crate.save()
    finally:
        for signal in (pre_save, post_save):
            signal.disconnect(receive, sender=Crate)
    assert seen == [(False, None, None), (True, None, False)] * 2


def test_a_receiver_that_saves_named_fields_of_the_same_object_writes_them(crate: Crate) -> None:
    stale = loaded(crate)
    Crate.objects.update(label="newer")

    def receive(instance: Crate, update_fields: Any, **options: Any) -> None:
        if update_fields is None:
            instance.save(update_fields=["label"])

    stale.count = 2
    pre_save.connect(receive, sender=Crate)
    try:
        with writes() as found:
            stale.save()
    finally:
        pre_save.disconnect(receive, sender=Crate)
    assert [columns(statement) for statement in found if statement.startswith("UPDATE")] == [{"label"}, {"count"}]
    assert [dict(diff.data) for diff in crate.diffs.latest(2)] == [{"label": "a"}, {"count": 2}]


def test_an_asynchronous_save_is_narrowed(crate: Crate) -> None:
    stale = loaded(crate)
    Crate.objects.update(label="newer")
    stale.count = 2
    async_to_sync(stale.asave)()
    assert row(crate, "label", "count") == ("newer", 2)
    assert crate.diffs[-1].data == {"count": 2}


def test_update_or_create_writes_and_tells_what_it_names(crate: Crate) -> None:
    Crate.objects.update_or_create(pk=crate.pk, defaults={"label": "a", "count": 2})
    # Django itself names the file, too, as it does with every field that has something to do before it is saved.
    assert crate.diffs[-1].data == {"label": "a", "count": 2, "photo": ""}


def test_a_related_manager_moves_objects_and_writes_nothing_else(crate: Crate) -> None:
    shelf = Shelf.objects.create(name="here")
    stale = loaded(crate)
    Crate.objects.update(label="newer")
    shelf.crates.add(stale, bulk=False)
    assert row(crate, "label", "shelf_id") == ("newer", shelf.pk)
    assert crate.diffs[-1].data == {"shelf": shelf.pk}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "b"}, [{"name"}]),
        ({"stars": 2}, [{"stars"}]),
        ({"name": "b", "stars": 2}, [{"name"}, {"stars"}]),
        ({}, []),
    ],
)
def test_each_table_of_an_object_is_narrowed(
    changes: dict[str, Any], expected: list[set[str]], recording: Recording
) -> None:
    with registered(Restaurant, narrow=True):
        restaurant = loaded(Restaurant.objects.create(name="a", stars=1))
        Place.objects.update(address="newer")
        recording.forget()
        vars(restaurant).update(changes)
        with writes() as found:
            restaurant.save()
        assert [columns(statement) for statement in found if statement.startswith("UPDATE")] == expected
        assert row(restaurant, "address") == ("newer",)
        feeds = {name(restaurant): [said("update", restaurant, **changes)]} if changes else {}
        if "name" in changes:
            feeds[f"testapp.place:{restaurant.pk}"] = [("update", "testapp.place", restaurant.pk, {"name": "b"})]
        assert recording.feeds() == feeds


def test_where_the_parent_alone_asks_for_it_the_child_s_own_table_is_written_whole() -> None:
    with registered(Place, narrow=True):
        restaurant = loaded(Restaurant.objects.create(name="a", stars=1))
        Restaurant.objects.update(address="newer", stars=5)
        restaurant.save()
        assert row(restaurant, "address", "stars") == ("newer", 1)


def test_a_row_of_a_parent_that_stayed_behind_is_given_its_child_again() -> None:
    with registered(Restaurant, narrow=True):
        restaurant = loaded(Restaurant.objects.create(name="a", stars=1))
        Restaurant.objects.get().delete(keep_parents=True)
        restaurant.save()
        assert row(restaurant, "name", "stars") == ("a", 1)


def test_a_hook_sees_what_was_written() -> None:
    with registered(Score, narrow=True):
        score = loaded(Score.objects.create(name="a", points=1))
        Score.objects.update(name="newer")
        score.points = 2
        score.save()
        assert score.diffs[-1].data["before"] == {"points": 1}
        score.save(update_fields=["name", "points"])
        assert score.diffs[-1].data["before"] == {"name": "a", "points": 2}


def test_a_models_own_detection_only_says_what_was_before() -> None:
    with registered(Note, narrow=True):
        note = loaded(Note.objects.create(text="a"))
        Note.objects.update(text="newer")
        note.save(update_fields=["text"])
        assert note.diffs[-1].data == {"text": "a"}
        note.text = "b"
        note.save()
        assert note.diffs[-1].data == {"text": "b"}


def test_what_isn_t_recorded_is_narrowed_all_the_same(crate: Crate) -> None:
    stale = loaded(crate)
    Crate.objects.update(label="newer")
    stale.count = 2
    with diffs.disabled():
        stale.save()
    assert row(crate, "label", "count") == ("newer", 2)


def test_the_diff_goes_to_the_parents_that_the_row_has_and_had() -> None:
    known, actual, new = (Shelf.objects.create(name=name) for name in ("known", "actual", "new"))
    crate = Crate.objects.create(shelf=known)
    cursors = [shelf.diffs.cursor for shelf in (known, actual, new)]
    stale = loaded(crate)
    moving = loaded(crate)
    moving.shelf = actual
    moving.save()
    stale.count = 2
    stale.save()
    stale.shelf = new
    stale.save()
    told = [
        [dict(diff.data) for diff in shelf.diffs.since(cursor)]
        for shelf, cursor in zip((known, actual, new), cursors, strict=True)
    ]
    assert told == [
        [{"shelf": actual.pk}],
        [{"shelf": actual.pk}, {"count": 2}, {"shelf": new.pk}],
        [{"shelf": new.pk}],
    ]


def test_a_parent_whose_column_is_in_the_table_of_the_parent_class_hears_of_the_child_s() -> None:
    known, actual, new = (Shelf.objects.create(name=name) for name in ("known", "actual", "new"))
    pallet = Pallet.objects.create(shelf=known)
    stale = loaded(pallet)
    Crate.objects.update(shelf=actual)
    cursors = [shelf.diffs.cursor for shelf in (known, actual, new)]
    stale.load = 2
    stale.save()
    stale.shelf = new
    stale.load = 3
    stale.save()
    told = [
        [(diff.model, dict(diff.data)) for diff in shelf.diffs.since(cursor)]
        for shelf, cursor in zip((known, actual, new), cursors, strict=True)
    ]
    moved = [("testapp.crate", {"shelf": new.pk}), ("testapp.pallet", {"shelf": new.pk, "load": 3})]
    assert told == [[], [("testapp.pallet", {"load": 2}), *moved], moved]


def test_what_was_read_of_a_parent_is_forgotten_when_the_transaction_is_rolled_back() -> None:
    here, there = (Shelf.objects.create(name=name) for name in ("here", "there"))
    crate = Crate.objects.create(shelf=here)
    stale = loaded(crate)
    with transaction.atomic():
        Crate.objects.update(shelf=there)
        stale.count = 2
        stale.save()
        transaction.set_rollback(True)
    stale.shelf = there
    stale.save()
    assert row(crate, "shelf_id", "count") == (there.pk, 2)
    assert (here.diffs[-1].data, there.diffs[-1].data) == ({"shelf": there.pk, "count": 2},) * 2


def test_django_has_what_it_calls_by_itself() -> None:
    """Both patched functions look to others as they did."""
    assert models.Model.save.alters_data is True  # type: ignore[attr-defined]
    assert django.VERSION < (6, 0) or "returning_fields" in models.Model._do_update.__wrapped__.__code__.co_varnames
