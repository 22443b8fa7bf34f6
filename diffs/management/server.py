"""What the commands have in common: the server, and what to say when it is away."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from django.core.management import CommandError

from diffs.conf import NAME
from diffs.errors import ConfigurationError, StoreUnavailable
from diffs.store import Upkeep, drain, get_store


@contextlib.contextmanager
def upkeep() -> Iterator[Upkeep]:
    """The configured server's feeds; what is wrong with it ends the command with advice.

    Raises:
        CommandError: the server is away, or the settings can't be used.
    """
    work: Upkeep | None = None
    try:
        drain()
        work = Upkeep(get_store())
        yield work
    except ConfigurationError as error:
        raise CommandError(str(error)) from error
    except StoreUnavailable as error:
        where = f" at {work.address}" if work else ""
        why = f" ({type(error.__cause__).__name__})" if error.__cause__ else ""
        raise CommandError(
            f"{str(error).rstrip('.')}{where}{why}: is the server of {NAME}['redis'] running, and may this machine and "
            "this user reach it?"
        ) from error
