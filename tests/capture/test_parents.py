"""Which feeds get a diff: the object's, its old and its new parents', the model's."""

from __future__ import annotations

from tests.testapp.models import (
    Airline,
    Airport,
    Choice,
    Comment,
    Currency,
    Flight,
    LegacyComment,
    Question,
    Rate,
    TaggedItem,
    Topic,
)

from .case import Steps, case
from .recorded import name, said


@case
def test_a_changed_parent_tells_the_old_and_the_new_one() -> Steps:
    old, new = Question.objects.create(text="old"), Question.objects.create(text="new")
    choice = Choice.objects.create(question=old, text="a")
    yield
    choice.question = new
    choice.save()
    moved = [said("update", choice, question=new.pk)]
    return {name(choice): moved, name(old): moved, name(new): moved}


@case
def test_a_change_after_a_move_goes_to_the_new_parent_alone() -> Steps:
    old, new = Question.objects.create(text="old"), Question.objects.create(text="new")
    choice = Choice.objects.create(question=old, text="a")
    choice.question = new
    choice.save()
    yield
    choice.votes = 1
    choice.save()
    expected = [said("update", choice, votes=1)]
    return {name(choice): expected, name(new): expected}


@case
def test_a_parent_that_is_set_but_not_written_hears_nothing() -> Steps:
    stored, unsaved = Question.objects.create(text="stored"), Question.objects.create(text="unsaved")
    choice = Choice.objects.create(question=stored, text="a")
    yield
    choice.question = unsaved
    choice.votes = 1
    choice.save(update_fields=["votes"])
    expected = [said("update", choice, votes=1)]
    return {name(choice): expected, name(stored): expected}


@case
def test_an_object_has_as_many_parents_as_it_names() -> Steps:
    jfk, bos = Airport.objects.create(code="JFK", city="New York"), Airport.objects.create(code="BOS", city="Boston")
    airline = Airline.objects.create(name="JetBlue")
    yield
    flight = Flight.objects.create(origin=jfk, destination=bos, airline=airline, number="B6112")
    flight.airline = None
    flight.save()
    flight.delay = 5
    flight.save()
    made = said(
        "create",
        flight,
        origin=jfk.pk,
        destination=bos.pk,
        airline=airline.pk,
        number="B6112",
        status="scheduled",
        delay=0,
    )
    left, late = said("update", flight, airline=None), said("update", flight, delay=5)
    return {name(flight): [made, left, late], name(jfk): [made, left, late], name(airline): [made, left]}


@case
def test_a_model_feed_has_the_diffs_of_all_objects_but_not_those_of_their_children() -> Steps:
    yield
    jfk, bos = Airport.objects.create(code="JFK", city="New York"), Airport.objects.create(code="BOS", city="Boston")
    flight = Flight.objects.create(origin=jfk, destination=bos, number="B6112")
    city, town = said("create", jfk, code="JFK", city="New York"), said("create", bos, code="BOS", city="Boston")
    made = said(
        "create", flight, origin=jfk.pk, destination=bos.pk, airline=None, number="B6112", status="scheduled", delay=0
    )
    return {name(jfk): [city, made], name(bos): [town], "testapp.airport": [city, town], name(flight): [made]}


@case
def test_a_foreign_key_to_another_field_leads_to_the_object() -> Steps:
    euro, krone = Currency.objects.create(code="EUR", name="Euro"), Currency.objects.create(code="DKK", name="Krone")
    yield
    rate = Rate.objects.create(currency=euro, value="1.5")
    rate.currency = krone
    rate.save()
    made = said("create", rate, currency="EUR", value="1.500000")
    moved = said("update", rate, currency="DKK")
    return {name(rate): [made, moved], name(euro): [made, moved], name(krone): [moved]}


@case
def test_a_deferred_parent_is_looked_up() -> Steps:
    question = Question.objects.create(text="Why?")
    choice = Choice.objects.only("votes").get(pk=Choice.objects.create(question=question, text="a").pk)
    yield
    choice.votes = 1
    choice.save()
    expected = [said("update", choice, votes=1)]
    return {name(choice): expected, name(question): expected}


@case
def test_an_object_made_of_its_key_alone_tells_the_parent_that_it_has() -> Steps:
    question = Question.objects.create(text="Why?")
    pk = Choice.objects.create(question=question, text="a").pk
    yield
    choice = Choice(pk=pk, votes=3)
    choice.save(update_fields=["votes"])
    expected = [said("update", choice, votes=3)]
    return {name(choice): expected, name(question): expected}


@case
def test_the_hook_names_parents() -> Steps:
    first, second = Topic.objects.create(name="first"), Topic.objects.create(name="second")
    question = Comment.objects.create(topic=first, text="?")
    yield
    answer = Comment.objects.create(topic=second, answers=question, text="!")
    made = said("create", answer, topic=second.pk, answers=question.pk, text="!")
    return {name(answer): [made], name(first): [made], name(second): [made]}


@case
def test_the_hooks_older_name_names_a_parent() -> Steps:
    topic = Topic.objects.create(name="first")
    yield
    comment = LegacyComment.objects.create(topic=topic, text="?")
    made = said("create", comment, topic=topic.pk, text="?")
    return {name(comment): [made], name(topic): [made]}


@case
def test_the_hook_may_name_a_parent_of_any_model_or_none() -> Steps:
    topic, question = Topic.objects.create(name="first"), Question.objects.create(text="Why?")
    yield
    tagged = TaggedItem.objects.create(target=topic, label="a")
    asked = TaggedItem.objects.create(target=question, label="b")
    lost = TaggedItem.objects.create(content_type=tagged.content_type, object_id=0, label="c")
    made = [
        said("create", item, label=item.label, content_type=item.content_type_id, object_id=item.object_id)
        for item in (tagged, asked, lost)
    ]
    return {
        name(tagged): [made[0]],
        name(topic): [made[0]],
        name(asked): [made[1]],
        name(question): [made[1]],
        name(lost): [made[2]],
    }


@case
def test_bulk_operations_ask_the_hook_too() -> Steps:
    first, second = Topic.objects.create(name="first"), Topic.objects.create(name="second")
    yield
    comments = Comment.objects.bulk_create([Comment(topic=first, text="?"), Comment(topic=second, text="!")])
    Comment.objects.update(text="...")
    comments[0].text = "."
    Comment.objects.bulk_update(comments[:1], ["text"])
    Comment.objects.filter(topic=second).delete()
    one, other = comments
    told = [
        said("create", one, topic=first.pk, answers=None, text="?"),
        said("update", one, text="..."),
        said("update", one, text="."),
    ]
    gone = [
        said("create", other, topic=second.pk, answers=None, text="!"),
        said("update", other, text="..."),
        said("delete", other),
    ]
    return {name(one): told, name(first): told, name(other): gone, name(second): gone}
