"""Django as it is without this package, to compare with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from diffs import registry
from diffs.registration import registrations


@contextlib.contextmanager
def nothing_registered() -> Iterator[None]:
    """No model is registered in this block, and nothing of Django patched."""
    found = list(registrations())
    for registration in found:
        registry.unregister(registration.model)
    try:
        yield
    finally:
        for registration in found:
            registry.enter(registration)
