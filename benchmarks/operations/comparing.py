"""Reading without one part or another of what the script compares of the server."""

from __future__ import annotations

import functools
import hashlib

from diffs.store import scripts
from diffs.store.scripts import Script

PARTS = {
    "replication id": r"still_says('replication', '\nmaster_replid:', replid)",
    "evicted keys": r"still_says('stats', '\nevicted_keys:', evicted)",
}


def leave_out(*, parts: list[str]) -> None:
    """From now on this process's reads go without.

    Args:
        parts: keys of `PARTS`.

    Raises:
        ValueError: the script has no such part.
    """
    load = scripts.load

    @functools.cache
    def shortened(name: str) -> Script:
        text = load(name).text
        if name == "read":
            for part in parts:
                if PARTS[part] not in text:
                    raise ValueError(f"The script does not say {PARTS[part]!r}.")
                text = text.replace(PARTS[part], "true")
        return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    shortened("read")
    scripts.load = shortened
