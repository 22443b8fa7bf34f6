"""One change of one object: which data it has, which feeds get it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import models
from django.db.models.base import DEFERRED

from diffs import pks
from diffs.codec import Row
from diffs.diff import CREATE, DELETE, UPDATE, Action
from diffs.errors import RegistrationError, SerializationError
from diffs.registration import Parent, Registration, find
from diffs.store import Entry, FeedRef, Floors, mark

from . import values
from .columns import Column, shown
from .context import unrecorded
from .members import TooLarge, members_of
from .transaction import record

logger = logging.getLogger("diffs")


class Subject(NamedTuple):
    """The changed object."""

    registration: Registration
    using: str
    pk: Any
    """Its primary key as a Python value."""
    parents: Mapping[str, Sequence[Any]]
    """For each foreign key of ``parent=`` the values it has and had."""
    instance: models.Model | None = None
    """The object itself; there always where the model has hooks."""


def entries(
    subject: Subject,
    action: Action,
    fresh: Mapping[Column, Any],
    previous: Mapping[Column, Any],
    omitted: Collection[Column] = (),
) -> list[Entry]:
    """The diffs of one change, one for each feed.

    Args:
        subject: the changed object.
        action: what happened to it.
        fresh: the changed columns' (and many-to-many fields') new values.
        previous: what they held, where that is known.
        omitted: what has changed as well and is too large to be read.

    Returns:
        No diff where a hook says so, or where none can be made: then old cursors are refused.

    Raises:
        SerializationError: what a hook returned can't be put into a diff. Whatever else a hook raises comes through.
    """
    try:
        return _entries(subject, action, fresh, previous, omitted)
    except Exception as error:
        _refuse(subject.registration, subject.using, error)
        if subject.registration.needs_instance:
            raise
        return []


def own_entries(
    registration: Registration, using: str, pk: Any, action: Action, fresh: Mapping[Column, Any]
) -> list[Entry]:
    """The diff of one change of a simple model, for the object's own feed.

    Args:
        registration: of a model whose diffs are nothing but columns.
        using: the database alias.
        pk: the object's primary key as a Python value.
        action: what happened to it.
        fresh: the changed columns' new values, also of columns that may not appear.
    """
    try:
        names = shown(registration)
        data = {column.name: column.stored(value) for column, value in fresh.items() if column in names}
        # An object whose only column is its key still comes into being.
        if not data and action == UPDATE:
            return []
        feed = registration.feed(pk)
        try:
            return [Entry(feed, members_of(action, data)[0], mark(feed.name))]
        except TooLarge:
            return _none(registration, using, [feed])
    except Exception as error:
        _refuse(registration, using, error)
        return []


def _refuse(registration: Registration, using: str, error: Exception) -> None:
    # The row is written: its readers must not go on as if nothing had happened, nor the user's save fail for a value
    # that the database took.
    record(using, (), concerned(registration))
    if not registration.needs_instance:
        logger.error("%s: no diff can be made (%s).", registration.label, type(error).__name__)


def _none(registration: Registration, using: str, feeds: Iterable[FeedRef]) -> list[Entry]:
    """No diff, as it can't be small enough."""
    record(using, (), Floors(feeds))
    logger.error(
        "%s: a diff would be larger than max_diff_bytes without any value in it; old cursors of its feeds are refused.",
        registration.label,
    )
    return []


def _entries(
    subject: Subject,
    action: Action,
    fresh: Mapping[Column, Any],
    previous: Mapping[Column, Any],
    omitted: Collection[Column],
) -> list[Entry]:
    registration, instance = subject.registration, subject.instance
    if instance is not None and registration.has_send_hook and instance.send_diff() is False:  # type: ignore[attr-defined]
        return []
    data = _data(subject, action, fresh, previous, omitted)
    # What a hook leaves out isn't named either.
    names = () if registration.serialize_hook is not None else [column.name for column in omitted]
    # An object whose only column is its key still comes into being.
    if data is None or (not (data or names) and action == UPDATE):
        return []
    own = registration.feed(subject.pk)
    others: dict[FeedRef, None] = {}
    if registration.has_other_feeds:
        others = dict.fromkeys(_other_feeds(subject))
        others.pop(own, None)
    row = Row(registration.label, pks.wire(registration.model, subject.pk)) if others else None
    try:
        member, foreign = members_of(action, data, names, row)
    except TooLarge:
        return _none(registration, subject.using, [own, *others])
    named = len(foreign) - len(member)
    return [
        Entry(own, member, mark(own.name)),
        *(Entry(feed, foreign, mark(feed.name), named) for feed in others),
    ]


def _other_feeds(subject: Subject) -> Iterable[FeedRef]:
    yield from parent_feeds(subject)
    if subject.registration.options.model_feed:
        yield subject.registration.model_feed


def _data(
    subject: Subject,
    action: Action,
    fresh: Mapping[Column, Any],
    previous: Mapping[Column, Any],
    omitted: Collection[Column],
) -> Mapping[str, Any] | None:
    if action == DELETE:
        return {}
    registration = subject.registration
    hook = registration.serialize_hook
    if hook is None or subject.instance is None:
        names = shown(registration)
        return {column.name: column.stored(value) for column, value in fresh.items() if column in names}
    source, may_show = fresh if action == CREATE else previous, shown(registration)
    dirty = {
        column.name: None if (old := source.get(column)) is DEFERRED else old
        for column in (*fresh, *omitted)
        if column in may_show
    }
    data = hook(subject.instance, dirty, action == CREATE)
    if not data:
        return None
    if not isinstance(data, Mapping):
        raise SerializationError(f"{registration.model._meta.label}.serialize_diff must return a dict, or nothing.")
    plain: Mapping[str, Any] = values.plain(data)
    return plain


def parent_feeds(subject: Subject) -> Iterable[FeedRef]:
    """The feeds of the objects that a subject is a child of."""
    registration = subject.registration
    for parent in registration.parents:
        target = find(parent.model)
        if target is not None:
            for pk in _parent_pks(subject, parent):
                yield target.feed(pk)
    if registration.parent_hook is not None and subject.instance is not None:
        found = getattr(subject.instance, registration.parent_hook)()
        for instance in found if isinstance(found, list | tuple | set) else [found]:
            if instance is not None:
                yield _hooked_feed(registration, instance)


def _hooked_feed(registration: Registration, instance: Any) -> FeedRef:
    target = find(type(instance)) if isinstance(instance, models.Model) else None
    if target is None:
        raise RegistrationError(
            f"{registration.model._meta.label}.{registration.parent_hook} must return objects of registered models, "
            f"not {type(instance).__qualname__}."
        )
    return target.feed(instance._get_pk_val(target.model._meta))


def _parent_pks(subject: Subject, parent: Parent) -> Iterable[Any]:
    found = {value for value in subject.parents.get(parent.name, ()) if value is not None and value is not DEFERRED}
    if parent.target is None or not found:
        return found
    rows = models.QuerySet(parent.model, using=subject.using).filter(**{f"{parent.target}__in": found})
    return list(rows.values_list("pk", flat=True))


def concerned(registration: Registration) -> Floors:
    """What must be refused where changes of a model are not recorded one by one."""
    if registration.parent_hook is not None:
        return Floors(everything=True)
    models_concerned = {registration.label}
    models_concerned.update(parent.model._meta.label_lower for parent in registration.parents)
    return Floors(models=models_concerned)


def is_unrecorded(registration: Registration, using: str) -> bool:
    """Whether recording is off; then the change is noted, to be made good when it is on again."""
    collected = unrecorded()
    if collected is None:
        return False
    collected[using].add(concerned(registration))
    return True
