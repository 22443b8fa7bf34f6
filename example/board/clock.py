"""A clock that runs faster than time."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta


class SimulatedClock:
    """Tells the day's time and waits for moments of it."""

    def __init__(
        self,
        start: datetime,
        speed: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Start the clock.

        Args:
            start: The day's time now.
            speed: The day's seconds per real second; 0 means that nobody ever waits.
            monotonic: Tells real seconds.
            sleep: Waits for real seconds.
        """
        self._start = start
        self._speed = speed
        self._monotonic = monotonic
        self._sleep = sleep
        self._began = monotonic()

    def wait_until(self, moment: datetime) -> None:
        """Return when the moment has come; at once where it has passed.

        Args:
            moment: A time of the day.
        """
        if self._speed:
            due = self._began + (moment - self._start) / timedelta(seconds=self._speed)
            self._sleep(max(0.0, due - self._monotonic()))
