"""Helpers for the tests of projects that use django-diffs.

They need neither pytest nor a Redis server: where ``DIFFS_SETTINGS["test_mode"]`` is on, an in-process fake stands in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any
from unittest import mock

from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings as django_settings
from django.db import connections, models
from django.test import TestCase, override_settings
from django.test.utils import TestContextDecorator

from . import codec, registry
from .capture.transaction import Handover
from .conf import NAME, did_you_mean, settings
from .diff import Diff
from .errors import RegistrationError, StoreUnavailable
from .feed import Feed, FeedManager, feed_of, own_row, to_diff
from .registration import find
from .store import Entry, FeedRef, Outcome, Read, Store, Upkeep, drain, get_store

__all__ = ["DiffsTestMixin", "assertDiffs", "captured_diffs", "fresh_store", "registered"]

Expected = tuple[str, Mapping[str, Any]] | Mapping[str, Any]
Subject = models.Model | type[models.Model] | FeedManager[Any] | Iterable[Diff]

_ATTRIBUTES = frozenset({field.name for field in dataclasses.fields(Diff)} | {"created", "timestamp"})
# More than any test puts into a feed.
_EVERYTHING = 1_000_000


class registered(TestContextDecorator):
    """A model is registered in this block, function or class of tests, and afterwards as it was before.

    A model that is registered already gets other options for as long::

        with registered(Invoice, model_feed=True):
            ...

    Args:
        model: a concrete model, or its label.
        options: what ``diffs.register`` takes.

    Raises:
        RegistrationError: on entering, the model can't be registered so.
    """

    def __init__(self, model: type[models.Model] | str, **options: Any) -> None:
        super().__init__()
        self._named = model
        self._options = options

    def enable(self) -> type[models.Model]:
        """Register the model."""
        self._model = apps.get_model(self._named) if isinstance(self._named, str) else self._named
        if self._model._meta.abstract:
            raise RegistrationError("An abstract model's subclasses stay registered: name a concrete model.")
        self._before = find(self._model)
        if self._before is not None:
            registry.unregister(self._model)
        try:
            return registry.register(self._model, **self._options)
        except BaseException:
            self._restore()
            raise

    def disable(self) -> None:
        """Take the registration back."""
        registry.unregister(self._model)
        self._restore()

    def _restore(self) -> None:
        if self._before is not None:
            registry.enter(self._before)


@contextlib.contextmanager
def fresh_store(*, fake: bool = False) -> Iterator[Store]:
    """Feeds of this block's own: empty at first, removed at the end, and nobody else's are touched.

    On a real server they stand under a prefix of their own, so that tests in several processes don't meet.

    Args:
        fake: use the in-process fake, whatever the settings say.

    Raises:
        ConfigurationError: the settings don't describe a server, or the fake's package is missing.
    """
    own = {"prefix": f"{settings.prefix}-test-{secrets.token_hex(8)}", "test_mode": fake or settings.test_mode}
    with override_settings(**{NAME: {**getattr(django_settings, NAME, {}), **own}}):
        store = get_store()
        try:
            yield store
        finally:
            drain()
            with contextlib.suppress(StoreUnavailable):
                Upkeep(store).remove_everything()


class captured_diffs:
    """The diffs that this block makes, each change once, in the order in which they were made.

    At its end the functions that wait for the commit are called, as ``captureOnCommitCallbacks(execute=True)`` does,
    so that it works in a ``TestCase``, whose transaction is never committed::

        with captured_diffs() as made:
            question.save()
        assert made[0].data == {"votes": 1}

    The list is filled as diffs reach the store: in a transaction, when the block ends. What Redis didn't take, because
    it is away, isn't there. In asynchronous tests use ``async with``.
    """

    def __enter__(self) -> list[Diff]:
        self._made: list[Diff] = []
        self._seen: set[str] = set()
        self._stack = contextlib.ExitStack()
        drain()
        self._stack.enter_context(self._listening())
        self._stack.callback(drain)
        for alias in connections:
            self._stack.enter_context(TestCase.captureOnCommitCallbacks(using=alias, execute=True))
        return self._made

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    async def __aenter__(self) -> list[Diff]:
        return await sync_to_async(self.__enter__)()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await sync_to_async(self.__exit__)(kind, error, traceback)

    def _listening(self) -> contextlib.AbstractContextManager[Any]:
        original = Store.append

        def append(store: Store, entries: Iterable[Entry], **options: Any) -> Outcome:
            listed = list(entries)
            outcome = original(store, listed, **options)
            with contextlib.suppress(StoreUnavailable):
                self._made += self._read_back(store, listed)
            return outcome

        return mock.patch.object(Store, "append", append)

    def _read_back(self, store: Store, entries: Sequence[Entry]) -> Iterator[Diff]:
        """One diff of each change, with its timestamp in the object's own feed, which is named first."""
        wanted: dict[bytes, FeedRef] = {}
        for ref, member, *_ in entries:
            change = codec.decode(member)
            if change.id not in self._seen:
                self._seen.add(change.id)
                wanted[member] = ref
        found: dict[FeedRef, dict[bytes, Diff]] = defaultdict(dict)
        for ref in set(wanted.values()):
            page = store.read_one(Read(feed=ref, limit=_EVERYTHING))
            for member, position in page.stored:
                if wanted.get(member) == ref:
                    found[ref][member] = to_diff(member, position, page.cursor.epoch, own_row(ref))
        return (found[ref][member] for member, ref in wanted.items() if member in found[ref])


