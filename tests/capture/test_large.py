"""What is too large for a diff: the field is named instead, and where that doesn't help, old cursors are refused."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

import diffs
from diffs.capture.changes import Subject, entries
from diffs.capture.columns import column_of
from diffs.codec import HEAD_LENGTH, decode
from diffs.diff import UPDATE
from diffs.feed import Feed
from diffs.keys import parse_feed
from diffs.registration import require
from diffs.store import get_store
from tests.testapp.models import (
    Choice,
    Country,
    Everything,
    Friend,
    Group,
    Membership,
    Person,
    Question,
    Score,
    Tag,
)

from .recorded import Recording, name, said

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def bound(settings: Any, **bounds: int) -> None:
    settings.DIFFS_SETTINGS = {**settings.DIFFS_SETTINGS, **bounds}


def told(feed: Feed) -> list[tuple[str, dict[str, Any], tuple[str, ...]]]:
    """Action, data and omitted fields of each diff."""
    return [(diff.action, dict(diff.data), diff.omitted) for diff in feed]


def test_p3_a_value_that_is_too_large_is_named_instead(recording: Recording) -> None:
    thing = Everything.objects.create()
    recording.forget()
    thing.text = "x" * 70_000
    thing.integer = 1
    thing.save()
    assert told(thing.diffs) == [("update", {"integer": 1}, ("text",))]
    thing.text = "short"
    thing.save()
    assert told(thing.diffs)[1:] == [("update", {"text": "short"}, ())]


def test_a_change_of_nothing_but_a_large_value_is_told(recording: Recording, settings: Any) -> None:
    bound(settings, max_diff_bytes=200)
    thing = Everything.objects.create()
    recording.forget()
    Everything.objects.update(text="x" * 300)
    Everything.objects.filter(pk=thing.pk).update(json={"deep": ["y" * 300]})
    thing.text = "z" * 300
    Everything.objects.bulk_update([thing], ["text"])
    assert told(thing.diffs) == [("update", {}, ("text",)), ("update", {}, ("json",)), ("update", {}, ("text",))]


def test_an_insert_goes_without_its_large_values(recording: Recording, settings: Any) -> None:
    bound(settings, max_diff_bytes=200)
    made = [Question.objects.create(text="x" * 180), *Question.objects.bulk_create([Question(text="y" * 180)])]
    for question in made:
        ((action, data, omitted),) = told(question.diffs)
        assert (action, omitted) == ("create", ("text",))
        assert data.keys() == {"votes", "pub_date", "meta", "updated"}


def test_the_largest_go_first_and_no_more_of_them_than_need_be(recording: Recording, settings: Any) -> None:
    bound(settings, max_diff_bytes=400)
    thing = Everything.objects.create()
    recording.forget()
    thing.text, thing.char, thing.slug, thing.integer = "x" * 300, "y" * 90, "z" * 50, 7
    thing.save()
    assert told(thing.diffs) == [("update", {"char": "y" * 90, "slug": "z" * 50, "integer": 7}, ("text",))]
    bound(settings, max_diff_bytes=130)
    thing.text, thing.char, thing.slug, thing.integer = "X" * 300, "Y" * 90, "Z" * 50, 8
    thing.save()
    assert told(thing.diffs)[1:] == [("update", {"slug": "Z" * 50, "integer": 8}, ("char", "text"))]


@pytest.mark.parametrize("bytes_over", [0, 1])
def test_the_bound_is_that_of_the_stored_member(recording: Recording, settings: Any, bytes_over: int) -> None:
    question = Question.objects.create(text="Why?")
    choice = Choice.objects.create(question=question, text="a")
    recording.forget()
    choice.text = "x" * 100
    choice.save()
    store = get_store()
    (foreign,) = store.client.zrange(store.keys.feed(parse_feed(name(question))), 0, -1)
    recording.forget()
    bound(settings, max_diff_bytes=len(foreign) - bytes_over)
    choice.text = "y" * 100
    choice.save()
    # One change says the same in all feeds.
    expected = ("update", {}, ("text",)) if bytes_over else ("update", {"text": "y" * 100}, ())
    assert told(question.diffs) == told(choice.diffs) == [expected]


def test_p3_no_member_is_larger_than_the_bound(recording: Recording, settings: Any) -> None:
    thing = Everything.objects.create()
    columns = ("char", "text", "slug", "email", "url", "file")
    for limit in range(110, 330, 5):
        bound(settings, max_diff_bytes=limit)
        recording.forget()
        for number, column in enumerate(columns):
            setattr(thing, column, chr(97 + limit % 26) * (3 + (limit * (number + 3)) % 47))
        thing.save()
        member = recording.members()
        change = decode(member)
        assert HEAD_LENGTH < len(member) <= limit
        assert {*change.data, *change.omitted} == {*columns}


def test_where_the_names_alone_are_too_much_old_cursors_are_refused(
    recording: Recording, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    question = Question.objects.create(text="Why?")
    choice = Choice.objects.create(question=question, text="a")
    recording.forget()
    bound(settings, max_diff_bytes=60)
    with diffs.actor("a" * 100):
        choice.text = "b"
        choice.save()
        question.text = "Who?"
        question.save()
    assert recording.feeds() == {}
    assert recording.floors() == {name(choice), name(question)}
    expected = (
        "a diff would be larger than max_diff_bytes without any value in it; old cursors of its feeds are refused."
    )
    assert [record.getMessage() for record in caplog.records] == [
        f"testapp.choice: {expected}",
        f"testapp.question: {expected}",
    ]


def test_a_long_primary_key_counts_in_the_feeds_of_others_only(recording: Recording, settings: Any) -> None:
    bound(settings, max_diff_bytes=100)
    country = Country.objects.create(code="c" * 150, name="n" * 20)
    recording.forget()
    country.name = "m" * 20
    country.save()
    assert told(country.diffs) == [("update", {"name": "m" * 20}, ())]


def test_what_a_hook_makes_is_bounded_as_well(recording: Recording, settings: Any) -> None:
    bound(settings, max_diff_bytes=120)
    score = Score.objects.create(name="x" * 100)
    assert told(score.diffs) == [("create", {"created": True, "now": {"points": 0}}, ("before",))]


# Many-to-many fields


def tags(count: int) -> list[Tag]:
    return Tag.objects.bulk_create([Tag(name=str(number)) for number in range(count)])


def test_p3_a_field_with_more_targets_than_a_diff_lists_is_named_instead(recording: Recording, settings: Any) -> None:
    bound(settings, max_m2m=3)
    question = Question.objects.create(text="Why?")
    many = tags(6)
    pks = [tag.pk for tag in many]
    recording.forget()
    question.tags.add(*many[:3])
    question.tags.add(many[3])
    question.tags.add(*many)
    question.tags.remove(many[5])
    question.tags.remove(*many[3:])
    question.tags.clear()
    assert told(question.diffs) == [
        ("update", {"tags": pks[:3]}, ()),
        *[("update", {}, ("tags",))] * 3,
        ("update", {"tags": pks[:3]}, ()),
        ("update", {"tags": []}, ()),
    ]


def test_a_write_to_a_large_field_is_always_told(recording: Recording, settings: Any) -> None:
    bound(settings, max_m2m=2)
    question = Question.objects.create(text="Why?")
    many = tags(3)
    question.tags.add(*many)
    recording.forget()
    # Nobody has looked whether the rows are others now.
    Question.tags.through.objects.filter(tag=many[0]).update(tag=many[0])
    assert told(question.diffs) == [("update", {}, ("tags",))]


def test_owners_with_few_targets_are_read_though_others_have_many(recording: Recording, settings: Any) -> None:
    bound(settings, max_m2m=2)
    large, small, empty = (Question.objects.create(text=text) for text in "abc")
    many = tags(12)
    large.tags.add(*many[1:])
    small.tags.add(many[1])
    recording.forget()
    many[0].questions.add(large, small, empty)
    assert told(large.diffs) == [("update", {}, ("tags",))]
    assert told(small.diffs) == [("update", {"tags": [many[0].pk, many[1].pk]}, ())]
    assert told(empty.diffs) == [("update", {"tags": [many[0].pk]}, ())]
    recording.forget()
    many[0].delete()
    assert told(large.diffs) == [("update", {}, ("tags",))]
    assert told(small.diffs) == [("update", {"tags": [many[1].pk]}, ())]
    assert told(empty.diffs) == [("update", {"tags": []}, ())]


def test_through_rows_and_both_directions_are_bounded_as_well(recording: Recording, settings: Any) -> None:
    bound(settings, max_m2m=2)
    group = Group.objects.create(name="a")
    people = Person.objects.bulk_create([Person(name=str(number)) for number in range(3)])
    friends = [Friend.objects.create(name=str(number)) for number in range(4)]
    recording.forget()
    Membership.objects.bulk_create([Membership(group=group, person=person) for person in people])
    friends[0].friends.add(*friends[1:])
    assert told(group.diffs) == [("update", {}, ("members",))]
    assert told(friends[0].diffs) == [("update", {}, ("friends",))]
    assert [told(friend.diffs) for friend in friends[1:]] == [[("update", {"friends": [friends[0].pk]}, ())]] * 3


def test_a_hook_decides_itself_whether_a_large_field_shows(recording: Recording) -> None:
    score = Score.objects.create(name="Ada", points=1)
    column = column_of(Question._meta.get_field("tags"))
    require(Score).derived["shown"] = {column: "tags"}
    try:
        subject = Subject(require(Score), "default", score.pk, {}, score)
        (entry,) = entries(subject, UPDATE, {}, {}, [column])
    finally:
        require(Score).derived.clear()
    change = decode(entry.member)
    assert (change.data["before"], change.omitted) == ({"tags": None}, ())


def test_a_field_within_its_bound_is_read_with_one_query_before_and_one_after(recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    few = tags(5)
    with CaptureQueriesContext(connection) as queries:
        question.tags.set(few)
    read = [each["sql"] for each in queries if each["sql"].startswith("SELECT") and "LEFT OUTER JOIN" in each["sql"]]
    assert len(read) == 2


def test_p3_a_very_large_field_is_not_read_into_memory(recording: Recording, settings: Any) -> None:
    question = Question.objects.create(text="Why?")
    many = tags(20_000)
    through = Question.tags.through
    with diffs.disabled():
        through.objects.bulk_create([through(question=question, tag=tag) for tag in many])
    recording.forget()
    one, other = many[0], Tag.objects.create(name="new")
    bound(settings, max_m2m=100)
    del many
    tracemalloc.start()
    question.tags.add(other)
    question.tags.remove(one)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 500_000
    assert told(question.diffs) == [("update", {}, ("tags",))] * 2


def test_p3_deleting_the_owner_of_a_very_large_field_does_not_read_it_either(recording: Recording) -> None:
    question = Question.objects.create(text="Why?")
    through = Question.tags.through
    with diffs.disabled():
        through.objects.bulk_create([through(question=question, tag=tag) for tag in tags(20_000)])
    recording.forget()
    expected = {name(question): [said("delete", question)]}
    tracemalloc.start()
    question.delete()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 500_000
    assert recording.feeds() == expected
