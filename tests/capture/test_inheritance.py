"""Parents with tables, abstract bases and proxies: whose diffs hold what."""

from __future__ import annotations

from django.db.models import F

from tests.testapp.models import (
    Bar,
    Choice,
    Contact,
    Dear,
    Friendly,
    HotQuestion,
    Invoice,
    Letter,
    Place,
    Restaurant,
    Venue,
)

from .case import Steps, case
from .conftest import NOW
from .recorded import Said, name, said


def as_place(restaurant: Restaurant, action: str, **data: object) -> tuple[str, list[Said]]:
    return f"testapp.place:{restaurant.pk}", [(action, "testapp.place", restaurant.pk, data)]


@case
def test_a_registered_child_of_a_registered_parent_tells_of_both() -> Steps:
    yield
    restaurant = Restaurant.objects.create(name="Ada's", stars=2)
    place, made = as_place(restaurant, "create", name="Ada's", address="")
    return {place: made, name(restaurant): [said("create", restaurant, name="Ada's", address="", stars=2)]}


@case
def test_a_change_of_the_parents_column_tells_of_both() -> Steps:
    restaurant = Restaurant.objects.create(name="Ada's", stars=2)
    yield
    restaurant.name = "Bob's"
    restaurant.save()
    place, changed = as_place(restaurant, "update", name="Bob's")
    return {place: changed, name(restaurant): [said("update", restaurant, name="Bob's")]}


@case
def test_a_change_of_the_childs_column_tells_of_the_child_alone() -> Steps:
    restaurant = Restaurant.objects.get(pk=Restaurant.objects.create(name="Ada's", stars=2).pk)
    yield
    restaurant.stars = 3
    restaurant.save()
    restaurant.save()
    return {name(restaurant): [said("update", restaurant, stars=3)]}


@case
def test_a_parent_that_is_written_as_such_tells_of_itself() -> Steps:
    restaurant = Restaurant.objects.create(name="Ada's", stars=2)
    yield
    Place.objects.get().save()
    Place.objects.update(address="Main Street")
    place, changed = as_place(restaurant, "update", address="Main Street")
    return {place: changed}


@case
def test_a_child_of_a_row_that_is_there_is_a_new_child() -> Steps:
    place = Place.objects.create(name="Ada's")
    yield
    restaurant = Restaurant(place_ptr=place, name="Bob's", stars=1)
    restaurant.save()
    feed, changed = as_place(restaurant, "update", name="Bob's", address="")
    return {feed: changed, name(restaurant): [said("create", restaurant, name="Bob's", address="", stars=1)]}


@case
def test_a_child_alone_is_registered_and_tells_what_it_inherits() -> Steps:
    yield
    bar = Bar.objects.create(name="Ada's", capacity=20, beers=3)
    bar.capacity = 30
    bar.save()
    Bar.objects.update(name="Bob's", beers=F("beers") + 1)
    bar = Bar.objects.get()
    bar.name = "Eve's"
    Bar.objects.bulk_update([bar], ["name"])
    return {
        name(bar): [
            said("create", bar, name="Ada's", capacity=20, beers=3),
            said("update", bar, capacity=30),
            said("update", bar, name="Bob's", beers=4),
            said("update", bar, name="Eve's"),
        ]
    }


@case
def test_an_unregistered_parent_tells_nothing() -> Steps:
    Bar.objects.create(name="Ada's", capacity=20, beers=3)
    yield
    Venue.objects.create(name="Bob's")
    venue = Venue.objects.first()
    assert venue is not None
    venue.save()
    Venue.objects.update(name="Eve's")
    return {}


@case
def test_an_update_through_the_child_tells_of_both() -> Steps:
    restaurants = [Restaurant.objects.create(name=letter, stars=2) for letter in "ab"]
    yield
    Restaurant.objects.update(name="Eve's", stars=3)
    feeds = dict(as_place(restaurant, "update", name="Eve's") for restaurant in restaurants)
    return feeds | {name(restaurant): [said("update", restaurant, name="Eve's", stars=3)] for restaurant in restaurants}


@case
def test_a_deleted_child_takes_its_parent_along() -> Steps:
    restaurant, other = (Restaurant.objects.create(name=letter) for letter in "ab")
    bar = Bar.objects.create(name="Ada's")
    feeds = dict(as_place(each, "delete") for each in (restaurant, other))
    feeds |= {name(each): [said("delete", each)] for each in (restaurant, other, bar)}
    yield
    restaurant.delete()
    Place.objects.get(name="b").delete()
    Venue.objects.all().delete()
    return feeds


@case
def test_subclasses_of_an_abstract_base_have_its_options() -> Steps:
    yield
    letter = Letter.objects.create(title="Hello", notes="hidden", recipient="Ada")
    invoice = Invoice.objects.create(title="Bill", notes="hidden", total="9.5")
    letter.notes, letter.recipient = "still hidden", "Bob"
    letter.save()
    letter.notes = "only hidden"
    letter.save()
    made = [
        said("create", letter, title="Hello", recipient="Ada"),
        said("update", letter, recipient="Bob"),
    ]
    bill = [said("create", invoice, title="Bill", total="9.50")]
    return {name(letter): made, "testapp.letter": made, name(invoice): bill, "testapp.invoice": bill}


@case
def test_a_proxys_objects_are_those_of_its_model() -> Steps:
    yield
    hot = HotQuestion.objects.create(text="Why?")
    hot.votes = 1
    hot.save()
    HotQuestion.objects.update(votes=2)
    HotQuestion.objects.bulk_update([HotQuestion(pk=hot.pk, votes=3)], ["votes"])
    bulk = HotQuestion.objects.bulk_create([HotQuestion(text="Who?")])[0]
    made = {"votes": 0, "pub_date": None, "meta": {}, "updated": NOW}
    return {
        f"testapp.question:{hot.pk}": [
            said("create", hot, text="Why?", **made),
            said("update", hot, votes=1),
            said("update", hot, votes=2),
            said("update", hot, votes=3),
        ],
        f"testapp.question:{bulk.pk}": [said("create", bulk, text="Who?", **made)],
    }


@case
def test_a_proxy_may_be_the_parent_that_is_assigned() -> Steps:
    hot = HotQuestion.objects.create(text="Why?")
    yield
    choice = Choice.objects.create(question=hot, text="a")
    made = [said("create", choice, question=hot.pk, text="a", votes=0)]
    return {name(choice): made, f"testapp.question:{hot.pk}": made}


@case
def test_a_proxy_of_a_proxy_is_one() -> Steps:
    contact = Contact.objects.create(name="Ada")
    yield
    dear = Dear.objects.get()
    dear.name = "Bob"
    dear.save()
    Friendly.objects.update(email="bob@example.org")
    return {
        name(contact): [said("update", contact, name="Bob"), said("update", contact, email="bob@example.org")],
    }
