"""What ``bulk_create()`` and ``bulk_update()`` record."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.db.models import F, Value
from django.db.models.functions import Upper

from diffs.capture import creating
from tests.testapp.models import (
    Airport,
    Author,
    Choice,
    Country,
    Currency,
    Playlist,
    Question,
    Rate,
    Rectangle,
    Seat,
    Song,
    Token,
)

from .case import Steps, case
from .conftest import NOW
from .recorded import Recording, name, said


@case
def test_a_bulk_create_tells_of_each_object() -> Steps:
    yield
    questions = Question.objects.bulk_create([Question(text="a"), Question(text="b", votes=3)])
    common = {"pub_date": None, "meta": {}, "updated": NOW}
    return {
        name(questions[0]): [said("create", questions[0], text="a", votes=0, **common)],
        name(questions[1]): [said("create", questions[1], text="b", votes=3, **common)],
    }


@case
def test_a_bulk_create_takes_any_iterable_in_batches() -> Steps:
    yield
    authors = Author.objects.bulk_create((Author(name=letter) for letter in "abcde"), batch_size=2)
    return {name(author): [said("create", author, name=author.name)] for author in authors}


@case
def test_a_bulk_create_of_nothing_records_nothing() -> Steps:
    yield
    assert Author.objects.bulk_create([]) == []
    return {}


@case
def test_a_bulk_create_tells_parents_and_the_model_feed() -> Steps:
    question = Question.objects.create(text="Why?")
    yield
    choice, another = Choice.objects.bulk_create([Choice(question=question, text=text) for text in "ab"])
    airport = Airport.objects.bulk_create([Airport(code="JFK", city="New York")])[0]
    made = [said("create", each, question=question.pk, text=each.text, votes=0) for each in (choice, another)]
    city = [said("create", airport, code="JFK", city="New York")]
    return {
        name(choice): made[:1],
        name(another): made[1:],
        name(question): made,
        name(airport): city,
        "testapp.airport": city,
    }


@case
def test_objects_are_clean_after_a_bulk_create() -> Steps:
    author, another = Author.objects.bulk_create([Author(name="Ada"), Author(name="Bob")])
    yield
    author.save()
    another.name = "Eve"
    another.save()
    return {name(another): [said("update", another, name="Eve")]}


@case
def test_a_bulk_create_with_given_keys() -> Steps:
    yield
    country = Country.objects.bulk_create([Country(code="DK", name="Denmark")])[0]
    token = Token.objects.bulk_create([Token(label="a")])[0]
    seat = Seat.objects.bulk_create([Seat(row=1, letter="A")])[0]
    return {
        name(country): [said("create", country, name="Denmark")],
        name(token): [said("create", token, label="a")],
        name(seat): [said("create", seat, row=1, letter="A", passenger="")],
    }


@case
def test_what_only_the_database_knows_is_read_back_after_a_bulk_create() -> Steps:
    yield
    author = Author.objects.bulk_create([Author(name=Upper(Value("ada")))])[0]
    rectangle = Rectangle.objects.bulk_create([Rectangle(width=2, height=3)])[0]
    return {
        name(author): [said("create", author, name="ADA")],
        name(rectangle): [said("create", rectangle, width=2, height=3, area=6)],
    }


@case
def test_a_bulk_create_that_updates_what_is_there_tells_what_the_rows_hold() -> Steps:
    Currency.objects.create(code="EUR", name="Ecu")
    yield
    Currency.objects.bulk_create(
        [Currency(code="EUR", name="Euro"), Currency(code="DKK", name="Krone")],
        update_conflicts=True,
        unique_fields=["code"],
        update_fields=["name"],
    )
    euro, krone = Currency.objects.order_by("pk")
    return {
        name(euro): [said("update", euro, code="EUR", name="Euro")],
        name(krone): [said("update", krone, code="DKK", name="Krone")],
    }


@case
def test_a_bulk_create_that_updates_by_primary_key() -> Steps:
    author = Author.objects.create(name="Ada")
    yield
    Author.objects.bulk_create(
        [Author(pk=author.pk, name="Bob")], update_conflicts=True, unique_fields=["pk"], update_fields=["name"]
    )
    return {name(author): [said("update", author, name="Bob")]}


@case
def test_a_bulk_create_that_updates_by_several_columns() -> Steps:
    seat = Seat.objects.create(row=1, letter="A")
    yield
    Seat.objects.bulk_create(
        [Seat(row=1, letter="A", passenger="Ada"), Seat(row=2, letter="B", passenger="Bob")],
        update_conflicts=True,
        unique_fields=["row", "letter"],
        update_fields=["passenger"],
    )
    other = Seat.objects.get(row=2)
    return {
        name(seat): [said("update", seat, row=1, letter="A", passenger="Ada")],
        name(other): [said("update", other, row=2, letter="B", passenger="Bob")],
    }


@case
def test_a_bulk_create_that_moves_a_row_tells_the_old_and_the_new_parent() -> Steps:
    old, new = (Question.objects.create(text=text) for text in "ab")
    choice = Choice.objects.create(question=old, text="a", votes=1)
    yield
    again = Choice(pk=choice.pk, question=new, text="b", votes=2)
    Choice.objects.bulk_create(
        [again], update_conflicts=True, unique_fields=iter(["id"]), update_fields=iter(["question"])
    )
    moved = [said("update", choice, question=new.pk, text="a", votes=1)]
    return {name(choice): moved, name(old): moved, name(new): moved}


@case
def test_a_bulk_create_that_updates_tells_what_was_left_as_it_was() -> Steps:
    """Only the columns in ``update_fields`` are written: the others are the row's, not the object's."""
    question = Question.objects.create(text="Why?", votes=3)
    yield
    again = Question(pk=question.pk, text="Who?", votes=99)
    Question.objects.bulk_create([again], update_conflicts=True, unique_fields=["id"], update_fields=["text"])
    return {name(question): [said("update", question, text="Who?", votes=3, pub_date=None, meta={}, updated=NOW)]}


@case
def test_a_row_that_was_updated_in_place_of_an_insert_leaves_its_object_unknown() -> Steps:
    question = Question.objects.create(text="Why?", votes=3)
    again = Question(pk=question.pk, text="Who?", votes=99)
    Question.objects.bulk_create([again], update_conflicts=True, unique_fields=["id"], update_fields=["text"])
    yield
    again.save()
    return {name(question): [said("update", question, text="Who?", votes=99, pub_date=None, meta={}, updated=NOW)]}


@case
def test_a_bulk_create_that_ignores_conflicts_tells_of_what_was_inserted() -> Steps:
    there = Country.objects.create(code="DK", name="Denmark")
    yield
    Country.objects.bulk_create(
        [Country(code="DK", name="Danmark"), Country(code="DE", name="Germany")], ignore_conflicts=True
    )
    there.refresh_from_db()
    assert there.name == "Denmark"
    return {"testapp.country:DE": [("create", "testapp.country", "DE", {"name": "Germany"})]}


@case
def test_a_bulk_create_that_ignores_conflicts_of_another_column_tells_of_what_was_inserted() -> Steps:
    Currency.objects.create(code="DKK", name="Krone")
    yield
    made = [Currency(pk=901, code="DKK", name="Krone"), Currency(pk=902, code="EUR", name="Euro")]
    Currency.objects.bulk_create(made, ignore_conflicts=True)
    return {name(made[1]): [said("create", made[1], code="EUR", name="Euro")]}


@case
def test_objects_whose_key_nobody_knows_refuse_old_cursors() -> Steps:
    Currency.objects.create(code="DKK", name="Krone")
    yield
    made = [Currency(code="DKK", name="Krone"), Currency(code="EUR", name="Euro")]
    Currency.objects.bulk_create(made, ignore_conflicts=True)
    assert [each.pk for each in made] == [None, None]
    return {}, {"testapp.currency:*"}


@case
def test_rows_that_nothing_identifies_refuse_old_cursors() -> Steps:
    yield
    made = [Currency(code="EUR", name="Euro"), Currency(code="EUR", name="Euro again")]
    # Twice the same row: PostgreSQL would refuse it in one statement.
    Currency.objects.bulk_create(
        made, update_conflicts=True, unique_fields=["code"], update_fields=["name"], batch_size=1
    )
    euro = Currency.objects.get()
    return {name(euro): [said("update", euro, code="EUR", name="Euro again")]}, {"testapp.currency:*"}


def test_rows_that_the_database_finds_by_rules_of_its_own_refuse_old_cursors(recording: Recording) -> None:
    """MySQL takes no ``unique_fields``: any unique key of the table may be the one that is hit."""
    creating.bulk_create(
        lambda queryset, objs, **options: objs,
        Author.objects.all(),
        [Author(name="a")],
        {"update_conflicts": True, "update_fields": ["name"]},
    )
    assert (recording.feeds(), recording.floors()) == ({}, {"testapp.author:*"})


def test_objects_whose_keys_the_database_doesnt_say_refuse_old_cursors(recording: Recording) -> None:
    creating.bulk_create(lambda queryset, objs, **options: objs, Author.objects.all(), [Author(name="a")], {})
    assert (recording.feeds(), recording.floors()) == ({}, {"testapp.author:*"})


@case
def test_a_bulk_update_has_the_named_fields() -> Steps:
    first, second = (Question.objects.create(text=text) for text in "ab")
    yield
    first.votes, first.text, second.votes = 1, "unsaved", 2
    assert Question.objects.bulk_update([first, second], ["votes"]) == 2
    return {name(first): [said("update", first, votes=1)], name(second): [said("update", second, votes=2)]}


@case
def test_a_bulk_update_in_batches_of_any_iterable() -> Steps:
    authors = Author.objects.bulk_create([Author(name=letter) for letter in "abcde"])
    yield
    for author in authors:
        author.name *= 2
    assert Author.objects.bulk_update((author for author in authors), ("name" for _ in "x"), batch_size=2) == 5
    return {name(author): [said("update", author, name=author.name)] for author in authors}


@case
def test_objects_are_clean_after_a_bulk_update() -> Steps:
    question = Question.objects.create(text="Why?")
    question.votes, question.text = 1, "Who?"
    Question.objects.bulk_update([question], ["votes"])
    yield
    question.save()
    return {name(question): [said("update", question, text="Who?")]}


@case
def test_a_bulk_update_by_expressions_has_what_the_database_computed() -> Steps:
    first, second = (Question.objects.create(text=text, votes=3) for text in "ab")
    yield
    first.votes, second.votes = F("votes") + 1, 9
    Question.objects.bulk_update([first, second], ["votes"])
    return {name(first): [said("update", first, votes=4)], name(second): [said("update", second, votes=9)]}


@case
def test_a_bulk_update_reads_generated_fields_back() -> Steps:
    rectangle = Rectangle.objects.create(width=2, height=3)
    yield
    rectangle.width = 4
    Rectangle.objects.bulk_update([rectangle], ["width"])
    return {name(rectangle): [said("update", rectangle, width=4, area=12)]}


@case
def test_a_bulk_update_tells_the_stored_parents() -> Steps:
    stored, unsaved = (Question.objects.create(text=text) for text in "ab")
    choice = Choice.objects.create(question=stored, text="a")
    yield
    choice.question, choice.votes = unsaved, 1
    Choice.objects.bulk_update([choice], ["votes"])
    expected = [said("update", choice, votes=1)]
    return {name(choice): expected, name(stored): expected}


@case
def test_a_bulk_update_of_the_parent_tells_the_old_and_the_new_one() -> Steps:
    old, new = (Question.objects.create(text=text) for text in "ab")
    known = Choice.objects.create(question=old, text="a")
    unknown = Choice(pk=Choice.objects.create(question=old, text="b").pk, question=new)
    yield
    known.question = new
    Choice.objects.bulk_update([known, unknown], ["question"])
    moved = [said("update", choice, question=new.pk) for choice in (known, unknown)]
    return {name(known): moved[:1], name(unknown): moved[1:], name(old): moved, name(new): moved}


@case
def test_a_bulk_update_of_rows_that_are_not_there_tells_of_those_that_are() -> Steps:
    there, gone = (Author.objects.create(name=letter) for letter in "ab")
    Author.objects.filter(pk=gone.pk).delete()
    filtered = Author.objects.create(name="c")
    yield
    there.name = gone.name = filtered.name = "x"
    assert Author.objects.exclude(name="c").bulk_update([there, gone, filtered], ["name"]) == 1
    return {name(there): [said("update", there, name="x")]}


@case
def test_objects_that_were_perhaps_not_written_are_not_taken_for_clean() -> Steps:
    there, filtered = (Author.objects.create(name=letter) for letter in "ab")
    there.name = filtered.name = "x"
    Author.objects.exclude(name="b").bulk_update([there, filtered], ["name"])
    yield
    filtered.save()
    return {name(filtered): [said("update", filtered, name="x")]}


@case
def test_keys_given_as_text_are_keys() -> Steps:
    question = Question.objects.create(text="Why?")
    pk = Choice.objects.create(question=question, text="a").pk
    yield
    Choice.objects.bulk_update([Choice(pk=str(pk), votes=F("votes") + 1)], ["votes"])
    Author.objects.bulk_create([Author(pk=str(pk), name=Upper(Value("ada")))])
    Author.objects.bulk_create([Author(pk=str(pk), name="Bob")], ignore_conflicts=True)
    told = [("update", "testapp.choice", pk, {"votes": 1})]
    return {
        f"testapp.choice:{pk}": told,
        name(question): told,
        f"testapp.author:{pk}": [("create", "testapp.author", pk, {"name": "ADA"})],
    }


@case
def test_a_bulk_update_of_one_row_twice_has_what_the_database_took() -> Steps:
    author = Author.objects.create(name="a")
    again = Author.objects.get()
    yield
    author.name, again.name = "first", "second"
    Author.objects.bulk_update([author, again], ["name"])
    return {name(author): [said("update", author, name=Author.objects.get().name)]}


@case
def test_a_bulk_update_of_nothing_records_nothing() -> Steps:
    yield
    assert Author.objects.bulk_update([], ["name"]) == 0
    return {}


@case
def test_an_order_is_written_by_bulk_update() -> Steps:
    playlist = Playlist.objects.create(name="Jazz")
    first, second = (Song.objects.create(playlist=playlist, title=title) for title in "ab")
    yield
    playlist.set_song_order([second.pk, first.pk])
    moved = [said("update", second, _order=0), said("update", first, _order=1)]
    return {name(first): moved[1:], name(second): moved[:1], name(playlist): moved}


@case
def test_an_inserts_place_in_an_order_is_recorded() -> Steps:
    playlist = Playlist.objects.create(name="Jazz")
    Song.objects.create(playlist=playlist, title="a")
    yield
    song = Song.objects.create(playlist=playlist, title="b")
    made = [said("create", song, playlist=playlist.pk, title="b", _order=1)]
    return {name(song): made, name(playlist): made}


@case
def test_a_related_manager_creates_and_adds_in_bulk() -> Steps:
    question = Question.objects.create(text="Why?")
    yield
    (choice,) = question.choices.bulk_create([Choice(question=question, text="a")])
    another = Choice(text="b")
    question.choices.add(another, bulk=False)
    made = [said("create", each, question=question.pk, text=each.text, votes=0) for each in (choice, another)]
    return {name(choice): made[:1], name(another): made[1:], name(question): made}


@case
def test_asynchronous_bulk_operations_are_bulk_operations() -> Steps:
    yield

    async def work() -> list[Author]:
        made = await Author.objects.abulk_create([Author(name="a")])
        made[0].name = "b"
        assert await Author.objects.abulk_update(made, ["name"]) == 1
        return made

    (author,) = async_to_sync(work)()
    return {name(author): [said("create", author, name="a"), said("update", author, name="b")]}


@pytest.mark.database
def test_a_bulk_create_of_thousands_is_recorded_whole(recording: Recording) -> None:
    currency = Currency.objects.create(code="EUR", name="Euro")
    recording.forget()
    rates = Rate.objects.bulk_create(Rate(currency=currency, value=number) for number in range(3000))
    feeds = recording.feeds()
    assert len(feeds) == 3001
    assert [pk for _, _, pk, _ in feeds[name(currency)]] == [rate.pk for rate in rates]
    recording.forget()
    for rate in rates:
        rate.value += 1
    Rate.objects.bulk_update(rates, ["value"], batch_size=500)
    Rate.objects.update(value=F("value") + 1)
    told = [data["value"] for _, _, _, data in recording.feeds()[name(currency)]]
    assert told == [f"{value}.000000" for value in (*range(1, 3001), *range(2, 3002))]


@pytest.mark.database
def test_thousands_of_rows_that_several_columns_make_unique_are_read_back(recording: Recording) -> None:
    seats = [Seat(row=row, letter="A", passenger="Ada") for row in range(2500)]
    Seat.objects.bulk_create(seats, update_conflicts=True, unique_fields=["row", "letter"], update_fields=["passenger"])
    told = {"letter": "A", "passenger": "Ada"}
    assert recording.feeds() == {name(seat): [said("update", seat, row=seat.row, **told)] for seat in seats}
