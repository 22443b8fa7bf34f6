"""The hooks of a model: what its diffs hold, whether they are sent, what counts as changed."""

from __future__ import annotations

import pytest
from django.db.models import F

from diffs.errors import RegistrationError, SerializationError
from diffs.feed import feed_of
from tests.testapp.models import Comment, Draft, LegacyScore, Note, Score, SelfAware, Tag, Topic

from .case import Steps, case
from .recorded import Recording, Said, name, said


def scored(score: Score, points: int, /, **before: object) -> Said:
    return said("update", score, created=False, now={"points": points}, before=before)


@case
def test_the_hook_says_what_a_diff_holds() -> Steps:
    yield
    score = Score.objects.create(name="Ada", points=1)
    score.points = 2
    score.save()
    made = said("create", score, created=True, now={"points": 1}, before={"name": "Ada", "points": 1})
    return {name(score): [made, scored(score, 2, points=1)]}


@case
def test_falsy_from_the_hook_is_no_diff() -> Steps:
    score = Score.objects.create(name="Ada", points=1)
    yield
    score.points = -1
    score.save()
    Score.objects.create(name="Bob", points=-1)
    score.points = 0
    score.save()
    return {name(score): [scored(score, 0, points=-1)]}


@case
def test_the_hooks_older_form_takes_one_argument() -> Steps:
    yield
    score = LegacyScore.objects.create(points=1)
    score.points = 2
    score.save()
    return {
        name(score): [
            said("create", score, changed=["points"], points=1),
            said("update", score, changed=["points"], points=2),
        ]
    }


@case
def test_a_deletion_asks_no_hook_for_data() -> Steps:
    score = Score.objects.create(name="Ada", points=-1)
    feed, gone = name(score), said("delete", score)
    yield
    score.delete()
    return {feed: [gone]}


@case
def test_bulk_operations_ask_the_hook_with_the_new_values_on_the_object() -> Steps:
    yield
    score, hidden = Score.objects.bulk_create([Score(name="Ada", points=1), Score(name="Bob", points=-1)])
    Score.objects.filter(pk=score.pk).update(points=F("points") + 1)
    score.points = 5
    Score.objects.bulk_update([score, hidden], ["points"])
    Score.objects.update(points=6)
    made = said("create", score, created=True, now={"points": 1}, before={"name": "Ada", "points": 1})
    return {
        name(score): [made, scored(score, 2, points=1), scored(score, 5, points=1), scored(score, 6, points=5)],
        name(hidden): [scored(hidden, 6, points=-1)],
    }


@case
def test_an_upsert_asks_the_hook() -> Steps:
    score = Score.objects.create(name="Ada", points=1)
    yield
    again = Score(pk=score.pk, name="Ada", points=2)
    Score.objects.bulk_create([again], update_conflicts=True, unique_fields=["id"], update_fields=["points"])
    # What the row held before, nobody knows.
    return {name(score): [scored(score, 2, name=None, points=None)]}


@case
def test_unknown_previous_values_are_none() -> Steps:
    score = Score.objects.create(name="Ada", points=1)
    yield
    deferred = Score.objects.only("name").get(pk=score.pk)
    deferred.points = 2
    deferred.save()
    return {name(score): [scored(score, 2, points=None)]}


@case
def test_send_diff_keeps_diffs_back() -> Steps:
    yield
    draft = Draft.objects.create(text="a")
    draft.text = "b"
    draft.save()
    draft.published = True
    draft.save()
    Draft.objects.update(text="c")
    draft.refresh_from_db()
    draft.published = False
    draft.save()
    feed = name(draft)
    draft.delete()
    shown = Draft.objects.create(text="d", published=True)
    other, gone = name(shown), said("delete", shown)
    made = said("create", shown, text="d", published=True)
    shown.delete()
    return {
        feed: [
            ("update", "testapp.draft", int(feed.split(":")[1]), {"published": True}),
            ("update", "testapp.draft", int(feed.split(":")[1]), {"text": "c"}),
        ],
        other: [made, gone],
    }


@case
def test_dirtyfields_own_mixin_says_what_changed() -> Steps:
    topic = Topic.objects.create(name="a")
    note = Note.objects.create(text="a")
    yield
    note.save()
    note.text = "b"
    note.save()
    note.topic = topic
    note.save()
    note.text = "c"
    note.save(update_fields=["topic"])
    note.save()
    return {
        name(note): [
            said("update", note, text="b"),
            said("update", note, topic=topic.pk),
            said("update", note, text="c"),
        ]
    }


@case
def test_a_models_own_detection_says_what_changed() -> Steps:
    yield
    aware = SelfAware.objects.create(text="a")
    aware.mood = "angry"
    aware.save()
    aware.text, aware.mood = "b", "calm"
    aware.save()
    return {name(aware): [said("create", aware, text="a", mood="calm"), said("update", aware, text="b")]}


@pytest.mark.database
def test_a_hook_that_returns_no_dict_is_an_error(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Score, "serialize_diff", lambda self, dirty_fields, created=False: ["points"])
    with pytest.raises(SerializationError, match=r"^testapp.Score.serialize_diff must return a dict, or nothing\.$"):
        Score.objects.create(name="Ada")


@pytest.mark.database
def test_a_hook_that_returns_what_json_cant_hold_is_an_error(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Score, "serialize_diff", lambda self, dirty_fields, created=False: {"name": object()})
    with pytest.raises(SerializationError, match=r"^A diff can't hold a builtins.object: turn it into text"):
        Score.objects.create(name="Ada")


@pytest.mark.parametrize("parent", [5, "topic", Tag(pk=1)], ids=["a number", "text", "an unregistered object"])
def test_a_hook_that_names_what_has_no_feed_is_an_error(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, parent: object
) -> None:
    topic = Topic.objects.create(name="a")
    monkeypatch.setattr(Comment, "get_diff_parent", lambda self: parent)
    with pytest.raises(RegistrationError, match=r"^testapp.Comment.get_diff_parent must return objects of registered"):
        Comment.objects.create(topic=topic, text="a")


@pytest.mark.parametrize("several", [list, tuple, set], ids=lambda kind: kind.__name__)
def test_a_hook_names_several_parents_once_each(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, several: type
) -> None:
    topics = [Topic.objects.create(name=letter) for letter in "ab"]
    named = several([*topics, topics[0]])
    monkeypatch.setattr(Comment, "get_diff_parent", lambda self: named)
    Comment.objects.create(topic=topics[0], text="a")
    assert [len(feed_of(topic)) for topic in topics] == [2, 2]
