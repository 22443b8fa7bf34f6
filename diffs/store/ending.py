"""What is done before a process ends."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable

_registered: set[Callable[[], None]] = set()


def before_end(function: Callable[[], None]) -> None:
    """Have a function called before this process ends of itself.

    Whoever starts something that has to be ended says so then, and not when the module is loaded: the processes that
    multiprocessing forks forget what was registered before, and up to Python 3.12 they don't ask `atexit` at all.

    Args:
        function: may be named often; it is called once or twice.
    """
    if function in _registered:
        return
    _registered.add(function)
    atexit.register(function)
    if (util := sys.modules.get("multiprocessing.util")) is not None:
        util.Finalize(None, function, exitpriority=0)


os.register_at_fork(after_in_child=_registered.clear)
