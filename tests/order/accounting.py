"""Whether every change that was committed is in its feeds, once, and nothing else."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple


class Noted(NamedTuple):
    """A diff that there has to be, as its change was committed."""

    order: int
    """Rises with the commits of a row."""
    token: str
    """Of the change."""
    feed: str
    pk: int


class Told(NamedTuple):
    """A diff that a feed holds."""

    id: str
    pk: int
    token: str
    """Of the change that it is of, or that it takes the place of."""
    text: str | None
    """The token of the change whose values it holds, where these say so."""


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """What became of changes, a diff in a feed each."""

    committed: int
    delivered: int
    """In the feed, once."""
    replaced: int
    """Late; the feed holds the row as it was then or later."""
    refused: int
    """Late; the feed's readers from before are refused."""
    lost: list[str]
    doubled: list[str]
    uncommitted: list[str]
    """What the feeds hold of changes that were rolled back."""


def account(
    noted: Iterable[Noted],
    told: Mapping[str, Sequence[Told]],
    late: Collection[tuple[str, str]],
    floored: Collection[str] = (),
) -> Account:
    """Compare what was committed with what feeds hold.

    Args:
        noted: what the database knows of.
        told: by feed its diffs.
        late: feeds and tokens of diffs that came late, so that another took their place.
        floored: feeds whose floor was raised.
    """
    due: Counter[tuple[str, str, int]] = Counter()
    orders: dict[str, int] = {}
    for one in noted:
        due[one.token, one.feed, one.pk] += 1
        orders[one.token] = min(one.order, orders.get(one.token, one.order))
    found: Counter[tuple[str, str, int]] = Counter()
    newest: dict[tuple[str, int], int] = defaultdict(int)
    doubled, uncommitted = [], []
    for feed, diffs in told.items():
        ids = Counter(diff.id for diff in diffs)
        doubled += [f"{feed}: {id} {count} times" for id, count in ids.items() if count > 1]
        for diff in diffs:
            found[diff.token, feed, diff.pk] += 1
            uncommitted += [f"{feed}: {name}" for name in (diff.token, diff.text) if name and name not in orders]
            seen = max(orders.get(diff.token, 0), orders.get(diff.text or "", 0))
            newest[feed, diff.pk] = max(newest[feed, diff.pk], seen)
    delivered = replaced = refused = 0
    lost = []
    for (token, feed, pk), count in due.items():
        here = found[token, feed, pk]
        name = f"{feed}: {token} of {pk}"
        if (feed, token) in late and newest[feed, pk] >= orders[token]:
            replaced += count
        elif (feed, token) in late and feed in floored:
            refused += count
        elif here < count:
            lost += [name] * (count - here)
            delivered += here
        else:
            delivered += count
            doubled += [name] * (here - count)
    return Account(due.total(), delivered, replaced, refused, lost, doubled, uncommitted)
