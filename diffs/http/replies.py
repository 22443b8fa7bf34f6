"""An answer, before it becomes one of a framework's."""

from __future__ import annotations

from typing import NamedTuple

Header = tuple[str, str]


class Reply(NamedTuple):
    """What goes back to the client."""

    status: int
    headers: tuple[Header, ...]
    body: bytes = b""

    def without_body(self) -> Reply:
        """The answer to HEAD where this is the one to GET."""
        if not self.body:
            return self
        return Reply(self.status, (*self.headers, ("Content-Length", str(len(self.body)))))
