"""What ``QuerySet.update()`` records."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Concat

from tests.testapp.models import (
    Airport,
    Author,
    Book,
    Choice,
    Currency,
    Flight,
    Place,
    Question,
    Rate,
    Rectangle,
    Seat,
    Tag,
    TaggedItem,
    Ticker,
    Topic,
)

from .case import Steps, case
from .recorded import Recording, name, said


def questions(*votes: int) -> list[Question]:
    return [Question.objects.create(text=f"Question {number}", votes=number) for number in votes]


@case
def test_an_update_tells_of_each_row() -> Steps:
    first, second = questions(1, 2)
    yield
    assert Question.objects.update(votes=7) == 2
    return {
        name(first): [said("update", first, votes=7)],
        name(second): [said("update", second, votes=7)],
    }


@case
def test_an_update_has_what_it_changes_in_each_row() -> Steps:
    first, second, third = questions(1, 2, 2)
    yield
    assert Question.objects.update(votes=2, text="Question 2") == 3
    return {name(first): [said("update", first, text="Question 2", votes=2)]}


@case
def test_an_update_tells_of_its_rows_alone() -> Steps:
    first, second = questions(1, 2)
    yield
    assert Question.objects.filter(votes=2).exclude(text="").update(text="!") == 1
    return {name(second): [said("update", second, text="!")]}


@case
def test_an_update_of_no_row_records_nothing() -> Steps:
    questions(1)
    yield
    assert Question.objects.filter(votes=5).update(votes=7) == 0
    assert Question.objects.none().update(votes=7) == 0
    return {}


@case
def test_an_update_by_expressions_has_what_the_database_computed() -> Steps:
    first, second = questions(1, 2)
    yield
    Question.objects.update(votes=F("votes") * 10, text=Concat("text", Value("!")))
    return {
        name(first): [said("update", first, text="Question 1!", votes=10)],
        name(second): [said("update", second, text="Question 2!", votes=20)],
    }


@case
def test_an_update_that_moves_rows_out_of_its_own_condition_tells_of_all() -> Steps:
    first, second = questions(1, 2)
    yield
    Question.objects.filter(votes__lt=3).update(votes=F("votes") + 5)
    return {name(first): [said("update", first, votes=6)], name(second): [said("update", second, votes=7)]}


@case
def test_an_update_tells_the_parents() -> Steps:
    first, second = questions(1, 2)
    one, other = (Choice.objects.create(question=question, text="a") for question in (first, second))
    yield
    Choice.objects.update(votes=3)
    voted = [[said("update", choice, votes=3)] for choice in (one, other)]
    return {name(one): voted[0], name(first): voted[0], name(other): voted[1], name(second): voted[1]}


@case
def test_an_update_of_the_parent_tells_the_old_and_the_new_one() -> Steps:
    old, new = questions(1, 2)
    one, other = (Choice.objects.create(question=question, text="a") for question in (old, new))
    yield
    Choice.objects.update(question=new)
    moved = [said("update", one, question=new.pk)]
    return {name(one): moved, name(old): moved, name(new): moved}


@case
def test_an_update_of_the_parent_by_its_key_or_an_expression_is_one_too() -> Steps:
    old, new = questions(1, 2)
    choice = Choice.objects.create(question=old, text="a")
    yield
    Choice.objects.update(question_id=new.pk)
    Choice.objects.update(question=Subquery(Question.objects.filter(votes=1).values("pk")))
    there, back = said("update", choice, question=new.pk), said("update", choice, question=old.pk)
    return {name(choice): [there, back], name(old): [there, back], name(new): [there, back]}


@case
def test_an_update_through_a_foreign_key_to_another_field() -> Steps:
    euro, krone = Currency.objects.create(code="EUR", name="Euro"), Currency.objects.create(code="DKK", name="Krone")
    rate = Rate.objects.create(currency=euro, value=1)
    yield
    Rate.objects.update(currency=krone)
    moved = [said("update", rate, currency="DKK")]
    return {name(rate): moved, name(euro): moved, name(krone): moved}


@case
def test_an_update_enters_the_model_feed() -> Steps:
    airport = Airport.objects.create(code="JFK", city="New York")
    yield
    Airport.objects.update(city="NYC")
    changed = [said("update", airport, city="NYC")]
    return {name(airport): changed, "testapp.airport": changed}


@case
def test_generated_fields_are_read_back() -> Steps:
    rectangle = Rectangle.objects.create(width=2, height=3)
    yield
    Rectangle.objects.update(width=4)
    return {name(rectangle): [said("update", rectangle, width=4, area=12)]}


@case
def test_composite_keys() -> Steps:
    seats = [Seat.objects.create(row=row, letter=letter) for row, letter in ((1, "A"), (1, "B"), (2, "A"))]
    yield
    assert Seat.objects.filter(row=1).update(passenger="Ada") == 2
    return {name(seat): [said("update", seat, passenger="Ada")] for seat in seats[:2]}


@case
def test_related_managers_update_too() -> Steps:
    first, second = questions(1, 2)
    one, other = (Choice.objects.create(question=question, text="a") for question in (first, second))
    yield
    first.choices.update(votes=4)
    second.choices.filter(votes=0).update(votes=5)
    voted = [[said("update", choice, votes=votes)] for choice, votes in ((one, 4), (other, 5))]
    return {name(one): voted[0], name(first): voted[0], name(other): voted[1], name(second): voted[1]}


@case
def test_a_reverse_foreign_keys_manager_writes_by_update() -> Steps:
    ada, bob = Author.objects.create(name="Ada"), Author.objects.create(name="Bob")
    one, other = (Book.objects.create(title=title, author=None, editor=bob) for title in "ab")
    yield
    ada.books.add(one, other)
    ada.books.remove(one)
    bob.books.set([one])
    bob.books.clear()
    added = [said("update", book, author=ada.pk) for book in (one, other)]
    removed, got, lost = (said("update", one, author=pk) for pk in (None, bob.pk, None))
    return {
        name(one): [added[0], removed, got, lost],
        name(other): [added[1]],
        name(ada): [*added, removed],
        name(bob): [got, lost],
    }


@case
def test_a_generic_relations_manager_writes_by_update() -> Steps:
    first, second = Topic.objects.create(name="first"), Topic.objects.create(name="second")
    item = TaggedItem.objects.create(label="a", target=first)
    yield
    second.items.add(item)
    second.items.clear()
    moved = said("update", item, object_id=second.pk)
    # The hook names the parent that the row has; what was there before, it can't know.
    return {name(item): [moved, said("delete", item)], name(second): [moved, said("delete", item)]}


@pytest.mark.database
@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(lambda: Question.objects.filter(choices__votes=1), id="a join"),
        pytest.param(lambda: Question.objects.filter(Q(choices__votes=1) | Q(votes=99)), id="an outer join"),
        pytest.param(lambda: Question.objects.filter(choices__votes=1).distinct(), id="distinct"),
        pytest.param(lambda: Question.objects.annotate(n=Count("choices")).filter(n=2), id="a group"),
        pytest.param(lambda: Question.objects.annotate(n=Sum("choices__votes")).filter(n__gt=1), id="a sum"),
        pytest.param(lambda: Question.objects.alias(n=F("votes") + 1).filter(n=2), id="an alias"),
        pytest.param(lambda: Question.objects.annotate(n=F("votes") + 1).filter(n=2).values("n"), id="values"),
        pytest.param(lambda: Question.objects.filter(votes=1).values_list("pk", flat=True), id="a values list"),
        pytest.param(lambda: Question.objects.filter(votes=1).only("text"), id="only"),
        pytest.param(lambda: Question.objects.filter(votes=1).defer("votes"), id="defer"),
        pytest.param(lambda: Question.objects.filter(votes=1).order_by("-text"), id="an order"),
        pytest.param(lambda: Question.objects.filter(tags__name="x").order_by("tags__name"), id="an order of a join"),
        pytest.param(lambda: Question.objects.filter(votes=1).prefetch_related("choices"), id="prefetched"),
        pytest.param(lambda: Question.objects.filter(votes=1).select_for_update(), id="locked"),
        pytest.param(lambda: Question.objects.filter(votes=1).dates("updated", "year"), id="dates"),
        pytest.param(lambda: Question.objects.filter(pk__in=Question.objects.filter(votes=1)), id="a subquery"),
        pytest.param(
            lambda: Question.objects.filter(Exists(Choice.objects.filter(question=OuterRef("pk")))), id="exists"
        ),
        pytest.param(lambda: Question.objects.extra(where=["testapp_question.votes = 1"]), id="extra"),
        pytest.param(lambda: Tag.objects.get().questions.filter(votes__gte=0), id="a many-to-many manager"),
    ],
)
def test_any_queryset_that_can_be_updated_is_recorded(recording: Recording, rows: object) -> None:
    hit, missed = questions(1, 2)
    for votes in (1, 1):
        Choice.objects.create(question=hit, text="a", votes=votes)
    hit.tags.add(Tag.objects.create(name="x"))
    queryset = rows()  # type: ignore[operator]
    recording.forget()
    assert queryset.update(text="!") == 1
    assert recording.feeds() == {name(hit): [said("update", hit, text="!")]}
    missed.refresh_from_db()
    assert missed.text == "Question 2"


@case
def test_select_related_rows_are_updated_without_their_relations() -> Steps:
    (question,) = questions(1)
    choice = Choice.objects.create(question=question, text="a")
    yield
    Choice.objects.select_related("question").filter(question__votes=1).update(text="b")
    changed = [said("update", choice, text="b")]
    return {name(choice): changed, name(question): changed}


@case
def test_an_annotation_may_be_what_is_written() -> Steps:
    (question,) = questions(1)
    yield
    Question.objects.annotate(more=F("votes") + 10).update(votes=F("more"))
    return {name(question): [said("update", question, votes=11)]}


@case
def test_a_subquery_may_be_what_is_written() -> Steps:
    first, second = questions(1, 2)
    for votes in (3, 4):
        Choice.objects.create(question=second, text="a", votes=votes)
    yield
    best = Choice.objects.filter(question=OuterRef("pk")).order_by("-votes").values("votes")[:1]
    Question.objects.filter(pk=second.pk).update(votes=Subquery(best))
    return {name(second): [said("update", second, votes=4)]}


@case
def test_an_asynchronous_update_is_one() -> Steps:
    (question,) = questions(1)
    yield

    async def work() -> None:
        assert await Question.objects.aupdate(votes=3) == 1

    async_to_sync(work)()
    return {name(question): [said("update", question, votes=3)]}


@case
def test_an_update_of_a_primary_key_refuses_old_cursors_because_no_diff_can_say_it() -> Steps:
    pk = Ticker.objects.create(symbol="A").pk
    Place.objects.create(name="Chez Ada")
    seat = Seat.objects.create(row=1, letter="A")
    yield
    Ticker.objects.update(id=pk + 100)
    Ticker.objects.filter(symbol="B").update(id=pk)
    Place.objects.update(id=F("id") + 100)
    Seat.objects.filter(pk=seat.pk).update(letter="B")
    return {}, {"testapp.ticker:*", "testapp.place:*", "testapp.seat:*"}


@case
def test_a_row_of_two_parents_that_both_change() -> Steps:
    airports = [Airport.objects.create(code=code, city="") for code in ("JFK", "BOS", "LAX")]
    flights = [Flight.objects.create(origin=origin, destination=airports[2], number="1") for origin in airports[:2]]
    yield
    Flight.objects.update(origin=airports[2], status="moved")
    moved = [said("update", flight, origin=airports[2].pk, status="moved") for flight in flights]
    return {
        name(flights[0]): [moved[0]],
        name(flights[1]): [moved[1]],
        name(airports[0]): [moved[0]],
        name(airports[1]): [moved[1]],
        name(airports[2]): moved,
    }
