"""The account: what may differ with every model registered, and why; and the judgement by it."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REASONS = ("counts queries", "counts receivers")
"""Capture asks the database in places and listens to signals: a test may notice that, and nothing else."""

Outcomes = Mapping[str, Mapping[str, str]]
"""By test id: `outcome`, and for a failed test `message` (the error's first line) and `traceback`."""


class AccountError(Exception):
    """The account itself is wrong: the message names the entry and what to mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a test does differently with every model registered."""

    test: str
    """The test's id, as unittest spells it."""
    why: str
    """What of django-diffs the test runs into."""
    django: tuple[str, ...] = ()
    """The feature versions (`"5.2"`) that the entry is for; none: all."""
    database: tuple[str, ...] = ()
    """The databases that the entry is for; none: all."""

    def applies(self, django: str, database: str, labels: Iterable[str]) -> bool:
        """Whether a run must meet this entry."""
        for_version = not self.django or django in self.django
        for_database = not self.database or database in self.database
        return for_version and for_database and any(f"{self.test}.".startswith(f"{label}.") for label in labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure(Entry):
    """A test that fails with every model registered, as it should."""

    reason: str
    """One of `REASONS`."""
    message: str
    """First line of the error that it fails with, `*` for anything: another error is not accounted for."""

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise AccountError(f"{self.test}: {self.reason!r} is no reason; the only ones are {', '.join(REASONS)}")

    def covers(self, message: str) -> bool:
        """Whether this is the error that was expected."""
        pattern = ".*".join(map(re.escape, self.message.split("*")))
        return re.fullmatch(pattern, message) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence(Entry):
    """A test after which the diffs do not say what the tables hold, because it did what capture can't see."""

    models: tuple[str, ...]
    """Labels of the models whose diffs and tables differ, sorted: others are not accounted for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint(Entry):
    """A test in which django-diffs logs that something is wrong, as it should."""

    message: str
    """What it logs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsteady(Entry):
    """A test that passes or fails as the machine pleases, and so says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The entries that a run must meet, by test."""

    failures: Mapping[str, Failure] = field(default_factory=dict)
    divergences: Mapping[str, Divergence] = field(default_factory=dict)
    complaints: Mapping[str, Complaint] = field(default_factory=dict)
    unsteady: Mapping[str, Unsteady] = field(default_factory=dict)


KINDS: Mapping[str, type[Entry]] = {
    "failure": Failure,
    "divergence": Divergence,
    "complaint": Complaint,
    "unsteady": Unsteady,
}
"""By the tables of the account file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of running Django's tests once."""

    outcomes: Outcomes
    divergences: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By test id and model label: how diffs and table differ at the test's end."""
    logs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By test id: warnings and errors that django-diffs logged."""
    compared: Mapping[str, int] = field(default_factory=dict)
    """By app label: how many rows of tables were compared with what the diffs say."""


@dataclass(slots=True)
class Judgement:
    """What the two runs say about django-diffs."""

    passed: list[str] = field(default_factory=list)
    """Tests that end as they do without registration, or differ as the account says."""
    accounted: list[str] = field(default_factory=list)
    """Those among `passed` that differ as the account says."""
    failed: dict[str, str] = field(default_factory=dict)
    """By test id: what is wrong."""
    unjudged: list[str] = field(default_factory=list)
    """Tests that fail without registration too, or are unsteady, and so say nothing."""


def load(path: Path, *, django: str, database: str, labels: Iterable[str]) -> Account:
    """Read from the account file what a run must meet.

    Args:
        path: the file.
        django: feature version of the run, `"5.2"`.
        database: `"sqlite"` or `"postgresql"`.
        labels: what is run: apps of Django's tests or dotted paths of parts of them.

    Raises:
        AccountError: an entry lacks something, has what it can't have, or stands beside another for the same test.
    """
    raw = tomllib.loads(path.read_text())
    found: list[dict[str, Any]] = []
    for kind, cls in KINDS.items():
        by_test: dict[str, Any] = {}
        for entry in [_entry(cls, each) for each in raw.pop(kind, [])]:
            if entry.applies(django, database, labels):
                if entry.test in by_test:
                    raise AccountError(f"{entry.test}: two entries apply")
                by_test[entry.test] = entry
        found.append(by_test)
    if raw:
        raise AccountError(f"unknown tables {sorted(raw)}")
    return Account(failures=found[0], divergences=found[1], complaints=found[2], unsteady=found[3])


def _entry(cls: type[Entry], raw: Mapping[str, Any]) -> Any:
    name = raw.get("test", "an entry without a test")
    known = {each.name for each in fields(cls)}
    if unknown := raw.keys() - known:
        raise AccountError(f"{name}: unknown keys {sorted(unknown)}")
    if missing := known - {"django", "database"} - raw.keys():
        raise AccountError(f"{name}: missing keys {sorted(missing)}")
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()})


def judge(plain: Run, registered: Run, account: Account) -> Judgement:
    """Compare the two runs test by test, and hold what differs against the account."""
    judgement = Judgement()
    accounted = account.failures.keys() | account.divergences.keys() | account.complaints.keys()
    for test in sorted(plain.outcomes.keys() | registered.outcomes.keys() | registered.logs.keys() | accounted):
        before = plain.outcomes.get(test, {}).get("outcome", "missing")
        after = registered.outcomes.get(test, {"outcome": "missing"})
        if before == "failed" or test in account.unsteady:
            judgement.unjudged.append(test)
        elif before == after["outcome"] == "skipped" and test not in accounted:
            continue
        elif wrong := [
            *_failure(before, after, account.failures.get(test)),
            *_divergence(registered.divergences.get(test, {}), account.divergences.get(test)),
            *_complaint(set(registered.logs.get(test, ())), account.complaints.get(test)),
        ]:
            judgement.failed[test] = "\n".join(wrong)
        else:
            judgement.passed.append(test)
            if test in accounted:
                judgement.accounted.append(test)
    return judgement


def _failure(before: str, after: Mapping[str, str], entry: Failure | None) -> Iterator[str]:
    """What is wrong with how a test ended."""
    outcome = after["outcome"]
    if entry is None:
        if outcome == "failed":
            yield after["traceback"]
        elif outcome != before:
            yield f"{before} without registration, {outcome} with it"
    elif outcome != "failed":
        yield f"stale account: {outcome}, accounted as {entry.message!r}"
    elif not entry.covers(after["message"]):
        yield f"fails with {after['message']!r}, accounted as {entry.message!r}\n{after['traceback']}"


def _divergence(found: Mapping[str, str], entry: Divergence | None) -> Iterator[str]:
    """What is wrong with the diffs that a test left."""
    expected = () if entry is None else entry.models
    if tuple(sorted(found)) != expected:
        yield f"diffs and tables differ in {sorted(found)}, accounted are {list(expected)}"
        yield from found.values()


def _complaint(found: Collection[str], entry: Complaint | None) -> Iterator[str]:
    """What is wrong with what django-diffs logged."""
    expected = set() if entry is None else {entry.message}
    if found != expected:
        yield f"logged are {sorted(found)}, accounted are {sorted(expected)}"
