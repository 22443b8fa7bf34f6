"""What Django refuses, and what the database does, is the same error as without capture, and does no more harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import Error, connection, transaction
from django.db.models import Count, F, Sum, Value
from django.db.transaction import TransactionManagementError

from tests.testapp.models import Author, Bar, Book, Choice, Currency, Group, Membership, Question, Restaurant, Seat, Tag

from .plain import nothing_registered
from .recorded import Recording

CURRENCIES = {"EUR": "Euro", "DKK": "Krone"}


def prepare() -> None:
    for pk, (code, name) in enumerate(CURRENCIES.items()):
        Currency.objects.create(pk=pk, code=code, name=name)
    question = Question.objects.create(pk=1, text="Why?")
    Choice.objects.create(pk=1, question=question, text="a")
    Tag.objects.create(pk=1, name="a")
    Group.objects.create(pk=1, name="a")
    Author.objects.create(pk=1, name="Ada")


def euro() -> Currency:
    return Currency.objects.get(code="EUR")


def changed(instance: Any, **values: Any) -> Any:
    for attribute, value in values.items():
        setattr(instance, attribute, value)
    return instance


CASES: dict[str, Callable[[], Any]] = {
    "create of a duplicate": lambda: Currency.objects.create(pk=9, code="EUR", name="again"),
    "save of a duplicate": lambda: changed(euro(), code="DKK").save(),
    "save of nothing where something must be": lambda: changed(euro(), name=None).save(),
    "save of a wrong type": lambda: changed(Question.objects.get(), votes="many").save(),
    "save of a number that doesn't fit": lambda: changed(Question.objects.get(), votes=2**70).save(),
    "save of a wrong date": lambda: changed(Question.objects.get(), pub_date="yesterday").save(),
    "save of what JSON doesn't know": lambda: changed(Question.objects.get(), meta={"a": object()}).save(),
    "save of an expression that joins": lambda: changed(Choice.objects.get(), votes=F("question__votes")).save(),
    "save of an unknown column": lambda: changed(Question.objects.get(), votes=F("nothing")).save(),
    "save of an unknown field": lambda: euro().save(update_fields=["nothing"]),
    "save of a deferred unknown": lambda: Currency.objects.only("nothing").get(pk=0).save(),
    "save that must do both": lambda: euro().save(force_insert=True, force_update=True),
    "save that must insert": lambda: euro().save(force_insert=True),
    "save that must update nothing": lambda: Currency(pk=99, code="x").save(force_update=True),
    "save of fields of nothing": lambda: Currency(pk=99, code="x").save(update_fields=["code"]),
    "save of fields without a key": lambda: Currency(code="x").save(update_fields=["code"]),
    "save with an unsaved parent": lambda: Choice(question=Question(text="?"), text="a").save(),
    "save with half a composite key": lambda: Seat(row=1).save(force_update=True),
    "a positional argument": lambda: euro().save(1, 2, 3, 4, 5),
    "get_or_create of a duplicate": lambda: Currency.objects.get_or_create(name="x", defaults={"pk": 9, "code": "EUR"}),
    "update_or_create of two": lambda: Currency.objects.update_or_create({"name": "x"}, code__in=["EUR", "DKK"]),
    "update to a duplicate": lambda: Currency.objects.filter(code="EUR").update(code="DKK"),
    "update to nothing where something must be": lambda: Currency.objects.update(name=None),
    "update of a wrong type": lambda: Question.objects.update(votes="many"),
    "update of an unknown field": lambda: Currency.objects.update(nothing=1),
    "update of an unknown and a known field": lambda: Currency.objects.update(name="x", nothing=1),
    "update of the key's alias": lambda: Currency.objects.update(pk=3),
    "update of a composite key's alias": lambda: Seat.objects.update(pk=(1, "A")),
    "update of a many-to-many field": lambda: Question.objects.update(tags=[1]),
    "update of a reverse relation": lambda: Question.objects.update(choices=1),
    "update of a foreign field": lambda: Choice.objects.update(question__text="a"),
    "update of a generic relation": lambda: Membership.objects.update(joined="never"),
    "update by a join": lambda: Choice.objects.update(votes=F("question__votes")),
    "update by an aggregate": lambda: Question.objects.update(votes=Sum("choices__votes")),
    "update by an annotated aggregate": lambda: Question.objects.annotate(n=Count("choices")).update(votes=F("n")),
    "update by an unknown column": lambda: Question.objects.update(votes=F("nothing")),
    "update by an object of another model": lambda: Choice.objects.update(question=Tag.objects.get()),
    "update by an unsaved object": lambda: Choice.objects.update(question=Question(text="?")),
    "update of a slice": lambda: Currency.objects.all()[:1].update(name="x"),
    "update of an empty slice": lambda: Currency.objects.all()[1:1].update(name="x"),
    "update of a union": lambda: Currency.objects.all().union(Currency.objects.all()).update(name="x"),
    "update of distinct columns": lambda: Currency.objects.distinct("name").update(name="x"),
    "update with an impossible condition": lambda: Question.objects.filter(votes="many").update(votes=1),
    "update with an unknown condition": lambda: Question.objects.filter(nothing=1).update(votes=1),
    "update of raw rows": lambda: Currency.objects.raw("SELECT 1").update(name="x"),
    "update by position": lambda: Currency.objects.all().update("name"),
    "update of nothing": lambda: Currency.objects.update(),
    "update of no row": lambda: Currency.objects.none().update(name=None),
    "update of an unordered union's unknown field": lambda: Currency.objects.none().update(nothing=None),
    "update that divides by zero": lambda: Question.objects.update(votes=F("votes") / Value(0)),
    "bulk_create of a duplicate": lambda: Currency.objects.bulk_create(
        [Currency(pk=8, code="x"), Currency(pk=9, code="EUR")]
    ),
    "bulk_create with an impossible batch": lambda: Currency.objects.bulk_create([Currency(code="x")], batch_size=-1),
    "bulk_create of a multi-table child": lambda: Restaurant.objects.bulk_create([Restaurant(name="a")]),
    "bulk_create of a child of an unregistered parent": lambda: Bar.objects.bulk_create([Bar(name="a")]),
    "bulk_create with an unsaved parent": lambda: Choice.objects.bulk_create([Choice(question=Question(text="?"))]),
    "bulk_create of what isn't a model": lambda: Currency.objects.bulk_create([1]),
    "bulk_create of what isn't iterable": lambda: Currency.objects.bulk_create(1),
    "bulk_create of another model": lambda: Currency.objects.bulk_create([Tag(name="a")]),
    "bulk_create of a wrong type": lambda: Question.objects.bulk_create([Question(text="a", votes="many")]),
    "bulk_create that ignores and updates": lambda: Currency.objects.bulk_create(
        [Currency(code="x")], ignore_conflicts=True, update_conflicts=True
    ),
    "bulk_create that updates nothing": lambda: Currency.objects.bulk_create(
        [Currency(code="x")], update_conflicts=True, unique_fields=["code"]
    ),
    "bulk_create that updates by nothing": lambda: Currency.objects.bulk_create(
        [Currency(code="x")], update_conflicts=True, update_fields=["name"]
    ),
    "bulk_create that updates by what isn't unique": lambda: Currency.objects.bulk_create(
        [Currency(code="x")], update_conflicts=True, update_fields=["code"], unique_fields=["name"]
    ),
    "bulk_create that updates an unknown field": lambda: Currency.objects.bulk_create(
        [Currency(code="x")], update_conflicts=True, update_fields=["nothing"], unique_fields=["code"]
    ),
    "bulk_create that updates by an unknown field": lambda: Currency.objects.bulk_create(
        [Currency(code="x")], update_conflicts=True, update_fields=["name"], unique_fields=["nothing"]
    ),
    "bulk_create that updates the key": lambda: Currency.objects.bulk_create(
        [Currency(code="x")], update_conflicts=True, update_fields=["id"], unique_fields=["code"]
    ),
    "bulk_create that updates the parent by an unknown field": lambda: Choice.objects.bulk_create(
        [Choice(pk=1, question_id=1)], update_conflicts=True, update_fields=["question"], unique_fields=["nothing"]
    ),
    "bulk_create that updates a wrong type by a wrong type": lambda: Choice.objects.bulk_create(
        [Choice(pk="x", question_id=1)], update_conflicts=True, update_fields=["question"], unique_fields=["id"]
    ),
    "bulk_create that ignores conflicts of a wrong type": lambda: Currency.objects.bulk_create(
        [Currency(pk="x", code="x")], ignore_conflicts=True
    ),
    "bulk_update to a duplicate": lambda: Currency.objects.bulk_update([changed(euro(), code="DKK")], ["code"]),
    "bulk_update of no field": lambda: Currency.objects.bulk_update([euro()], []),
    "bulk_update of an unknown field": lambda: Currency.objects.bulk_update([euro()], ["nothing"]),
    "bulk_update of the key": lambda: Currency.objects.bulk_update([euro()], ["id"]),
    "bulk_update of a many-to-many field": lambda: Question.objects.bulk_update([Question.objects.get()], ["tags"]),
    "bulk_update of a reverse relation": lambda: Question.objects.bulk_update([Question.objects.get()], ["choices"]),
    "bulk_update of what was never saved": lambda: Currency.objects.bulk_update([Currency(code="x")], ["code"]),
    "bulk_update with an impossible batch": lambda: Currency.objects.bulk_update([euro()], ["code"], batch_size=-1),
    "bulk_update of what isn't a model": lambda: Currency.objects.bulk_update([1], ["code"]),
    "bulk_update of what isn't iterable": lambda: Currency.objects.bulk_update(1, ["code"]),
    "bulk_update of a wrong type": lambda: Question.objects.bulk_update([Question(pk=1, votes="many")], ["votes"]),
    "bulk_update of a wrong key": lambda: Choice.objects.bulk_update([Choice(pk="x", votes=1)], ["votes"]),
    "bulk_update with an unsaved parent": lambda: Choice.objects.bulk_update(
        [changed(Choice.objects.get(), question=Question(text="?"))], ["question"]
    ),
    "delete of what was never saved": lambda: Currency(code="x").delete(),
    "delete of a slice": lambda: Currency.objects.all()[:1].delete(),
    "delete of a union": lambda: Currency.objects.all().union(Currency.objects.all()).delete(),
    "delete of distinct rows": lambda: Currency.objects.distinct().delete(),
    "delete of values": lambda: Currency.objects.values("code").delete(),
    "add of another model": lambda: Question.objects.get().tags.add(Author.objects.get()),
    "add of an unsaved object": lambda: Question.objects.get().tags.add(Tag(name="b")),
    "add of a wrong key": lambda: Question.objects.get().tags.add("x"),
    "add to an unsaved object": lambda: Question(text="?").tags.add(1),
    "set of what isn't iterable": lambda: Question.objects.get().tags.set(1),
    "remove of a wrong key": lambda: Question.objects.get().tags.remove("x"),
    "a through row without an owner": lambda: Membership.objects.create(pk=9, person_id=1),
    "through rows to nothing": lambda: Membership.objects.update(group=None),
    "add to a reverse relation of an unsaved object": lambda: Author.objects.get().books.add(Book(title="a")),
    "add to a reverse relation of another model": lambda: Author.objects.get().books.add(Tag.objects.get()),
}


def error_of(work: Callable[[], Any]) -> Any:
    """What a call raises, or what it returns."""
    try:
        return work()
    except Exception as error:
        return type(error), str(error)


def still_usable() -> Any:
    """What the next query of the transaction gives."""
    try:
        return Currency.objects.count()
    except (Error, TransactionManagementError) as error:
        return type(error), str(error)


def in_transaction(work: Callable[[], Any]) -> tuple[Any, Any]:
    """The error of a call, and what the transaction is good for after it."""
    with transaction.atomic():
        prepare()
        outcome = error_of(work)
        after = still_usable()
        transaction.set_rollback(True)
    return outcome, after


def in_savepoint(work: Callable[[], Any]) -> tuple[Any, Any]:
    def inner() -> Any:
        with transaction.atomic():
            return work()

    return in_transaction(inner)


@pytest.mark.database
@pytest.mark.parametrize("way", [in_transaction, in_savepoint])
@pytest.mark.parametrize("work", CASES.values(), ids=CASES)
def test_an_error_is_djangos_own(db: None, work: Callable[[], Any], way: Callable[[Any], tuple[Any, Any]]) -> None:
    outcome, after = way(work)
    with nothing_registered():
        plain, after_plain = way(work)
    assert outcome == plain
    # Where capture reads first, it may be spared what Django's own atomic block does to the transaction.
    assert after in (after_plain, len(CURRENCIES))


@pytest.mark.database
@pytest.mark.parametrize(
    "work",
    [CASES[name] for name in CASES if "duplicate" in name or "wrong" in name],
    ids=[name for name in CASES if "duplicate" in name or "wrong" in name],
)
def test_p5_an_error_in_autocommit_leaves_neither_rows_nor_diffs(recording: Recording, work: Callable[[], Any]) -> None:
    prepare()
    recording.forget()
    before = list(Currency.objects.values_list())
    recorded = error_of(work)
    assert list(Currency.objects.values_list()) == before
    assert connection.get_autocommit() and not connection.in_atomic_block
    assert (recording.feeds(), recording.floors()) == ({}, set())
    with nothing_registered():
        assert recorded == error_of(work)
