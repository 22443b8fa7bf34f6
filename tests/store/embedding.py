"""What the tests of the embedded server share."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from diffs.store import embedded


def release(folder: Path) -> None:
    """What the end of this process would do."""
    if folder in embedded._held:
        with contextlib.suppress(OSError):
            os.close(embedded._held.pop(folder))
