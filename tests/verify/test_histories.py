"""What the command finds is what readers really have otherwise, in random histories with changes that were not told."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.db import models

from diffs.capture.values import row_data
from diffs.client.rows import Rows
from diffs.codec import Encoder, decode
from diffs.cursor import Cursor
from diffs.errors import CursorExpired
from diffs.feed import Feed
from diffs.keys import parse_feed
from diffs.management.verify.feeds import ref, shard_cursors
from diffs.registration import require
from diffs.store import Read, Upkeep, get_store
from tests.testapp.models import Choice, Invoice, Question, Tag

from .conftest import Verify, untold

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = 40
SEEDS = 3

Found = set[tuple[str, str]]


class World:
    """Questions, their choices, and invoices of which one feed tells."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.tags = [Tag.objects.create(name=letter) for letter in "abc"]
        for number in range(4):
            self.make_question()
            Invoice.objects.create(title=f"{number}", total=number)
        for _ in range(6):
            self.make_choice()

    def pick(self, model: Any) -> Any:
        found = list(model.objects.order_by("pk"))
        return self.random.choice(found) if found else None

    def make_question(self) -> None:
        Question.objects.create(text=f"Question {self.random.random()}", meta={"b": [1.0, True], "a": None})

    def make_choice(self) -> None:
        question = self.pick(Question)
        if question is not None:
            Choice.objects.create(question=question, text=f"Choice {self.random.random()}")

    def change(self) -> None:
        """Make one change."""
        choose = self.random.choice
        model = choose([Question, Choice, Invoice])
        instance = self.pick(model)
        action: Callable[[], Any] = choose([self.make_question, self.make_choice])
        if instance is not None:
            actions = [
                instance.delete,
                lambda: model.objects.filter(pk=instance.pk).update(**self.values(model)),
                lambda: self.save(instance),
                lambda: self.save(instance),
            ]
            if model is Question:
                actions += [lambda: instance.tags.set(self.random.sample(self.tags, 2))]
            if model is Choice:
                actions += [lambda: Choice.objects.filter(pk=instance.pk).update(question=self.pick(Question))]
            action = choose([action, *actions])
        action()

    def save(self, instance: models.Model) -> None:
        for name, value in self.values(type(instance)).items():
            setattr(instance, name, value)
        instance.save()

    def values(self, model: Any) -> dict[str, Any]:
        if model is Invoice:
            return {"total": self.random.randrange(5)}
        return self.random.choice([{"votes": self.random.randrange(3)}, {"text": self.random.choice("ab")}])


Key = tuple[str, Any]
Data = dict[Key, dict[str, Any]]


def rows() -> Data:
    """The database, in the form of diffs."""
    found = {}
    for model in (Question, Choice, Invoice):
        registration = require(model)
        for instance in model.objects.all():
            member = Encoder("create", 0, bytes(4), row_data(registration, instance)).own()
            found[registration.label, instance.pk] = dict(decode(member).data)
    return found


def names_of(found: Data) -> set[str]:
    """All feeds that tell of these rows, or of any that were there meanwhile."""
    stored = {str(name) for names in Upkeep(get_store()).feeds() for name in names}
    return {"testapp.invoice", *(f"{label}:{pk}" for label, pk in found), *stored}


def tells_of(feed: str, key: Key, row: dict[str, Any] | None) -> bool:
    """Whether a reader of a feed has to know of an object."""
    label, pk = key
    return feed in (f"{label}:{pk}", label) or is_child(feed, key, row)


def is_child(feed: str, key: Key, row: dict[str, Any] | None) -> bool:
    """Whether a feed's object is an object's parent."""
    return row is not None and key[0] == "testapp.choice" and feed == f"testapp.question:{row.get('question')}"


class Reader:
    """Who had everything of one feed, and read on."""

    def __init__(self, name: str, found: Data, cursors: Mapping[str, Cursor]) -> None:
        self.name = name
        feed = parse_feed(name)
        self.read = Read(ref(feed), cursor=cursors[feed.shard])
        self.rows = Rows()
        for key, row in found.items():
            if tells_of(name, key, row):
                self.rows.put(*key, row)

    def differences(self, found: Data) -> Found:
        """The objects that are otherwise in the database."""
        for diff in Feed(self.read):
            # Whose child an object becomes is told by a change that says so.
            is_new = (diff.model, diff.pk) not in self.rows
            if is_new and diff.action == "update" and is_child(self.name, (diff.model, diff.pk), diff.data):
                self.rows.put(diff.model, diff.pk, {})
            self.rows.apply(diff)
        theirs = {key: row for key, row in self.rows.items() if tells_of(self.name, key, row)}
        ours = {key: row for key, row in found.items() if tells_of(self.name, key, row)}
        keys = theirs.keys() | ours.keys()
        return {(self.name, f"{key[0]}:{key[1]}") for key in keys if not self._is_same(ours.get(key), theirs.get(key))}

    @property
    def is_refused(self) -> bool:
        """Whether the reader has to fetch everything again."""
        try:
            get_store().read_one(self.read)
        except CursorExpired:
            return True
        return False

    def _is_same(self, ours: dict[str, Any] | None, theirs: dict[str, Any] | None) -> bool:
        if ours is None or theirs is None:
            return ours is theirs
        # Who was told of a change of an object that it didn't have has nothing else of it.
        return {name: value for name, value in ours.items() if name in theirs} == theirs


def found_in(lines: list[str]) -> Found:
    """What the command names."""
    found = set()
    for line in lines[:-1]:
        feed, _, rest = line.partition(": missing ")
        _, of, whose = rest.partition(" of ")
        found.add((feed, whose.split(": ")[0] if of else feed))
    return found


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("share", [0.0, 0.1, 0.4])
def test_finds_what_readers_have_otherwise_and_nothing_else(
    verify: Verify, state: str, seed: int, share: float
) -> None:
    world = World(seed)
    assert verify("--state", state).error is None
    before, cursors = rows(), shard_cursors(get_store(), "testapp.question")
    for _ in range(STEPS):
        with untold() if world.random.random() < share else contextlib.nullcontext():
            world.change()
    now = rows()
    readers = [Reader(name, before, cursors) for name in names_of({**before, **now})]
    differences = set().union(*(reader.differences(now) for reader in readers))
    there = {f"{label}:{pk}" for label, pk in now}

    def lasting(found: Found) -> Found:
        """Without those that are gone: who fetched one meanwhile, together with its parent, has it still."""
        return {(feed, key) for feed, key in found if key in there}

    ran = verify("--state", state, "--limit-report", "10000")
    found = found_in(ran.lines)
    assert lasting(found) == lasting(differences)
    assert found >= differences
    assert (ran.error is not None) == bool(differences)
    ran = verify("--state", state, "--limit-report", "10000", "--repair")
    assert ran.error is None
    again = found_in(ran.lines)
    assert {key for _, key in again} <= {key for _, key in found}
    refused = {reader.name for reader in readers if reader.is_refused}
    assert refused >= {feed for feed, _ in again}
    # Parents are refused with their children; nobody else is.
    assert {name for name in refused if "choice" in name} == {feed for feed, _ in again if "choice" in feed}
    assert verify("--state", state).lines[0].endswith(" 0 with differences.")
