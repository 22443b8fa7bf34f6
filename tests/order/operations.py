"""Everything that a writer does to rows, each time with values that nobody has written before."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from django.db import transaction
from django.db.models import F

from .app.models import Parent, Row
from .journal import Note, feeds_of
from .scenario import Scenario

PARENTS = (1, 2)
TAGS = (1, 2, 3)


class Turn(NamedTuple):
    """What an operation has to go by."""

    scenario: Scenario
    random: random.Random
    pks: list[int]
    """Rows that may be changed."""
    text: str
    """To be written, and nobody else's."""
    stale: dict[int, Row]
    """Rows that were read a while ago."""
    notes: list[Note]
    """Of changes that don't show in the text of a row."""

    @property
    def pk(self) -> int:
        """The one to change, where it is one."""
        return self.pks[0]

    @contextlib.contextmanager
    def reading(self, *pks: int) -> Iterator[list[Row]]:
        """Rows as they were at some time: whoever saves them doesn't know what others did meanwhile.

        Not so where rows move, as a diff goes to the parents that the instance knows of: there they are locked.
        """
        rows = Row.objects.filter(pk__in=pks).order_by("pk")
        if self.scenario.moves:
            with transaction.atomic():
                yield list(rows.select_for_update())
        else:
            yield list(rows)

    def lock(self) -> Row:
        """The one to change, as it is, if this is in a transaction."""
        return Row.objects.select_for_update().get(pk=self.pk)


Operation = Callable[[Turn], None]


def save(turn: Turn) -> None:
    """A full save of a row that nobody else can have changed since it was read."""
    with transaction.atomic():
        row = turn.lock()
        row.text, row.number = turn.text, row.number + 1
        row.save()


def save_fields(turn: Turn) -> None:
    """One field."""
    with turn.reading(turn.pk) as rows:
        for row in rows:
            row.text = turn.text
            row.save(update_fields=["text"])


def save_expression(turn: Turn) -> None:
    """A value that the database works out."""
    with turn.reading(turn.pk) as rows:
        for row in rows:
            row.text, row.number = turn.text, F("number") + 1  # type: ignore[assignment]
            row.save(update_fields=["text", "number"])


def update(turn: Turn) -> None:
    """Several rows by one statement."""
    Row.objects.filter(pk__in=turn.pks).update(text=turn.text)


def update_expression(turn: Turn) -> None:
    """Counting, by one statement."""
    Row.objects.filter(pk=turn.pk).update(text=turn.text, number=F("number") + 1)


def bulk_update(turn: Turn) -> None:
    """Several rows."""
    with turn.reading(*turn.pks) as rows:
        for row in rows:
            row.text = turn.text
        Row.objects.bulk_update(rows, ["text"])


def move(turn: Turn) -> None:
    """A row goes to the other parent."""
    with transaction.atomic():
        row = turn.lock()
        turn.notes.append(Note(f"order.parent:{row.parent_id}", row.pk))
        row.text, row.parent_id = turn.text, sum(PARENTS) - row.parent_id
        row.save()


def link(turn: Turn) -> None:
    """A row gets a tag, or loses one."""
    with transaction.atomic():
        row, tag = turn.lock(), turn.random.choice(TAGS)
        (row.tags.remove if row.tags.filter(pk=tag).exists() else row.tags.add)(tag)
        turn.notes.extend(feeds_of(row))


def delete(turn: Turn) -> None:
    """A row goes; most come back at once, with the same key."""
    with transaction.atomic():
        row = turn.lock()
        turn.notes.extend(feeds_of(row))
        if turn.random.random() < 0.5:
            Row.objects.filter(pk=turn.pk).delete()
        else:
            row.delete()
    if turn.random.random() < 0.8:
        create(turn)


def create(turn: Turn) -> None:
    """A row comes back, unless it is there."""
    if not Row.objects.filter(pk=turn.pk).exists():
        parent = turn.random.choice(PARENTS) if turn.scenario.moves else parent_of(turn.pk)
        Row.objects.create(pk=turn.pk, parent_id=parent, text=turn.text)


def change_parent(turn: Turn) -> None:
    """What all rows share is changed, too."""
    parent = turn.random.choice(PARENTS)
    if turn.random.random() < 0.5:
        Parent.objects.filter(pk=parent).update(text=turn.text, number=F("number") + 1)
    else:
        found = Parent.objects.get(pk=parent)
        found.text = turn.text
        found.save(update_fields=["text"])


def save_stale(turn: Turn) -> None:
    """A full save of a row that others have long changed."""
    row = turn.stale.pop(turn.pk, None)
    if row is None:
        turn.stale[turn.pk] = Row.objects.get(pk=turn.pk)
        return
    row.text = turn.text
    row.save()


def parent_of(pk: int) -> int:
    """The parent of a row that doesn't move."""
    return PARENTS[pk % len(PARENTS)]


ALWAYS: tuple[Operation, ...] = (
    *(save, save_fields, save_expression, update, update_expression, bulk_update),
    *(link, delete, create),
)


def operations_of(scenario: Scenario) -> list[Operation]:
    """What is done in a run, by itself or as a part of a transaction."""
    operations = [*ALWAYS]
    if scenario.moves:
        operations.append(move)
    if not scenario.own_rows:
        operations.append(change_parent)
    if scenario.stale:
        # It takes two turns, the first of which only reads.
        operations += [save_stale] * 3
    return operations
