"""How many queries capture adds to an operation: a fixed number, whatever the number of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import django
import pytest
from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Upper
from django.test.utils import CaptureQueriesContext

from tests.testapp.models import (
    Author,
    Book,
    Choice,
    Crate,
    Group,
    Membership,
    Person,
    Question,
    Rectangle,
    Restaurant,
    Score,
    Shelf,
    Stamped,
    Tag,
    Ticker,
)

from .plain import nothing_registered

ON_SQLITE = connection.vendor == "sqlite"


class Added(NamedTuple):
    """An operation, and the queries that capture adds to it in a transaction."""

    operation: str
    prepare: Callable[[int], Any]
    """Makes what it works on, for this number of rows."""
    work: Callable[[Any], Any]
    added: int
    on_sqlite: int = 0
    """How many more it are there: writes of no row, which take the lock."""
    sizes: tuple[int, ...] = (1,)
    before_django_6: int = 0
    """How many more it are where Django doesn't read back itself."""


def author(rows: int) -> Author:
    return Author.objects.create(name="Ada")


def authors(rows: int) -> list[Author]:
    return Author.objects.bulk_create([Author(name=str(number)) for number in range(rows)])


def ticker(rows: int) -> Ticker:
    return Ticker.objects.create(symbol="ABC")


def tickers(rows: int) -> list[Ticker]:
    return Ticker.objects.bulk_create([Ticker(symbol="ABC") for _ in range(rows)])


def books(rows: int) -> list[Book]:
    writer, editor = author(1), author(1)
    return Book.objects.bulk_create([Book(title="a", author=writer, editor=editor) for _ in range(rows)])


def question(rows: int) -> Question:
    return Question.objects.create(text="Why?")


def choice(rows: int) -> Choice:
    return Choice.objects.create(question=question(1), text="a")


def choices(rows: int) -> list[Choice]:
    return Choice.objects.bulk_create([Choice(question=question(1), text="a") for _ in range(rows)])


def crate(rows: int) -> Crate:
    return Crate.objects.create(shelf=Shelf.objects.create(name="a"), label="a")


def tagged(rows: int) -> tuple[Question, list[Tag]]:
    asked = question(1)
    tags = Tag.objects.bulk_create([Tag(name=str(number)) for number in range(rows)])
    asked.tags.set(tags)
    return asked, Tag.objects.bulk_create([Tag(name=str(number)) for number in range(rows)])


def restaurant(rows: int) -> Restaurant:
    return Restaurant.objects.create(name="Ada's")


def change(instance: Any, **values: Any) -> None:
    for attribute, value in values.items():
        setattr(instance, attribute, value)
    instance.save()


def change_all(instances: list[Any], field: str, value: Any) -> None:
    for instance in instances:
        setattr(instance, field, value)
    type(instances[0]).objects.bulk_update(instances, [field])


def upsert(rows: list[Any], **options: Any) -> None:
    model = type(rows[0])
    again = [model(pk=row.pk, **{option: getattr(row, option) for option in options["update_fields"]}) for row in rows]
    model.objects.bulk_create(again, update_conflicts=True, unique_fields=["id"], **options)


def membership(rows: int) -> Membership:
    return Membership.objects.create(group=Group.objects.create(name="a"), person=Person.objects.create(name="b"))


MANY = (1, 40)

