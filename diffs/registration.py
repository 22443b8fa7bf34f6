"""What is registered, and with what: all that the other rooms need to know of a model."""

from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, NamedTuple

from django.db import DEFAULT_DB_ALIAS, models

from . import pks
from .conf import microseconds, settings
from .errors import NoModelFeed, NotRegistered
from .keys import FeedName
from .store import FeedRef
from .typing import AnyField

FullSaves = Literal["changed", "all"]
Permission = str | Callable[[Any, type[models.Model], Any], bool]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a model asked for."""

    fields: tuple[str, ...] | None = None
    """The fields that may appear in diffs; ``None``: all that Django's serializers give."""
    exclude: tuple[str, ...] = ()
    """Fields that are never stored."""
    parent: tuple[str, ...] = ()
    """Foreign keys whose objects' feeds also get the diffs."""
    model_feed: bool = False
    """Whether one feed for the whole model is kept."""
    max_element_age: float | dt.timedelta | None = None
    """This model's window; ``None``: the setting's."""
    max_elements: int | None = None
    """The most diffs that a feed of this model keeps; ``None``: the setting's."""
    permission: Permission | None = None
    """Who may pull; ``None``: who has the model's view permission."""
    databases: tuple[str, ...] = (DEFAULT_DB_ALIAS,)
    """Aliases whose changes are recorded."""
    accessor: str = "diffs"
    """The attribute that gives the feed."""
    narrow: bool = False
    """Whether a full save of a loaded object writes only what changed."""
    full_saves: FullSaves = "changed"
    """What the diff of a save holds: of what was written that which changed, or all of it."""


class Parent(NamedTuple):
    """A foreign key whose object's feed also gets the diffs."""

    name: str
    attname: str
    model: type[models.Model]
    """The concrete model that it points to."""
    target: str | None
    """The field that it points to, where that isn't the primary key."""


