"""How long to wait before asking again."""

from __future__ import annotations

import logging
from collections.abc import Callable

from .answers import Failure
from .errors import Unavailable

logger = logging.getLogger("diffs.client")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds, between tries that fail."""

Clock = Callable[[], float]
"""Gives seconds from any beginning."""
Chance = Callable[[], float]
"""Gives numbers from 0 to below 1, each as likely."""


def backoff(count: int, chance: Chance) -> float:
    """Seconds after something went wrong for the `count`-th time in a row: twice as long each time, and never the
    same for all who were cut off at once."""
    longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(count - 1, 16))
    return longest * (0.5 + chance() / 2)


class Outage:
    """Failures in a row.

    Args:
        where: the address, for the log.
        patience: for how many seconds to try again; ``None``: without end.
        clock: tells how long it lasts.
        chance: spreads the tries.
    """

    def __init__(self, where: str, patience: float | None, clock: Clock, chance: Chance) -> None:
        self._where = where
        self._patience = patience
        self._clock = clock
        self._chance = chance
        self._count = 0
        self._since = 0.0

    def __bool__(self) -> bool:
        return self._count > 0

    def pause(self, failure: Failure) -> float:
        """Count a failure.

        Returns:
            Seconds until the next try.

        Raises:
            Unavailable: it would come too late.
        """
        now = self._clock()
        if not self._count:
            self._since = now
        self._count += 1
        seconds = (failure.retry_after or 0.0) + backoff(self._count, self._chance)
        if self._patience is not None and now - self._since + seconds > self._patience:
            raise Unavailable(failure.detail, status=failure.status, retry_after=failure.retry_after) from failure
        level = logging.WARNING if self._count == 1 else logging.INFO
        logger.log(level, "%s: %s; trying again in %.1f seconds.", self._where, failure.detail, seconds)
        return seconds

    def end(self) -> None:
        """There is an answer."""
        if self._count:
            logger.info("%s: it answers again.", self._where)
        self._count = 0
