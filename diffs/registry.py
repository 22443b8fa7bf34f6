"""``register()``: which models have diffs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, overload

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.signals import class_prepared

from . import conf
from .capture import wiring
from .errors import RegistrationError
from .feed import FeedDescriptor
from .registration import FullSaves, Options, Permission, Registration, add, find, registrations, remove

M = TypeVar("M", bound=models.Model)
Age = Any

_abstract: dict[type[models.Model], Options] = {}


@overload
def register(model: type[M]) -> type[M]: ...


@overload
def register(
    model: type[M] | str,
    *,
    fields: Iterable[str] | None = ...,
    exclude: Iterable[str] = ...,
    parent: str | Iterable[str] | None = ...,
    model_feed: bool = ...,
    max_element_age: Age | None = ...,
    max_elements: int | None = ...,
    permission: Permission | None = ...,
    databases: Iterable[str] | None = ...,
    accessor: str = ...,
    narrow: bool = ...,
    full_saves: FullSaves = ...,
) -> type[M]: ...


@overload
def register(
    *,
    fields: Iterable[str] | None = ...,
    exclude: Iterable[str] = ...,
    parent: str | Iterable[str] | None = ...,
    model_feed: bool = ...,
    max_element_age: Age | None = ...,
    max_elements: int | None = ...,
    permission: Permission | None = ...,
    databases: Iterable[str] | None = ...,
    accessor: str = ...,
    narrow: bool = ...,
    full_saves: FullSaves = ...,
) -> Callable[[type[M]], type[M]]: ...


def register(
    model: type[M] | str | None = None,
    *,
    fields: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    parent: str | Iterable[str] | None = None,
    model_feed: bool = False,
    max_element_age: Age | None = None,
    max_elements: int | None = None,
    permission: Permission | None = None,
    databases: Iterable[str] | None = None,
    accessor: str = "diffs",
    narrow: bool = False,
    full_saves: FullSaves = "changed",
) -> Any:
    """Record every committed change of a model.

    Use it as a decorator, bare or with options, or call it for a model that isn't yours. An abstract model hands its
    options on to its subclasses.

    Args:
        model: the model, or its label (``"app.Model"``).
        fields: the fields that may appear in diffs; all unless given.
        exclude: fields that are never stored.
        parent: foreign keys whose objects' feeds also get the diffs: a name or several.
        model_feed: keep one feed for the whole model, too.
        max_element_age: how long a diff is kept, seconds or a ``timedelta``; the setting's unless given.
        max_elements: the most diffs that one of its feeds keeps, the newest; the setting's unless given.
        permission: who may pull: a permission's name, ``"public"``, ``"authenticated"``, or a function of request,
            model and primary key; who may view the model unless given.
        databases: aliases whose changes are recorded; ``"default"`` unless given.
        accessor: the attribute that gives the feed.
        narrow: a full ``save()`` of a loaded object writes only what changed, so that an object which is out of date
            writes no old values over newer ones.
        full_saves: what the diff of a ``save()`` holds: of what was written that which ``"changed"``, or ``"all"``
            of it.

    Returns:
        The model; without one, a decorator.

    Raises:
        RegistrationError: the model can't be registered so; the message says why.
    """
    options = _options(
        fields=_names("fields", fields),
        exclude=_names("exclude", exclude) or (),
        parent=_names("parent", (parent,) if isinstance(parent, str) else parent) or (),
        model_feed=model_feed,
        max_element_age=max_element_age,
        max_elements=max_elements,
        permission=permission,
        databases=_names("databases", databases),
        accessor=accessor,
        narrow=narrow,
        full_saves=full_saves,
    )
    if model is None:
        return functools.partial(_register, options=options)
    if isinstance(model, str):
        return _register_label(model, options)
    return _register(model, options)


def unregister(model: type[models.Model]) -> None:
    """Undo `register`, for tests: attributes, signals and patches are taken out again.

    Raises:
        RegistrationError: the model is not registered.
    """
    if model in _abstract:
        for inherited in [each for each in registrations() if each.inherited and _abstract_base(each.model) is model]:
            unregister(inherited.model)
        del _abstract[model]
        return
    registration = find(model)
    if registration is None:
        raise RegistrationError(f"{model._meta.label} is not registered.")
    wiring.uninstall(registration)
    delattr(registration.model, registration.options.accessor)
    remove(registration)


def enter(registration: Registration) -> None:
    """Begin to record a model's changes: anew, or again after `unregister`.

    Raises:
        RegistrationError: the model can't be registered so.
    """
    model, options = registration.model, registration.options
    _check_names(model, options)
    if hasattr(model, options.accessor) and not isinstance(_attribute(model, options.accessor), FeedDescriptor):
        raise RegistrationError(
            f"{model._meta.label} has an attribute {options.accessor!r} already: choose another with accessor=."
        )
    add(registration)
    setattr(model, options.accessor, FeedDescriptor(registration))
    wiring.install(registration)
    if apps.models_ready:
        wiring.install_relations(registration)


def activate() -> None:
    """Wire what needs all models to be there; called when they are."""
    for registration in registrations():
        wiring.install_relations(registration)


def _register(model: type[M], options: Options) -> type[M]:
    if not (isinstance(model, type) and issubclass(model, models.Model)):
        raise RegistrationError(f"register() takes a model, not {model!r}.")
    if model._meta.abstract:
        return _register_abstract(model, options)
    _check_model(model)
    present = find(model)
    if present is not None:
        if not present.inherited:
            raise _twice(model._meta.label)
        unregister(model)
    enter(Registration(model, options))
    return model


def _register_abstract(model: type[M], options: Options) -> type[M]:
    if model in _abstract:
        raise _twice(model.__name__)
    _abstract[model] = options
    for subclass in _subclasses(model):
        if find(subclass) is None:
            _inherit(subclass)
    return model


def _twice(name: str) -> RegistrationError:
    return RegistrationError(f"{name} is registered already: once, with all options.")


def _subclasses(model: type[models.Model]) -> Iterator[type[models.Model]]:
    for subclass in model.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _register_label(label: str, options: Options) -> Any:
    app_label, _, name = label.partition(".")
    if not app_label or not name or "." in name:
        raise RegistrationError(f"{label!r} is no label of a model: write 'app.Model'.")
    if apps.models_ready:
        try:
            return _register(apps.get_model(label), options)
        except LookupError as error:
            raise RegistrationError(f"There is no model {label!r}: {error}") from None
    apps.lazy_model_operation(functools.partial(_register, options=options), (app_label, name.lower()))
    return None


def _attribute(model: type[models.Model], name: str) -> Any:
    return next((vars(base)[name] for base in model.__mro__ if name in vars(base)), None)


def _check_model(model: type[models.Model]) -> None:
    if model._meta.proxy:
        real = model._meta.concrete_model._meta.label  # type: ignore[union-attr]
        raise RegistrationError(f"{model._meta.label} is a proxy: register {real}, whose changes it makes.")
    if model._meta.swapped:
        raise RegistrationError(f"{model._meta.label} is swapped for {model._meta.swapped}: register that one.")


def _check_names(model: type[models.Model], options: Options) -> None:
    meta = model._meta
    known = {name for field in (*meta.concrete_fields, *meta.many_to_many) for name in (field.name, field.attname)}
    for option in ("fields", "exclude"):
        for name in getattr(options, option) or ():
            if name not in known:
                raise RegistrationError(
                    f"{meta.label} has no field {name!r}, which {option}= names. "
                    f"{conf.did_you_mean(name, sorted(known))}"
                )
    for name in options.parent:
        try:
            field = meta.get_field(name)
        except FieldDoesNotExist:
            field = None
        if field is None or not getattr(field, "concrete", False) or not (field.many_to_one or field.one_to_one):
            keys = sorted(field.name for field in meta.concrete_fields if field.is_relation)
            raise RegistrationError(
                f"{meta.label} has no foreign key {name!r}, which parent= names. {conf.did_you_mean(name, keys)}"
            )


def _names(option: str, names: Iterable[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    listed = () if isinstance(names, str) else tuple(names)
    if isinstance(names, str) or not all(isinstance(name, str) for name in listed):
        raise RegistrationError(f"{option}= takes a list of names.")
    return listed


def _options(**given: Any) -> Options:
    age, permission, accessor = given["max_element_age"], given["permission"], given["accessor"]
    if age is not None and not conf.is_age(age):
        raise RegistrationError("max_element_age= takes a positive number of seconds, or a timedelta.")
    if given["max_elements"] is not None and not conf.is_count(given["max_elements"]):
        raise RegistrationError("max_elements= takes a positive whole number.")
    if not (permission is None or callable(permission) or _is_rule(permission)):
        raise RegistrationError(
            "permission= takes 'public', 'authenticated', the name of a permission ('app.codename'), or a function of "
            "request, model and primary key."
        )
    if not (isinstance(accessor, str) and accessor.isidentifier()):
        raise RegistrationError("accessor= takes the name of an attribute.")
    for option in ("model_feed", "narrow"):
        if not isinstance(given[option], bool):
            raise RegistrationError(f"{option}= takes True or False.")
    if given["full_saves"] not in ("changed", "all"):
        raise RegistrationError("full_saves= takes 'changed' or 'all'.")
    if given["narrow"] and given["full_saves"] == "all":
        raise RegistrationError(
            "narrow=True already makes diffs hold all that is written, and writes only what changed: leave "
            "full_saves='all' out, or narrow."
        )
    if given["databases"] is None:
        del given["databases"]
    elif not given["databases"]:
        raise RegistrationError("databases= takes at least one alias.")
    return Options(**given)


def _is_rule(permission: Any) -> bool:
    return isinstance(permission, str) and (permission in ("public", "authenticated") or "." in permission)


def _prepared(sender: type[models.Model], **_: Any) -> None:
    """A class has been defined: it may be a proxy of a registered model, or inherit options."""
    if sender._meta.proxy and sender._meta.apps is apps and find(sender) is not None:
        wiring.connect_proxy(sender)
    _inherit(sender)


def _inherit(model: type[models.Model]) -> None:
    """Register a model by the options of its abstract base, if it has one that is registered."""
    meta = model._meta
    if meta.apps is not apps or meta.abstract or meta.swapped or meta.proxy:
        return
    base = _abstract_base(model)
    if base is not None:
        enter(Registration(model, _abstract[base], inherited=True))


def _abstract_base(model: type[models.Model]) -> type[models.Model] | None:
    """The nearest of a model's abstract bases that are registered."""
    return next((base for base in model.__mro__[1:] if base in _abstract), None)


class_prepared.connect(_prepared, dispatch_uid="diffs.registry")