def assertDiffs(subject: Subject, expected: Sequence[Expected], msg: str | None = None) -> None:
    """Fail unless these are the diffs, in this order.

    Args:
        subject: an object (its feed has its children's diffs, too), a model with a model feed, a feed, or a list of
            diffs, such as ``captured_diffs()`` gives.
        expected: for each diff a pair of action and data, or a dict of those attributes of `Diff` that matter.
        msg: what to say first on failure.

    Raises:
        AssertionError: they are others; the message shows both.
        ValueError: a dict names something that a `Diff` has not.
    """
    drain()
    diffs = feed_of(subject) if isinstance(subject, models.Model | type) else subject
    found = list(diffs)
    wanted = [_checked(each) if isinstance(each, Mapping) else _pair(*each) for each in expected]
    shown = [
        {name: getattr(diff, name) for name in (wanted[index] if index < len(wanted) else ("action", "data"))}
        for index, diff in enumerate(found)
    ]
    if shown != wanted:
        title = repr(diffs) if isinstance(diffs, Feed | FeedManager) else "The diffs"
        heading = f"{title}: expected {len(wanted)}, found {len(shown)}."
        lines = [*([msg] if msg else []), heading, *_comparison(wanted, shown), *_advice()]
        raise AssertionError("\n".join(lines))


class DiffsTestMixin:
    """For classes of tests: each test has feeds of its own, empty at first, and `assertDiffs`.

    Write it before the other bases, and call ``super().setUp()`` where the class has a ``setUp`` of its own. What
    ``setUpTestData`` makes leaves no diffs in them.
    """

    if TYPE_CHECKING:
        addCleanup: Callable[..., None]

    captured_diffs = captured_diffs

    def setUp(self) -> None:
        """Empty the feeds."""
        super().setUp()  # type: ignore[misc]
        store = fresh_store()
        store.__enter__()
        self.addCleanup(store.__exit__, None, None, None)

    def assertDiffs(self, subject: Subject, expected: Sequence[Expected], msg: str | None = None) -> None:
        """Fail unless these are the diffs, in this order: see the function of this name."""
        assertDiffs(subject, expected, msg)


def _pair(action: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {"action": action, "data": data}


def _checked(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    if unknown := sorted(attributes.keys() - _ATTRIBUTES):
        raise ValueError(f"A Diff has no attribute {unknown[0]!r}. {did_you_mean(unknown[0], sorted(_ATTRIBUTES))}")
    return attributes


def _comparison(wanted: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The diffs in their order: once where they are as expected, else first what was expected, then what was found."""
    for number, (left, right) in enumerate(itertools.zip_longest(wanted, shown), 1):
        if left == right:
            yield f"    {number}. {_line(left)}"
            continue
        for sign, row in (("-", left), ("+", right)):
            if row is not None:
                yield f"  {sign} {number}. {_line(row)}"


def _line(row: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in row.items() if name not in ("action", "data")}
    parts = [str(row["action"])] if "action" in row else []
    parts += [repr(row["data"])] if "data" in row else []
    return " ".join([*parts, *(f"{name}={value!r}" for name, value in rest.items())])


def _advice() -> Iterator[str]:
    functions = (entry[1] for alias in connections for entry in connections[alias].run_on_commit)
    handovers = (function for function in functions if isinstance(function, Handover))
    waiting = [handover for handover in handovers if handover.entries and not handover.delivered]
    if waiting:
        yield (
            f"Changes that wait for a commit, and so are not among them: {len(waiting)}. Make them in "
            "`with captured_diffs():`."
        )
