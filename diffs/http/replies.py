"""An answer, before it becomes one of a framework's."""

from __future__ import annotations

import dataclasses

Header = tuple[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """What goes back to the client."""

    status: int
    headers: tuple[Header, ...]
    body: bytes = b""

    def without_body(self) -> Reply:
        """The answer to HEAD where this is the one to GET."""
        if not self.body:
            return self
        return Reply(self.status, (*self.headers, ("Content-Length", str(len(self.body)))))
