"""What the diffs of a test say against what its database holds.

Django's tests roll back what they write, so its diffs would never leave. Before the rollback, those that wait for the
commit are folded into rows, which must be the rows in the tables, and then they are sent. Both go for all writes since
the test's class began: what a class sets up is rolled back as a whole, after its last test.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from django.test import TestCase

from diffs import pks
from diffs.capture import values
from diffs.capture.transaction import Handover, deliver
from diffs.codec import Encoder, decode
from diffs.diff import CREATE, DELETE
from diffs.registration import Registration, find_label, registrations

Rows = dict[str, dict[str, dict[str, Any]]]
"""By model label and canonical primary key: what a diff of all fields would say."""

EXAMPLES = 3
"""Of how many rows of a model a difference is told."""

found: dict[str, dict[str, str]] = {}
"""By test id and model label: how diffs and tables differ."""

compared: Counter[str] = Counter()
"""How many rows were compared, by app label."""


@functools.cache
def watch() -> None:
    """Check each test of a `TestCase` from now on."""
    enter, teardown = TestCase._enter_atomics, TestCase._fixture_teardown

    def _enter_atomics(cls: type[TestCase]) -> dict[str, Any]:
        if DEFAULT_DB_ALIAS in cls.databases and not connection.in_atomic_block:
            cls.rows_before = _tables(cls)
        return enter.__func__(cls)

    def _fixture_teardown(self: TestCase) -> None:
        try:
            if self._databases_support_transactions():
                _check(self)
                _send(self.databases)
        finally:
            teardown(self)

    TestCase._enter_atomics = classmethod(_enter_atomics)
    TestCase._fixture_teardown = _fixture_teardown


def _check(test: TestCase) -> None:
    # After an error in the database there is nothing to ask any more.
    if DEFAULT_DB_ALIAS not in test.databases or connection.needs_rollback or not connection.is_usable():
        return
    folded, unknown = _fold(type(test).rows_before)
    expected = _tables(type(test), unknown)
    for label in expected:
        compared[label.partition(".")[0]] += len(expected[label])
        if lines := list(_differences(expected[label], folded.get(label, {}))):
            told = [f"{label}: {len(lines)} rows", *lines[:EXAMPLES]]
            found.setdefault(test.id(), {})[label] = "\n".join(told)


def _differences(table: Mapping[str, Any], diffs: Mapping[str, Any]) -> Iterator[str]:
    for pk in sorted(table.keys() | diffs.keys()):
        if table.get(pk) != diffs.get(pk):
            yield f"  {pk}\n    in the table {table.get(pk)}\n    in the diffs {diffs.get(pk)}"


def _waiting(alias: str) -> Iterator[Handover]:
    return (function for _, function, _ in connections[alias].run_on_commit if isinstance(function, Handover))


def _send(databases: Iterable[str]) -> None:
    for alias in databases:
        if not connections[alias].is_usable():
            # A test has broken its transaction, which no commit could follow.
            continue
        deliver([handover for handover in _waiting(alias) if not handover.delivered])


def _fold(before: Rows) -> tuple[Rows, set[str]]:
    """The rows that the diffs make, and the models whose readers are told to look for themselves."""
    rows = {label: {pk: dict(data) for pk, data in table.items()} for label, table in before.items()}
    unknown: set[str] = set()
    for handover in _waiting(DEFAULT_DB_ALIAS):
        if handover.floors:
            everything = before.keys() if handover.floors.everything else ()
            unknown.update(everything, handover.floors.models, (name.model for name in handover.floors.feeds))
        for feed, member, *_ in handover.entries:
            table = rows.setdefault(feed.name.model, {})
            change = decode(member)
            if change.action == DELETE:
                table.pop(feed.name.pk, None)
            elif change.action == CREATE:
                fields = find_label(feed.name.model).many_to_many
                table[feed.name.pk] = {**{field.name: [] for field in fields}, **change.data}
            else:
                table.setdefault(feed.name.pk, {}).update(change.data)
    return rows, unknown


def _tables(cls: type[TestCase], without: Collection[str] = ()) -> Rows:
    app_label = cls.__module__.partition(".")[0]
    existing = _existing_tables()
    return {
        registration.label: dict(_table(registration))
        for registration in registrations()
        if registration.model._meta.app_label == app_label
        and registration.label not in without
        and existing.issuperset(_table_names_of(registration))
    }


@functools.cache
def _existing_tables() -> frozenset[str]:
    return frozenset(connection.introspection.table_names())


def _table_names_of(registration: Registration) -> set[str]:
    through = (field.remote_field.through for field in registration.many_to_many)
    return {model._meta.db_table for model in (registration.model, *through)}


def _table(registration: Registration) -> Iterator[tuple[str, Mapping[str, Any]]]:
    rows = models.QuerySet(registration.model, using=DEFAULT_DB_ALIAS).order_by()
    linked: dict[Any, dict[str, list[Any]]] = {}
    for field in registration.many_to_many:
        for pk, target in rows.values_list("pk", field.name):
            linked.setdefault(pk, {}).setdefault(field.name, []).append(target)
    names = [field.attname for field in registration.fields]
    for pk, *columns in rows.values_list("pk", *names):
        data = {
            field.name: values.stored(field, value) for field, value in zip(registration.fields, columns, strict=True)
        }
        for field in registration.many_to_many:
            data[field.name] = values.many_to_many_data(field, linked[pk][field.name])
        yield pks.text(registration.model, pk), _as_read(data)


def _as_read(data: dict[str, Any]) -> Mapping[str, Any]:
    return decode(Encoder(CREATE, 0, bytes(4), data).own()).data
