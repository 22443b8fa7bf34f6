"""What deletions record, cascades and what they write included."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.db import IntegrityError
from django.db.models import F

from tests.testapp.models import (
    Airline,
    Airport,
    Author,
    Book,
    Choice,
    Comment,
    Contact,
    Currency,
    Dear,
    Flight,
    Friendly,
    HotQuestion,
    LegacyComment,
    Question,
    Rate,
    Seat,
    TaggedItem,
    Topic,
)
from tests.testapp.models.relations import ANONYMOUS

from .case import Steps, case
from .recorded import Recording, name, said


@case
def test_a_deletion_is_recorded_without_data() -> Steps:
    author = Author.objects.create(name="Ada")
    gone = said("delete", author)
    feed = name(author)
    yield
    author.delete()
    return {feed: [gone]}


@case
def test_a_querysets_deletion_tells_of_each_row() -> Steps:
    authors = [Author.objects.create(name=letter) for letter in "abc"]
    yield
    assert Author.objects.exclude(name="c").delete() == (2, {"testapp.Author": 2})
    return {name(author): [said("delete", author)] for author in authors[:2]}


@case
def test_an_asynchronous_deletion_is_one() -> Steps:
    authors = [Author.objects.create(name=letter) for letter in "ab"]
    feeds = {name(author): [said("delete", author)] for author in authors}
    yield

    async def work() -> None:
        await authors[0].adelete()
        await Author.objects.all().adelete()

    async_to_sync(work)()
    return feeds


@case
def test_a_deletion_of_nothing_records_nothing() -> Steps:
    Author.objects.create(name="Ada")
    yield
    Author.objects.none().delete()
    Author.objects.filter(name="Bob").delete()
    return {}


@case
def test_a_deletion_tells_the_parents_and_the_model_feed() -> Steps:
    jfk, bos = Airport.objects.create(code="JFK", city="New York"), Airport.objects.create(code="BOS", city="Boston")
    airline = Airline.objects.create(name="JetBlue")
    flight = Flight.objects.create(origin=jfk, destination=bos, airline=airline, number="B6112")
    gone, town = said("delete", flight), said("delete", bos)
    feeds = {
        name(flight): [gone],
        name(jfk): [gone],
        name(airline): [gone],
        name(bos): [town],
        "testapp.airport": [town],
    }
    yield
    flight.delete()
    bos.delete()
    return feeds


@case
def test_a_cascade_tells_of_every_object() -> Steps:
    question = Question.objects.create(text="Why?")
    choices = [Choice.objects.create(question=question, text=letter) for letter in "ab"]
    gone = [said("delete", choice) for choice in choices]
    feeds = {name(choice): [gone[index]] for index, choice in enumerate(choices)}
    # Django deletes the choices last read first.
    feeds[name(question)] = [*gone[::-1], said("delete", question)]
    yield
    question.delete()
    return feeds


@case
def test_a_deletion_tells_the_stored_parent_not_the_unsaved() -> Steps:
    stored, unsaved = Question.objects.create(text="stored"), Question.objects.create(text="unsaved")
    choice = Choice.objects.create(question=stored, text="a")
    gone = [said("delete", choice)]
    feeds = {name(choice): gone, name(stored): gone}
    yield
    choice.question = unsaved
    choice.delete()
    return feeds


@case
def test_a_deletion_looks_up_a_parent_that_the_object_doesnt_know() -> Steps:
    feeds, choices = {}, []
    for letter in "abc":
        question = Question.objects.create(text=letter)
        choices.append(Choice.objects.create(question=question, text=letter))
        feeds[name(question)] = feeds[name(choices[-1])] = [said("delete", choices[-1])]
    choices[2].question_id = F("question_id")
    choices[2].save()
    yield
    Choice.objects.only("text").get(text="a").delete()
    Choice(pk=choices[1].pk).delete()
    choices[2].delete()
    return feeds


@case
def test_a_deletion_by_a_key_given_as_text_tells_the_parent() -> Steps:
    question = Question.objects.create(text="Why?")
    choice = Choice.objects.create(question=question, text="a")
    gone = [said("delete", choice)]
    feeds = {name(choice): gone, name(question): gone}
    yield
    Choice(pk=str(choice.pk)).delete()
    return feeds


@case
def test_a_deletion_by_a_foreign_key_to_another_field_tells_the_parent() -> Steps:
    euro = Currency.objects.create(code="EUR", name="Euro")
    rate = Rate.objects.create(currency=euro, value=1)
    gone = said("delete", rate)
    feeds = {name(rate): [gone], name(euro): [gone]}
    yield
    rate.delete()
    return feeds


@case
def test_a_deletion_of_a_composite_key() -> Steps:
    seat = Seat.objects.create(row=1, letter="A")
    yield
    Seat.objects.filter(row=1).delete()
    return {name(seat): [said("delete", seat)]}


@case
def test_proxies_delete_what_they_stand_for() -> Steps:
    contacts = [Contact.objects.create(name=letter) for letter in "abc"]
    feeds = {name(contact): [said("delete", contact)] for contact in contacts}
    yield
    Friendly.objects.get(name="a").delete()
    Dear.objects.get(name="b").delete()
    Dear.objects.all().delete()
    return feeds


@case
def test_a_cascade_from_a_proxy_is_one() -> Steps:
    question = Question.objects.create(text="Why?")
    choice = Choice.objects.create(question=question, text="a")
    gone = [said("delete", choice), said("delete", question)]
    feeds = {name(choice): gone[:1], name(question): gone}
    yield
    HotQuestion.objects.get().delete()
    return feeds


@case
def test_a_hook_may_name_parents_of_what_is_deleted() -> Steps:
    topic = Topic.objects.create(name="a")
    comment, legacy = Comment.objects.create(topic=topic, text="?"), LegacyComment.objects.create(topic=topic, text="?")
    item = TaggedItem.objects.create(label="a", target=topic)
    feeds = {name(each): [said("delete", each)] for each in (comment, legacy, item)}
    feeds[name(topic)] = [said("delete", each) for each in (comment, legacy, item)]
    yield
    comment.delete()
    legacy.delete()
    item.delete()
    return feeds


@case
def test_set_null_is_an_update() -> Steps:
    ada, bob = Author.objects.create(name="Ada"), Author.objects.create(name="Bob")
    book = Book.objects.create(title="a", author=ada, editor=bob)
    gone = said("delete", ada)
    orphaned = said("update", book, author=None)
    feeds = {name(ada): [orphaned, gone], name(book): [orphaned]}
    yield
    ada.delete()
    return feeds


@case
def test_set_default_is_an_update() -> Steps:
    nobody = Author.objects.create(pk=ANONYMOUS, name="Anonymous")
    ada, bob = Author.objects.create(name="Ada"), Author.objects.create(name="Bob")
    books = [Book.objects.create(title=letter, author=bob, editor=ada) for letter in "ab"]
    gone = said("delete", ada)
    edited = [said("update", book, editor=nobody.pk) for book in books]
    feeds = {name(books[0]): edited[:1], name(books[1]): edited[1:], name(ada): [gone], name(bob): edited}
    yield
    ada.delete()
    return feeds


@pytest.mark.database
def test_a_deletion_that_the_database_refuses_records_nothing(recording: Recording) -> None:
    bob = Author.objects.create(name="Bob")
    Book.objects.create(title="a", author=None, editor=bob)
    recording.forget()
    with pytest.raises(IntegrityError):  # there is no author who could be the default
        bob.delete()
    assert recording.feeds() == {}
    assert Author.objects.get() == bob