class Registration:
    """A registered model.

    Args:
        model: a concrete model.
        options: what it asked for.
        inherited: whether an abstract base asked for it.
    """

    def __init__(self, model: type[models.Model], options: Options, *, inherited: bool = False) -> None:
        self.model = model
        self.options = options
        self.inherited = inherited
        self.label = model._meta.label_lower
        self.derived: dict[str, Any] = {}
        """What other rooms have worked out of it; emptied whenever registrations change."""

    def __repr__(self) -> str:
        return f"<Registration: {self.label}>"

    @property
    def window(self) -> int:
        """How long this model's feeds keep a diff, in microseconds."""
        return self._own_window or settings.max_element_age

    @cached_property
    def _own_window(self) -> int | None:
        age = self.options.max_element_age
        return None if age is None else microseconds(age)

    @property
    def max_elements(self) -> int | None:
        """The most diffs that this model's feeds keep; ``None``: all of their window."""
        return self.options.max_elements or settings.max_elements

    @property
    def model_feed(self) -> FeedRef:
        """The feed of all its objects.

        Raises:
            NoModelFeed: it has none.
        """
        if not self.options.model_feed:
            raise NoModelFeed(
                f"{self.model._meta.label} keeps no feed of all its objects: register it with model_feed=True."
            )
        return FeedRef(FeedName(self.label), self.window, self.max_elements)

    def feed(self, pk: Any) -> FeedRef:
        """An object's feed.

        Raises:
            ValueError: `pk` can't be a primary key of the model.
        """
        window = self._own_window or settings.max_element_age
        bound = self.options.max_elements or settings.max_elements
        return FeedRef(FeedName(self.label, pks.text(self.model, pk)), window, bound)

    def allows(self, field: AnyField) -> bool:
        """Whether a field may appear in diffs."""
        names = {field.name, field.attname}
        if names & set(self.options.exclude):
            return False
        if self.options.fields is not None:
            return bool(names & set(self.options.fields))
        # What a registered parent's table keeps back isn't shown through its children.
        owner = None if field.model is self.model else find(field.model)
        return bool(field.serialize) and (owner is None or owner is self or owner.allows(field))

    @cached_property
    def fields(self) -> tuple[AnyField, ...]:
        """The columns that may appear in diffs, inherited ones included."""
        return tuple(field for field in self.model._meta.concrete_fields if self.allows(field))

    @cached_property
    def many_to_many(self) -> tuple[AnyField, ...]:
        """The many-to-many fields that may appear in diffs."""
        # A through model that doesn't exist is a name still: Django's own checks are to say so.
        return tuple(
            field
            for field in self.model._meta.many_to_many
            if self.allows(field) and not isinstance(field.remote_field.through, str)
        )

    @cached_property
    def parents(self) -> tuple[Parent, ...]:
        """The foreign keys of `parent=`."""
        return tuple(map(self._parent, self.options.parent))

    def _parent(self, name: str) -> Parent:
        field: AnyField = self.model._meta.get_field(name)
        model = field.remote_field.model._meta.concrete_model
        target = field.target_field
        return Parent(field.name, field.attname, model, None if target.primary_key else target.attname)

    @cached_property
    def serialize_hook(self) -> Callable[[models.Model, Mapping[str, Any], bool], Any] | None:
        """The model's ``serialize_diff``, taking instance, dirty fields and whether the object is new."""
        hook = getattr(self.model, "serialize_diff", None)
        if hook is None:
            return None
        if takes_created(hook):
            return lambda instance, dirty, created: instance.serialize_diff(dirty, created=created)  # type: ignore[attr-defined]
        return lambda instance, dirty, created: instance.serialize_diff(dirty)  # type: ignore[attr-defined]

    @cached_property
    def parent_hook(self) -> str | None:
        """The name of the model's hook for parents, if it has one."""
        for name in ("get_diff_parent", "get_parent_object"):
            if hasattr(self.model, name):
                return name
        return None

    @cached_property
    def tells_all_written(self) -> bool:
        """Whether the diff of a save holds all that was written, changed or not."""
        return self.options.narrow or self.options.full_saves == "all"

    @cached_property
    def has_other_feeds(self) -> bool:
        """Whether diffs may go to more feeds than the object's own."""
        return bool(self.options.model_feed or self.parents or self.parent_hook)

    @cached_property
    def has_send_hook(self) -> bool:
        """Whether the model decides for each diff if it is sent."""
        return hasattr(self.model, "send_diff")

    @cached_property
    def has_own_detection(self) -> bool:
        """Whether the model has a change detection of its own."""
        return hasattr(self.model, "get_dirty_fields")

    @cached_property
    def is_simple(self) -> bool:
        """Whether a diff is nothing but the changed columns, for the object's own feed."""
        return not (self.needs_instance or self.has_own_detection or self.has_other_feeds)

    @cached_property
    def needs_instance(self) -> bool:
        """Whether a diff can't be made without the object at hand."""
        return self.serialize_hook is not None or self.parent_hook is not None or self.has_send_hook


def takes_created(hook: Callable[..., Any]) -> bool:
    """Whether a ``serialize_diff`` takes ``created``; older ones don't."""
    parameters = inspect.signature(hook).parameters
    return "created" in parameters or any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()
    )


_registrations: dict[type[models.Model], Registration] = {}
_labels: dict[str, Registration] = {}


def find(model: type[models.Model]) -> Registration | None:
    """The registration of a model or of the model that it is a proxy of."""
    return _registrations.get(model._meta.concrete_model)  # type: ignore[arg-type]


def find_label(label: str) -> Registration | None:
    """The registration of the model with this label, ``"polls.question"``."""
    return _labels.get(label)


def require(model: type[models.Model]) -> Registration:
    """The registration of a model.

    Raises:
        NotRegistered: it has none.
    """
    registration = find(model)
    if registration is None:
        raise NotRegistered(f"{model._meta.label} has no diffs: decorate it with @diffs.register.")
    return registration


def registrations() -> Iterator[Registration]:
    """All registrations."""
    return iter(tuple(_registrations.values()))


def add(registration: Registration) -> None:
    """Enter a registration."""
    _registrations[registration.model] = registration
    _labels[registration.label] = registration
    _forget_fields()


def remove(registration: Registration) -> None:
    """Take a registration out."""
    del _registrations[registration.model]
    del _labels[registration.label]
    _forget_fields()


def _forget_fields() -> None:
    """What a model's children may show depends on its registration."""
    for registration in _registrations.values():
        registration.derived.clear()
        for name in ("fields", "many_to_many"):
            registration.__dict__.pop(name, None)


def window_of(label: str) -> int:
    """A model's window in microseconds; the setting's for a model that is no longer registered."""
    registration = find_label(label)
    return settings.max_element_age if registration is None else registration.window
