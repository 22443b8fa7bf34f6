"""P8: what a registered parent's table keeps back isn't shown by the models that inherit it."""

from __future__ import annotations

import pytest
from django.db import models

from diffs.registration import require
from diffs.testing import registered
from tests.testapp.models import Place, Restaurant

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def shown(model: type[models.Model]) -> set[str]:
    return {field.name for field in require(model).fields}


def test_p8_a_child_doesn_t_show_what_its_parent_excludes() -> None:
    with registered(Place, exclude=["name"]), registered(Restaurant):
        place = Restaurant.objects.create(name="secret")
        Restaurant.objects.filter(pk=place.pk).update(name="secret, too")
        assert "name" not in shown(Restaurant)
        assert all("name" not in diff.data for diff in Restaurant.diffs.for_object(place.pk))
        assert len(Restaurant.diffs.for_object(place.pk)) == 1


def test_a_child_that_names_the_field_itself_shows_it() -> None:
    with registered(Place, exclude=["name"]), registered(Restaurant, fields=["name"]):
        assert shown(Restaurant) == {"name"}


def test_a_child_shows_what_its_parent_shows() -> None:
    assert shown(Place) <= shown(Restaurant)