TABLE = [
    Added("create()", author, lambda _: Author.objects.create(name="Bob"), 0),
    Added("create() of a child", question, lambda parent: Choice.objects.create(question=parent, text="a"), 0),
    Added(
        "create() by an expression",
        author,
        lambda _: Author.objects.create(name=Upper(Value("bob"))),
        0,
        before_django_6=1,
    ),
    Added("save() of nothing new", author, lambda row: row.save(), 0),
    Added("save()", question, lambda row: change(row, votes=1, meta={"a": 1}), 0),
    Added("save() of a child", choice, lambda row: change(row, votes=1), 0),
    Added(
        "save() of another parent",
        lambda n: (choice(n), question(n)),
        lambda rows: change(rows[0], question=rows[1]),
        0,
    ),
    Added("save() of a multi-table child", restaurant, lambda row: change(row, name="Bob's", stars=1), 0),
    Added("save() by an expression", question, lambda row: change(row, votes=F("votes") + 1), 0, before_django_6=1),
    Added(
        "save() of a child whose parent was deferred",
        lambda n: Choice.objects.only("votes").get(pk=choice(n).pk),
        lambda row: change(row, votes=1),
        1,
    ),
    Added(
        "save() with a generated field",
        lambda n: Rectangle.objects.create(width=1, height=2),
        lambda row: change(row, width=3),
        1,
    ),
    Added("save() with a hook", lambda n: Score.objects.create(name="a"), lambda row: change(row, points=1), 0),
    Added("save() with narrow=True", lambda n: Stamped.objects.create(text="a"), lambda row: change(row, text="b"), 0),
    Added("save() of nothing new with narrow=True", crate, lambda row: row.save(), 0),
    Added("save() of a child with narrow=True", crate, lambda row: change(row, label="b"), 1, 1),
    Added("get() and refresh_from_db()", author, lambda row: Author.objects.get(pk=row.pk).refresh_from_db(), 0),
    Added("delete()", ticker, lambda row: row.delete(), 0, 1),
    Added("delete() of a child", choice, lambda row: row.delete(), 1, 2),
    Added("QuerySet.delete()", tickers, lambda _: Ticker.objects.all().delete(), 1, 1, MANY),
    Added("delete() with SET_NULL", books, lambda rows: rows[0].author.delete(), 1, 2, MANY),
    Added("QuerySet.delete() of children", choices, lambda _: Choice.objects.all().delete(), 2, 2, MANY),
    Added("update()", authors, lambda _: Author.objects.update(name="x"), 1, 1, MANY),
    Added("update() of children", choices, lambda _: Choice.objects.update(votes=3), 1, 1, MANY),
    Added("update() of nothing new", authors, lambda _: Author.objects.update(name="0"), 1, 1),
    Added("update() of no row", author, lambda _: Author.objects.filter(pk=0).update(name="x"), 0, 1),
    Added(
        "update() of another parent",
        choices,
        lambda rows: Choice.objects.update(question=rows[0].question_id),
        1,
        1,
        MANY,
    ),
    Added("update() by an expression", choices, lambda _: Choice.objects.update(votes=F("votes") + 1), 2, 1, MANY),
    Added(
        "update() with a hook",
        lambda n: [Score.objects.create(name="a") for _ in range(n)],
        lambda _: Score.objects.update(points=5),
        1,
        1,
        MANY,
    ),
    Added("bulk_create()", author, lambda _: Author.objects.bulk_create([Author(name="x")]), 0),
    Added(
        "bulk_create() of many",
        question,
        lambda row: Choice.objects.bulk_create([Choice(question=row, text="a") for _ in range(40)]),
        0,
    ),
    Added(
        "bulk_create() by expressions",
        author,
        lambda _: Author.objects.bulk_create([Author(name=Upper(Value("x"))) for _ in range(9)]),
        1,
    ),
    Added("bulk_create(update_conflicts=True)", authors, lambda rows: upsert(rows, update_fields=["name"]), 1, 0, MANY),
    Added(
        "bulk_create(update_conflicts=True) of another parent",
        choices,
        lambda rows: upsert(rows, update_fields=["question"]),
        2,
        1,
        MANY,
    ),
    Added(
        "bulk_create(ignore_conflicts=True)",
        authors,
        lambda rows: Author.objects.bulk_create(
            [Author(pk=row.pk + 100, name="x") for row in rows], ignore_conflicts=True
        ),
        2,
        1,
        MANY,
    ),
    Added("bulk_update()", authors, lambda rows: change_all(rows, "name", "x"), 0, 0, MANY),
    Added("bulk_update() of children", choices, lambda rows: change_all(rows, "votes", 7), 0, 0, MANY),
    Added("bulk_update() by expressions", choices, lambda rows: change_all(rows, "votes", F("votes") + 1), 1, 0, MANY),
    Added(
        "bulk_update() of children whose parent isn't known",
        choices,
        lambda rows: change_all([Choice(pk=row.pk) for row in rows], "votes", 7),
        1,
        1,
        MANY,
    ),
    Added("many-to-many add()", tagged, lambda given: given[0].tags.add(*given[1]), 3, 1, MANY),
    Added("many-to-many remove()", tagged, lambda given: given[0].tags.remove(*given[0].tags.all()), 4, 1, MANY),
    Added("many-to-many set()", tagged, lambda given: given[0].tags.set(given[1]), 7, 2, MANY),
    Added("many-to-many clear()", tagged, lambda given: given[0].tags.clear(), 4, 1, MANY),
    Added(
        "add() from the other side",
        lambda n: (tagged(n), Question.objects.all()),
        lambda given: given[0][1][0].questions.add(*given[1]),
        3,
        1,
    ),
    Added(
        "create() of a through row",
        membership,
        lambda row: Membership.objects.create(group=row.group, person=row.person),
        3,
        1,
    ),
    Added("delete() of targets", tagged, lambda _: Tag.objects.all().delete(), 4, 1, MANY),
]


def queries(row: Added, size: int) -> list[str]:
    """The queries of an operation in a transaction."""
    with transaction.atomic():
        given = row.prepare(size)
        with CaptureQueriesContext(connection) as captured:
            row.work(given)
        transaction.set_rollback(True)
    return [query["sql"] for query in captured.captured_queries]


@pytest.mark.database
@pytest.mark.parametrize("row", TABLE, ids=[row.operation for row in TABLE])
def test_capture_adds_a_fixed_number_of_queries(db: None, row: Added) -> None:
    for size in row.sizes:
        recorded = queries(row, size)
        with nothing_registered():
            plain = queries(row, size)
        added = row.added + row.on_sqlite * ON_SQLITE + row.before_django_6 * (django.VERSION < (6, 0))
        assert len(recorded) - len(plain) == added, "\n".join([*recorded, "", *plain])
