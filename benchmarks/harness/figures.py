"""Medians, quartiles and ratios of what was measured round by round."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KEY = "microseconds"


@dataclass(frozen=True, slots=True)
class Figure:
    """What the rounds gave for one quantity."""

    median: float
    low: float
    """The lower quartile."""
    high: float
    """The upper quartile."""
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Sum up the values of all rounds.

        Raises:
            ValueError: there are none.
        """
        if not values:
            raise ValueError("There is nothing to sum up.")
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))

    def as_dict(self) -> dict[str, float]:
        """The numbers by name, as results keep them."""
        return {"median": self.median, "low": self.low, "high": self.high, "rounds": self.rounds}


class Samples:
    """What each contender replied in each round; the n-th replies of all contenders are of one round."""

    def __init__(self, replies: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self.replies = replies

    def values(self, contender: str, key: str = KEY) -> list[float]:
        """A contender's figure, round by round."""
        return [float(reply[key]) for reply in self.replies[contender]]

    def figure(self, contender: str, key: str = KEY) -> Figure:
        """A contender's figure, summed up."""
        return Figure.of(self.values(contender, key))

    def ratio(self, contender: str, baseline: str, key: str = KEY) -> Figure:
        """How many times the baseline's figure a contender's is, computed in each round by itself."""
        return self.combine(lambda own, base: own / base, contender, baseline, key=key)

    def combine(self, formula: Any, *contenders: str, key: str = KEY) -> Figure:
        """A quantity computed in each round from several contenders' figures.

        Args:
            formula: takes the contenders' figures of a round, in the order in which they are named.
            contenders: their names.
            key: which figure of theirs.
        """
        rounds = zip(*(self.values(contender, key) for contender in contenders), strict=True)
        return Figure.of([formula(*figures) for figures in rounds])

    def as_dict(self, key: str = KEY) -> dict[str, dict[str, float]]:
        """All contenders' figures, as a row's details show them."""
        return {contender: self.figure(contender, key).as_dict() for contender in self.replies}
