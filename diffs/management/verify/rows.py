"""Objects as they stand in the database, in the form of diffs."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, models, router

from diffs import pks
from diffs.capture import values
from diffs.capture.changes import Subject, parent_feeds
from diffs.codec import Encoder, decode
from diffs.diff import CREATE
from diffs.errors import DiffsError
from diffs.registration import Registration
from diffs.store import FeedRef
from diffs.typing import AnyModel

from .stories import token

logger = logging.getLogger("diffs")


class Row(NamedTuple):
    """An object that is there."""

    data: Mapping[str, Any]
    """What can be compared of it, as the endpoint would serve it."""
    tokens: Mapping[str, bytes]
    feeds: Mapping[str, FeedRef]
    """By name, the feeds that are told of it now."""
    is_comparable: bool = True
    """Whether diffs would be made of its changes, as far as can be told."""


class Table:
    """The objects of a model in one database.

    Args:
        registration: of the model.
        using: the database; ``None``: where the model is written, if that is recorded.
    """

    def __init__(self, registration: Registration, using: str | None = None) -> None:
        self.registration = registration
        recorded = registration.options.databases
        written = router.db_for_write(registration.model) or DEFAULT_DB_ALIAS
        self.using = using or (written if written in recorded else recorded[0])
        self._elsewhere = [alias for alias in recorded if alias != self.using]

    @property
    def says_values(self) -> bool:
        """Whether each change of a field makes a diff; a model's own detection of changes may pass over any."""
        registration = self.registration
        detection = getattr(registration.model, "get_dirty_fields", None)
        is_mixins = getattr(detection, "__module__", "").startswith("dirtyfields.")
        return detection is None or (is_mixins and getattr(registration.model, "FIELDS_TO_CHECK", None) is None)

    def count(self) -> int:
        """How many objects there are."""
        return self._query(self.using).count()

    def batches(self, size: int) -> Iterator[list[str]]:
        """The texts of all primary keys, in order, some at a time."""
        query = self._query(self.using).order_by("pk").values_list("pk", flat=True)
        found = list(query[:size])
        while found:
            yield [pks.text(self.registration.model, pk) for pk in found]
            found = list(query.filter(pk__gt=found[-1])[:size])

    def read(self, texts: Sequence[str]) -> dict[str, Row]:
        """Read objects as they are now, in two queries and one for each many-to-many field.

        Args:
            texts: texts of their primary keys.

        Returns:
            By text those that are there.
        """
        model = self.registration.model
        wanted = dict(self._parsed(texts))
        instances = {
            pks.text(model, self._pk(instance)): instance
            for instance in self._query(self.using).filter(pk__in=list(wanted.values()))
        }
        related = self._related([self._pk(instance) for instance in instances.values()])
        rows = {text: self._row(instance, related) for text, instance in instances.items() if text in wanted}
        for alias in self._elsewhere:
            # What another database holds was told in the same feeds.
            for pk in self._query(alias).filter(pk__in=list(wanted.values())).values_list("pk", flat=True):
                rows[pks.text(model, pk)] = Row({}, {}, {}, is_comparable=False)
        return rows

    def _parsed(self, texts: Sequence[str]) -> Iterator[tuple[str, Any]]:
        for text in texts:
            try:
                yield text, pks.parse(self.registration.model, text)
            except ValueError:
                logger.warning("There is a feed of %s whose key is none.", self.registration.label)

    def _query(self, using: str) -> models.QuerySet[models.Model]:
        return models.QuerySet(self.registration.model, using=using)

    def _pk(self, instance: AnyModel) -> Any:
        return instance._get_pk_val(self.registration.model._meta)

    def _related(self, found: Collection[Any]) -> dict[str, Mapping[Any, list[Any]]]:
        """For each many-to-many field the keys of what objects are related to."""
        related: dict[str, Mapping[Any, list[Any]]] = {}
        for field in self.registration.many_to_many:
            targets: dict[Any, list[Any]] = defaultdict(list)
            query = self._query(self.using).filter(pk__in=list(found)).order_by()
            for pk, target in query.values_list("pk", field.name):
                targets[pk].append(target)
            related[field.name] = targets
        return related

    def _row(self, instance: models.Model, related: Mapping[str, Mapping[Any, list[Any]]]) -> Row:
        registration = self.registration
        try:
            data = self._data(instance, related)
            feeds = self._feeds(instance)
        except Exception as error:
            # Hooks are the project's, and a value without a form for diffs has raised floors when it was written.
            if not registration.needs_instance and not isinstance(error, DiffsError):
                raise
            logger.debug("%s: an object can't be compared (%s).", registration.label, type(error).__name__)
            data, feeds = None, {}
        if data is None:
            return Row({}, {}, feeds, is_comparable=False)
        if not self.says_values:
            data = {}
        return Row(data, {name: token(value) for name, value in data.items()}, feeds)

    def _feeds(self, instance: models.Model) -> dict[str, FeedRef]:
        registration, pk = self.registration, self._pk(instance)
        feeds = [registration.feed(pk)]
        if registration.options.model_feed:
            feeds.append(registration.model_feed)
        if registration.has_other_feeds:
            parents = {parent.name: (getattr(instance, parent.attname),) for parent in registration.parents}
            feeds += parent_feeds(Subject(registration, self.using, pk, parents, instance))
        return {str(feed.name): feed for feed in feeds}

    def _data(self, instance: models.Model, related: Mapping[str, Mapping[Any, list[Any]]]) -> Mapping[str, Any] | None:
        registration = self.registration
        if registration.has_send_hook and instance.send_diff() is False:  # type: ignore[attr-defined]
            return None
        if registration.serialize_hook is not None:
            now = {field.name: getattr(instance, field.attname) for field in registration.fields}
            return _hooked_data(registration.serialize_hook, instance, now)
        data = {field.name: values.stored(field, getattr(instance, field.attname)) for field in registration.fields}
        for field in registration.many_to_many:
            data[field.name] = values.many_to_many_data(field, related[field.name].get(self._pk(instance), ()))
        return _served(data)


def _hooked_data(hook: Callable[..., Any], instance: models.Model, now: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a hook says of an object whatever has changed; what it says of the change itself can't be compared."""
    made = hook(instance, now, True)
    if not made:
        return None
    data = _served(values.plain(made))
    before = {name: "" if value is None else None for name, value in now.items()}
    others = [_served(values.plain(hook(instance, dirty, False) or {})) for dirty in (before, {})]
    return {
        name: value
        for name, value in data.items()
        if all(token(other[name]) == token(value) for other in others if name in other)
    }


def _served(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stored and read again, so that the values look exactly as they do in diffs."""
    return decode(Encoder(CREATE, 0, bytes(4), data).own()).data
