"""The account: which of Django's tests may fail with every model registered, and why; and the judgement by it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REASONS = ("counts queries", "counts receivers")
"""Capture asks the database in places and listens to signals: a test may notice that, and nothing else."""

KEYS = {"test", "reason", "message", "why", "django", "database"}

Outcomes = Mapping[str, Mapping[str, str]]
"""By test id: `outcome`, and for a failed test `message` (the error's first line) and `traceback`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A test that fails with every model registered, as it should."""

    test: str
    """The test's id, as unittest spells it."""
    reason: str
    """One of `REASONS`."""
    message: str
    """First line of the error that it fails with: another one is not accounted for."""
    why: str
    """What capture does that the test notices."""
    django: tuple[str, ...] = ()
    """The feature versions (`"5.2"`) that the entry is for; none: all."""
    database: tuple[str, ...] = ()
    """The databases that the entry is for; none: all."""


@dataclass(slots=True)
class Judgement:
    """What the two runs say about django-diffs."""

    passed: list[str] = field(default_factory=list)
    """Tests that end as they do without registration, or fail as the account says."""
    accounted: list[str] = field(default_factory=list)
    """Those among `passed` that fail as the account says."""
    failed: dict[str, str] = field(default_factory=dict)
    """By test id: what is wrong."""
    unjudged: list[str] = field(default_factory=list)
    """Tests that fail without registration too, and so say nothing."""


class AccountError(Exception):
    """The account itself is wrong: the message names the entry and what to mend."""


def load(path: Path) -> list[Entry]:
    """Read the account file.

    Raises:
        AccountError: An entry lacks something, has an unknown key or reason, or stands beside another of its kind.
    """
    entries: list[Entry] = []
    for raw in tomllib.loads(path.read_text()).get("failure", []):
        name = raw.get("test", "an entry without a test")
        if unknown := raw.keys() - KEYS:
            raise AccountError(f"{name}: unknown keys {sorted(unknown)}")
        if missing := {"test", "reason", "message", "why"} - raw.keys():
            raise AccountError(f"{name}: missing keys {sorted(missing)}")
        if raw["reason"] not in REASONS:
            raise AccountError(f"{name}: {raw['reason']!r} is no reason; the only ones are {', '.join(REASONS)}")
        raw.update({key: tuple(raw.get(key, ())) for key in ("django", "database")})
        entries.append(Entry(**raw))
    return entries


def applying(entries: Iterable[Entry], *, django: str, database: str, labels: Iterable[str]) -> dict[str, Entry]:
    """The entries that a run must meet, by test.

    Args:
        entries: The whole account.
        django: Feature version of the run, `"5.2"`.
        database: `"sqlite"` or `"postgresql"`.
        labels: What was run: an app of Django's tests or the dotted path of a part of it.

    Raises:
        AccountError: Two entries apply to one test.
    """
    found: dict[str, Entry] = {}
    for entry in entries:
        for_version = not entry.django or django in entry.django
        for_database = not entry.database or database in entry.database
        was_run = any(f"{entry.test}.".startswith(f"{label}.") for label in labels)
        if for_version and for_database and was_run:
            if entry.test in found:
                raise AccountError(f"{entry.test}: two entries apply")
            found[entry.test] = entry
    return found


def judge(plain: Outcomes, registered: Outcomes, account: Mapping[str, Entry]) -> Judgement:
    """Compare the two runs test by test, and hold what differs against the account.

    Args:
        plain: Outcomes without registration.
        registered: Outcomes with every model registered.
        account: The entries that apply, by test.
    """
    judgement = Judgement()
    for test in sorted(plain.keys() | registered.keys() | account.keys()):
        before = plain.get(test, {}).get("outcome", "missing")
        after = registered.get(test, {}).get("outcome", "missing")
        entry = account.get(test)
        if before == "failed":
            judgement.unjudged.append(test)
        elif before == "missing" and after == "missing":
            judgement.failed[test] = "stale account: there is no such test"
        elif entry and after != "failed":
            judgement.failed[test] = f"stale account: {after}, accounted as {entry.message!r}"
        elif entry and registered[test]["message"] != entry.message:
            judgement.failed[test] = f"fails with {registered[test]['message']!r}, accounted as {entry.message!r}"
        elif entry:
            judgement.accounted.append(test)
            judgement.passed.append(test)
        elif after == before:
            if before != "skipped":
                judgement.passed.append(test)
        elif after == "failed":
            judgement.failed[test] = registered[test]["traceback"]
        else:
            judgement.failed[test] = f"{before} without registration, {after} with it"
    return judgement
