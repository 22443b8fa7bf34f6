"""What deletions write elsewhere by a project's own functions, and what the database does without a word."""

from __future__ import annotations

import django
import pytest
from django.db import connection
from django.db.models.sql.subqueries import UpdateQuery

import diffs
from tests.testapp.models import Parcel, Shelf, Tag

from .case import Steps, case
from .recorded import Recording, name, said


def shelves(names: str) -> list[Shelf]:
    return [Shelf.objects.create(name=letter) for letter in names]


@case
def test_what_the_database_fills_in_is_recorded() -> Steps:
    (shelf,) = shelves("a")
    yield
    created = Parcel.objects.create(shelf=shelf)
    bulk = Parcel.objects.bulk_create([Parcel(shelf=shelf), Parcel(shelf=shelf, weight=3, label="x")])
    filled = {"reserve": None, "weight": 7, "label": "PARCEL"}
    made = [
        said("create", created, shelf=shelf.pk, **filled),
        said("create", bulk[0], shelf=shelf.pk, **filled),
        said("create", bulk[1], shelf=shelf.pk, reserve=None, weight=3, label="x"),
    ]
    return {name(each): [made[index]] for index, each in enumerate([created, *bulk])} | {name(shelf): made}


@case
def test_what_the_database_filled_in_is_known() -> Steps:
    (shelf,) = shelves("a")
    created = Parcel.objects.create(shelf=shelf)
    (bulk,) = Parcel.objects.bulk_create([Parcel(shelf=shelf)])
    yield
    created.save()
    bulk.save()
    created.weight = 8
    created.save()
    told = [said("update", created, weight=8)]
    return {name(created): told, name(shelf): told}


@case
def test_set_by_a_function_is_an_update() -> Steps:
    old, new = shelves("ab")
    parcels = [Parcel.objects.create(shelf=new) for _ in "ab"]
    feed, gone = name(new), said("delete", new)
    yield
    new.delete()
    moved = [said("update", parcel, shelf=old.pk) for parcel in parcels]
    return {name(parcel): [moved[index]] for index, parcel in enumerate(parcels)} | {
        name(old): moved,
        feed: [*moved, gone],
    }


@case
def test_a_projects_own_on_delete_that_looks_at_the_objects_is_an_update() -> Steps:
    old, new = shelves("ab")
    parcels = [Parcel.objects.create(shelf=old, reserve=new) for _ in "ab"]
    feed, gone = name(new), said("delete", new)
    yield
    new.delete()
    freed = [said("update", parcel, reserve=None) for parcel in parcels]
    return {name(parcel): [freed[index]] for index, parcel in enumerate(parcels)} | {name(old): freed, feed: [gone]}


@case
def test_a_deletion_of_several_writes_each_object_once() -> Steps:
    old, first, second = shelves("abc")
    parcel = Parcel.objects.create(shelf=old, reserve=first)
    feeds = {name(shelf): [said("delete", shelf)] for shelf in (first, second)}
    yield
    Shelf.objects.filter(pk__in=[first.pk, second.pk]).delete()
    freed = [said("update", parcel, reserve=None)]
    return feeds | {name(parcel): freed, name(old): freed}


@pytest.mark.database
@pytest.mark.skipif(django.VERSION < (6, 1), reason="Django 6.1 lets the database cascade.")
def test_what_the_database_deletes_is_only_seen_when_it_is_said(recording: Recording) -> None:
    from tests.testapp.models.extra import Leaf

    (shelf,) = shelves("a")
    leaf = Leaf.objects.create(shelf=shelf)
    feeds = {name(shelf): [said("delete", shelf)]}
    recording.forget()
    shelf.delete()
    assert not Leaf.objects.exists()
    assert (recording.feeds(), recording.floors()) == (feeds, set())
    diffs.touch(Leaf)
    assert recording.floors() == {"testapp.leaf:*"}
    assert leaf.pk


@pytest.mark.database
def test_a_batch_of_a_model_that_isnt_registered_is_djangos_own(recording: Recording) -> None:
    tag = Tag.objects.create(name="a")
    UpdateQuery(Tag).update_batch([tag.pk], {"name": "b"}, "default")
    tag.refresh_from_db()
    assert (tag.name, recording.feeds()) == ("b", {})


@pytest.mark.database
def test_raw_sql_is_only_seen_when_it_is_said(recording: Recording) -> None:
    (shelf,) = shelves("a")
    recording.forget()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_shelf SET name = 'x'")
    Shelf.objects.filter(pk=shelf.pk)._raw_delete("default")
    assert (recording.feeds(), recording.floors()) == ({}, set())
