"""What is done before a process ends."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable

_registered: set[Callable[[], None]] = set()


def before_end(function: Callable[[], None]) -> None:
    """Have a function called before this process ends of itself.

    Whoever starts something that has to be ended says so again then: the processes that multiprocessing forks forget
    what was said before, and up to Python 3.12 they don't ask `atexit` at all.

    Args:
        function: is called once or twice, the last one that was named first.
    """
    if function in _registered:
        return
    _registered.add(function)
    atexit.register(function)
    if (util := sys.modules.get("multiprocessing.util")) is not None:
        util.Finalize(None, function, exitpriority=0)


os.register_at_fork(after_in_child=_registered.clear)
