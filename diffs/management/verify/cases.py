"""One object beside what the readers of its feeds would have of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from diffs.capture import values
from diffs.codec import Encoder, decode
from diffs.cursor import Cursor
from diffs.diff import CREATE
from diffs.keys import FeedName, parse_feed
from diffs.pks import parse
from diffs.registration import Parent, Registration, find
from diffs.store import FeedRef, Floors, Read

from .feeds import FeedInfo, ref
from .rows import Row
from .stories import Base, Expected, Story, Told, expected, token

UPDATE, CREATION, DELETION = "missing update", "missing creation", "missing deletion"

THERE = ""
"""Stands for a field where it is about being there at all."""


class Witness(NamedTuple):
    """What has to stay as it is for a difference to be one: then no diff is under way."""

    now: bytes
    """The token of the value in the database."""
    told: int
    """When the feed last said something else: the timestamp of the diff."""


class Mismatch(NamedTuple):
    """What a reader of one feed has otherwise."""

    kind: str
    fields: Mapping[str, Witness]

    def still(self, other: Mismatch | None) -> Mismatch | None:
        """What of it is the same in another look."""
        if other is None or other.kind != self.kind:
            return None
        fields = {name: witness for name, witness in self.fields.items() if other.fields.get(name) == witness}
        return Mismatch(self.kind, fields) if fields else None


def _is_absent(kind: str, story_end: int) -> Mismatch:
    return Mismatch(kind, {THERE: Witness(b"", story_end)})


@dataclasses.dataclass(slots=True)
class Case:
    """An object, in all its feeds."""

    registration: Registration
    pk: str
    """The text of its primary key."""
    row: Row | None
    stories: dict[str, Story]
    infos: Mapping[str, FeedInfo]
    base: Base | None
    margin: int
    """How far the clocks of two shards may lie apart, microseconds."""
    refused: set[str] = dataclasses.field(default_factory=set)
    """Feeds that refuse the cursor of the base."""
    closed: set[str] = dataclasses.field(default_factory=set)
    """Feeds that refuse every cursor from before they were read."""
    mismatches: dict[str, Mismatch] = dataclasses.field(default_factory=dict)
    due: float = 0.0
    looks: int = 0

    @property
    def own(self) -> str:
        """The object's own feed."""
        return str(FeedName(self.registration.label, self.pk))

    @property
    def was_there(self) -> bool:
        """Whether an earlier run has left the object."""
        return self.base is not None and self.base.row is not None

    @property
    def is_unknown(self) -> bool:
        """Whether the readers of its own feed don't know that it is there."""
        return self.own in self.mismatches and self.mismatches[self.own].kind == CREATION

    def feeds(self) -> list[str]:
        """The feeds that may have a reader who knows the object."""
        found = dict.fromkeys((*self.stories, *(self.row.feeds if self.row else ())))
        if self.base is not None:
            found.update(dict.fromkeys((self.own, *self.base.feeds)))
        return [feed for feed in found if feed in self.infos or self._base_of(feed) is not None]

    def requests(self, feed: str) -> Iterator[Read]:
        """What to read of a feed to be up to date, and to know whether its cursors are honoured still."""
        name = parse_feed(feed)
        info = None if feed in self.closed else self.infos.get(feed)
        base = self._base_of(feed)
        if info is not None:
            yield Read(ref(name), cursor=info.cursor)
        if base is not None:
            yield Read(ref(name), cursor=base.cursors[name.shard], mode="asc" if info is None else "cursor")

    def refuse(self, feed: str, cursor: Cursor | None) -> None:
        """A feed has refused a cursor."""
        if feed in self.infos and self.infos[feed].cursor == cursor:
            self.closed.add(feed)
        else:
            self.refused.add(feed)

    def judge(self) -> dict[str, Mismatch]:
        """What readers have otherwise, by feed."""
        self.mismatches = {}
        if self.row is None or self.row.is_comparable:
            for feed in self.feeds():
                mismatch = None if feed in self.closed else self._judge_feed(feed)
                if mismatch is not None:
                    self.mismatches[feed] = mismatch
        return self.mismatches

    def _base_of(self, feed: str) -> Base | None:
        """What the readers of a feed had at the earlier run; ``None`` where that doesn't help."""
        base = None if feed in self.refused else self.base
        if base is None or base.row is None or self.row is None or feed in base.feeds:
            return base
        # Either the object wasn't this parent's child then, or its model didn't say that there is such a feed.
        moved = any(
            base.row.get(parent.name) != self.row.tokens.get(parent.name) for parent in self._parents(parse_feed(feed))
        )
        return base if moved else None

    def expected(self, feed: str, base: Base | None) -> Expected:
        """What a reader of a feed would have, who had what the base says or has read the feed from its beginning."""
        name = parse_feed(feed)
        told = expected(self.stories.get(feed, Story()), base, name)
        if base is None or base.within(name).row is not None or not told.there:
            return told
        if self._is_parent(name):
            # An object becomes a parent's child by being made, or by a change that says whose it is.
            parents = self._parents(name)
            is_known = not parents or any(parent.name in told.fields for parent in parents)
        else:
            is_known = self.stories[feed].began > base.cursors[name.shard].timestamp
        # A change of an object that readers don't have makes none.
        return told if is_known else Expected(False, {})

    def _is_parent(self, feed: FeedName) -> bool:
        return feed.pk is not None and str(feed) != self.own

    def _judge_feed(self, feed: str) -> Mismatch | None:
        base = self._base_of(feed)
        found = None if base is None else self._judge(parse_feed(feed), base)
        return found or (self._judge(parse_feed(feed), None) if feed in self.infos else None)

    def _judge(self, feed: FeedName, base: Base | None) -> Mismatch | None:
        name, registration = str(feed), self.registration
        told, last = self.expected(name, base), self.stories[name].last if name in self.stories else 0
        is_parent = self._is_parent(feed)
        if self.row is None:
            if not told.there or registration.has_send_hook:
                return None
            # Of one that has gone to another parent, this one's readers need to hear no more.
            return None if is_parent and self.has_left(feed, told) is not False else _is_absent(DELETION, last)
        if name not in self.row.feeds:
            return self._judge_move(feed, told)
        hooks = registration.has_send_hook or registration.serialize_hook is not None
        if told.there is False and not hooks:
            return _is_absent(CREATION, last)
        fields = {} if told.there is None else self._other_values(told, self.row)
        fields.update(self._unheard(feed, told, self.row))
        return Mismatch(UPDATE, fields) if fields else None

    def _other_values(self, told: Expected, row: Row) -> dict[str, Witness]:
        return {
            name: Witness(row.tokens[name], saying.position)
            for name, saying in told.fields.items()
            if saying is not None and name in row.tokens and saying.token != row.tokens[name]
        }

    def _judge_move(self, feed: FeedName, told: Expected) -> Mismatch | None:
        """The object has another parent now: the readers of the one before have to know."""
        assert self.row is not None
        if not told.there or self.has_left(feed, told) is not False:
            return None
        fields = {}
        for parent in self._parents(feed):
            saying = told.fields.get(parent.name)
            if parent.name in self.row.tokens:
                fields[parent.name] = Witness(self.row.tokens[parent.name], saying.position if saying else 0)
        return Mismatch(UPDATE, fields) if fields else None

    def has_left(self, feed: FeedName, told: Expected) -> bool | None:
        """Whether readers of a parent's feed know that it is the object's parent no more; ``None``: can't be told."""
        parents = self._parents(feed)
        if not parents:
            return None
        here = {parent.name: _stored_key(parent, feed) for parent in parents}
        sayings = [told.fields.get(name) for name in here]
        return all(
            saying is not None and saying.token != key for saying, key in zip(sayings, here.values(), strict=True)
        )

    def _parents(self, feed: FeedName) -> list[Parent]:
        """The foreign keys that point to a feed's object and say so in diffs; none where others may, too."""
        registration = self.registration
        found = [parent for parent in registration.parents if parent.model._meta.label_lower == feed.model]
        shown = {field.name for field in registration.fields}
        can_tell = registration.parent_hook is None and registration.serialize_hook is None
        return found if can_tell and all(one.target is None and one.name in shown for one in found) else []

    def _unheard(self, feed: FeedName, told: Expected, row: Row) -> dict[str, Witness]:
        """What other feeds of the object were told, and this one was not."""
        info = self.infos.get(str(feed))
        if info is None:
            return {}
        heard: dict[str, int] = {}
        for name, story in self.stories.items():
            if name in row.feeds and name in self.infos and name not in self.closed:
                for field, saying in story.fields.items():
                    heard[field] = max(saying.position, heard.get(field, 0))
        # What came before the object had this parent went to others only; nor was a feed always there.
        joined = 0
        if self._is_parent(feed):
            parents = self._parents(feed)
            if not parents:
                return {}
            joined = max(heard.get(parent.name, 0) for parent in parents)
        oldest = max(info.start + self.margin, info.first, joined)
        return {
            name: Witness(row.tokens[name], position)
            for name, position in heard.items()
            if position > oldest and name in row.tokens and name not in told.fields
        }

    def concerned(self) -> Floors:
        """What has to be refused, once all readers of the object's own feed are known to have it otherwise."""
        if self.own not in self.mismatches:
            return Floors(ref(parse_feed(feed)) for feed in self.mismatches)
        names = {self.own, *self.mismatches, *(self.row.feeds if self.row else ())}
        names.update(self.base.feeds if self.base else ())
        for feed in self.stories:
            told = self.expected(feed, self._base_of(feed))
            if told.there and self.has_left(parse_feed(feed), told) is not True:
                names.add(feed)
        feeds = {name: ref(parse_feed(name)) for name in names}
        feeds.update((str(feed.name), feed) for feed in self._told_parents())
        if self.registration.options.model_feed:
            feeds.setdefault(self.registration.label, self.registration.model_feed)
        return Floors(feeds.values(), self._unknown_parents())

    def _told_parents(self) -> Iterator[FeedRef]:
        """The parents that the object's own feed names."""
        for parent in self.registration.parents:
            told, target = self._told_of(parent), find(parent.model)
            if told is not None and told.value is not None and parent.target is None and target is not None:
                yield target.feed(told.value)

    def _unknown_parents(self) -> Iterator[str]:
        """Models of parents, where the object is gone and nobody knows whose child it was."""
        for parent in self.registration.parents if self.row is None and self.base is None else ():
            told = self._told_of(parent)
            if (told is None or not told.is_known or parent.target is not None) and find(parent.model) is not None:
                yield parent.model._meta.label_lower

    def _told_of(self, parent: Parent) -> Told | None:
        story = self.stories.get(self.own)
        return None if story is None else story.fields.get(parent.name)


def _stored_key(parent: Parent, feed: FeedName) -> bytes:
    """The token of a foreign key that points to a feed's object."""
    target = find(parent.model)
    field = parent.model._meta.pk
    if target is None or field is None or feed.pk is None:
        return b""
    value = values.stored(field, parse(parent.model, feed.pk))
    return token(decode(Encoder(CREATE, 0, bytes(4), {"key": value}).own()).data["key"])
