"""What many-to-many fields record: whatever writes their tables, their owners change."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db.models.signals import pre_delete

from diffs.testing import registered
from tests.testapp.models import Friend, Group, Membership, Person, Question, Tag

from .case import Steps, case
from .conftest import NOW
from .recorded import Recording, Said, name, said


def tags(names: str) -> list[Tag]:
    return [Tag.objects.create(name=letter) for letter in names]


def tagged(question: Question, *tags: Tag) -> tuple[str, str, int, dict[str, list[int]]]:
    return said("update", question, tags=sorted(tag.pk for tag in tags))


@case
def test_an_insert_has_no_many_to_many_fields_because_they_are_empty_then() -> Steps:
    yield
    question = Question.objects.create(text="Why?")
    return {name(question): [said("create", question, text="Why?", votes=0, pub_date=None, meta={}, updated=NOW)]}


@case
def test_each_change_has_the_whole_field() -> Steps:
    question = Question.objects.create(text="Why?")
    a, b, c = tags("abc")
    yield
    question.tags.add(a, b.pk)
    question.tags.remove(a)
    question.tags.set([b, c])
    new = question.tags.create(name="d")
    question.tags.clear()
    return {
        name(question): [
            tagged(question, a, b),
            tagged(question, b),
            tagged(question, b, c),
            tagged(question, b, c, new),
            tagged(question),
        ]
    }


@case
def test_a_set_that_takes_and_gives_passes_what_lies_between() -> Steps:
    question = Question.objects.create(text="Why?")
    a, b = tags("ab")
    question.tags.set([a])
    yield
    question.tags.set([b])
    return {name(question): [tagged(question), tagged(question, b)]}


@case
def test_a_set_after_clearing_passes_the_empty_field() -> Steps:
    question = Question.objects.create(text="Why?")
    a, b = tags("ab")
    question.tags.set([a])
    yield
    question.tags.set([a, b], clear=True)
    return {name(question): [tagged(question), tagged(question, a, b)]}


@case
def test_what_changes_nothing_records_nothing() -> Steps:
    question = Question.objects.create(text="Why?")
    a, b = tags("ab")
    question.tags.add(a)
    yield
    question.tags.add(a)
    question.tags.add()
    question.tags.remove(b)
    question.tags.set([a])
    Question.objects.create(text="Who?", pk=question.pk + 1).tags.clear()
    made = said("create", Question(pk=question.pk + 1), text="Who?", votes=0, pub_date=None, meta={}, updated=NOW)
    return {f"testapp.question:{question.pk + 1}": [made]}


@case
def test_the_other_side_changes_the_same_fields() -> Steps:
    first, second = (Question.objects.create(text=text) for text in "ab")
    a, b = tags("ab")
    yield
    a.questions.add(first, second)
    b.questions.set([second])
    a.questions.remove(first)
    a.questions.clear()
    return {
        name(first): [tagged(first, a), tagged(first)],
        name(second): [tagged(second, a), tagged(second, a, b), tagged(second, b)],
    }


@case
def test_asynchronous_changes_are_changes() -> Steps:
    question = Question.objects.create(text="Why?")
    a, b = tags("ab")
    yield

    async def work() -> None:
        await question.tags.aadd(a)
        await question.tags.aset([b])
        await question.tags.aclear()

    async_to_sync(work)()
    return {name(question): [tagged(question, a), tagged(question), tagged(question, b), tagged(question)]}


@case
def test_a_deleted_target_leaves_the_fields_that_held_it() -> Steps:
    first, second = (Question.objects.create(text=text) for text in "ab")
    a, b = tags("ab")
    first.tags.set([a, b])
    second.tags.set([a])
    yield
    a_pk = a.pk
    a.delete()
    assert a_pk != b.pk
    return {name(first): [tagged(first, b)], name(second): [tagged(second)]}


@case
def test_several_deleted_targets_leave_them_at_once() -> Steps:
    question = Question.objects.create(text="Why?")
    a, b, c = tags("abc")
    question.tags.set([a, b, c])
    yield
    Tag.objects.exclude(name="c").delete()
    return {name(question): [tagged(question, c)]}


@case
def test_a_deleted_owner_tells_of_its_deletion_alone() -> Steps:
    question = Question.objects.create(text="Why?")
    question.tags.set(tags("ab"))
    feed, gone = name(question), said("delete", question)
    yield
    question.delete()
    return {feed: [gone]}


@case
def test_rows_of_the_table_itself_are_changes_of_the_owner() -> Steps:
    question = Question.objects.create(text="Why?")
    a, b = tags("ab")
    through = Question.tags.through
    yield
    through.objects.create(question=question, tag=a)
    through.objects.filter(question=question).update(tag=b)
    through.objects.all().delete()
    through.objects.bulk_create([through(question=question, tag=tag) for tag in (a, b)])
    return {
        name(question): [tagged(question, a), tagged(question, b), tagged(question), tagged(question, a, b)],
    }


@case
def test_through_rows_are_changes_of_the_owner_however_they_are_written() -> Steps:
    group, other = (Group.objects.create(name=letter) for letter in "ab")
    ada, bob = (Person.objects.create(name=letter) for letter in "ab")
    yield
    row = Membership.objects.create(group=group, person=ada)
    row.joined = dt.date(2024, 1, 1)
    row.save()
    row.person = bob
    row.save()
    row.group = other
    row.save()
    Membership.objects.bulk_update([Membership(pk=row.pk, group=group)], ["group"])
    Membership.objects.filter(pk=row.pk).update(group=other)
    Membership(pk=row.pk, group=group, person=bob).save()
    Membership(pk=row.pk).delete()
    group.members.add(ada, through_defaults={"joined": dt.date(2024, 1, 2)})
    Membership.objects.only("person").get().delete()

    def members(owner: Group, *people: Person) -> Said:
        return said("update", owner, members=[person.pk for person in people])

    return {
        name(group): [
            members(group, ada),
            members(group, bob),
            members(group),
            members(group, bob),
            members(group),
            members(group, bob),
            members(group),
            members(group, ada),
            members(group),
        ],
        name(other): [members(other, bob), members(other), members(other, bob), members(other)],
    }


@case
def test_a_deleted_person_leaves_the_groups() -> Steps:
    group = Group.objects.create(name="a")
    ada, bob = (Person.objects.create(name=letter) for letter in "ab")
    group.members.set([ada, bob])
    yield
    Person.objects.get(name="a").delete()
    return {name(group): [said("update", group, members=[bob.pk])]}


@case
def test_a_member_twice_counts_once() -> Steps:
    group, ada = Group.objects.create(name="a"), Person.objects.create(name="a")
    yield
    Membership.objects.create(group=group, person=ada)
    Membership.objects.create(group=group, person=ada)
    Membership.objects.first().delete()
    return {name(group): [said("update", group, members=[ada.pk])]}


@case
def test_a_symmetric_field_changes_on_both_sides() -> Steps:
    ada, bob, eve = (Friend.objects.create(name=letter) for letter in "abc")
    yield
    ada.friends.add(bob, eve)
    bob.friends.clear()

    def friends(friend: Friend, *others: Friend) -> Said:
        return said("update", friend, friends=[other.pk for other in others])

    return {
        name(ada): [friends(ada, bob, eve), friends(ada, eve)],
        name(bob): [friends(bob, ada), friends(bob)],
        name(eve): [friends(eve, ada)],
    }


@pytest.mark.database
def test_the_hooks_of_an_owner_are_asked(recording: Recording, monkeypatch: pytest.MonkeyPatch, still: str) -> None:
    def serialize(self: Question, dirty_fields: dict[str, Any], created: bool) -> dict[str, Any]:
        return {"text": self.text, "tags before": len(dirty_fields["tags"])}

    question = Question.objects.create(text="Why?")
    (tag,) = tags("a")
    monkeypatch.setattr(Question, "serialize_diff", serialize, raising=False)
    with registered(Question):
        recording.forget()
        question.tags.add(tag)
        question.tags.clear()
        told = [said("update", question, **{"text": "Why?", "tags before": before}) for before in (0, 1)]
        assert recording.feeds() == {name(question): told}


@pytest.mark.database
def test_rows_that_are_deleted_one_by_one_are_changes_of_the_owner(recording: Recording) -> None:
    """Django loads them where a signal's receiver wants to see them."""
    group = Group.objects.create(name="a")
    ada, bob = (Person.objects.create(name=letter) for letter in "ab")
    group.members.set([ada, bob])
    recording.forget()
    seen = []

    def see(instance: Membership, **_: Any) -> None:
        seen.append(instance.pk)

    pre_delete.connect(see, sender=Membership)
    try:
        ada.delete()
    finally:
        pre_delete.disconnect(see, sender=Membership)
    assert len(seen) == 1
    assert recording.feeds() == {name(group): [said("update", group, members=[bob.pk])]}


@pytest.mark.database
def test_a_through_model_may_be_registered_itself(recording: Recording) -> None:
    group, ada = Group.objects.create(name="a"), Person.objects.create(name="a")
    with registered(Membership, parent=["group", "person"]):
        recording.forget()
        row = Membership.objects.create(group=group, person=ada)
        made = said("create", row, group=group.pk, person=ada.pk, joined=None)
        changed = said("update", group, members=[ada.pk])
        feeds = recording.feeds()
        # A person isn't registered, and has no feed.
        assert sorted(feeds) == sorted([name(row), name(group)])
        assert (feeds[name(row)], sorted(feeds[name(group)])) == ([made], [made, changed])
    recording.forget()
    row.delete()
    assert recording.feeds() == {name(group): [said("update", group, members=[])]}


@pytest.mark.database
def test_a_deleted_friend_leaves_the_others(recording: Recording) -> None:
    ada, bob = (Friend.objects.create(name=letter) for letter in "ab")
    ada.friends.add(bob)
    feed, gone = name(bob), said("delete", bob)
    recording.forget()
    bob.delete()
    assert recording.feeds() == {name(ada): [said("update", ada, friends=[])], feed: [gone]}
