"""What ends an iteration, or comes of a single question; each docstring is the advice."""

from __future__ import annotations

from diffs.errors import DiffsError


class ClientError(DiffsError):
    """The root of what the client raises.

    Args:
        detail: what the server said of it, or what was wrong.
        status: of HTTP; ``None`` where there was no answer.
        feed: the feed that it is about; ``None`` where it may be any of several.
        parameter: the parameter that it is about, where the server names one.
    """

    def __init__(
        self, detail: str, *, status: int | None = None, feed: str | None = None, parameter: str | None = None
    ) -> None:
        self.detail = detail
        self.status = status
        self.feed = feed
        self.parameter = parameter
        about = " ".join(filter(None, [str(status) if status else "", f"for {feed}" if feed else ""]))
        super().__init__(f"{about}: {detail}" if about else detail)


class BadRequest(ClientError):
    """The server can't make sense of the request: `detail` says why, and `parameter` and `feed` of what."""


class Unauthorized(ClientError):
    """A login or a good token is wanted: get one, and begin again from the last cursor."""


class Forbidden(ClientError):
    """Whoever is logged in may not see `feed`, or the only one."""


class NotFound(ClientError):
    """There is no such feed, or no such object: look at the names."""


class NotDiffs(ClientError):
    """What answers at this address is no diffs endpoint: give the address where the site mounts it."""


class Unavailable(ClientError):
    """The server can't be reached, or can't answer now: try again, after `retry_after` seconds if it said so.

    Args:
        retry_after: seconds, where the server named them.
        detail, status: see `ClientError`.
    """

    def __init__(self, detail: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(detail, status=status)
