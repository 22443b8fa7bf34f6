"""What httpx does and says, in the words of the steps."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Any

import httpx

from .answers import Answer, Failure
from .endpoint import Ask
from .errors import ClientError

MAX_BYTES = 64 * 1024 * 1024
"""The largest answer that is taken."""
BODY_SECONDS = 60.0
"""How long an answer may take from its beginning to its end."""

FAILURES = (httpx.TransportError, httpx.DecodingError, Failure)
AGENT = f"django-diffs python-httpx/{httpx.__version__}"


class Receiving:
    """An answer that is coming in.

    Args:
        ask: what was asked.
        timeout: seconds for everything but the answer's beginning.
        clock: gives seconds.
    """

    def __init__(self, ask: Ask, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._deadline = self._began + ask.seconds + BODY_SECONDS
        self._chunks: list[bytes] = []
        self._size = 0
        self.options: dict[str, Any] = {
            "params": ask.parameters,
            "headers": {"User-Agent": AGENT, **ask.headers},
            "timeout": httpx.Timeout(timeout, read=ask.seconds),
            # Wherever else it leads, the token isn't meant for there.
            "follow_redirects": False,
        }

    def add(self, chunk: bytes) -> None:
        """Take in a piece.

        Raises:
            ClientError: there are too many.
            Failure: it takes too long.
        """
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > MAX_BYTES:
            raise ClientError(f"An answer is larger than {MAX_BYTES} bytes: ask with a lower limit.")
        if self._clock() > self._deadline:
            raise Failure("the answer doesn't end")

    def whole(self, response: httpx.Response) -> Answer:
        """The answer."""
        return Answer(response.status_code, response.headers, b"".join(self._chunks), self._clock() - self._began)


def failure(error: Exception) -> Failure:
    """Why there is no answer.

    Raises:
        ClientError: asking again would end in the same way.
    """
    if isinstance(error, Failure):
        return error
    detail = "no answer in time" if isinstance(error, httpx.ReadTimeout) else str(error) or type(error).__name__
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        raise ClientError(detail) from error
    wrapped = Failure(detail, is_foreign=_is_untrusted(error))
    wrapped.__cause__ = error
    return wrapped


def _is_untrusted(error: BaseException | None) -> bool:
    """Whether the server showed a certificate that isn't to be trusted."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
