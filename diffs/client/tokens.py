"""What opens feeds: sent in a header only, and never shown."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping

Token = str | Mapping[str, str] | None
"""One for whatever is asked, or one for each feed by its name; ``None``: none."""
Source = Token | Callable[[], Token]
AsyncSource = Source | Callable[[], Awaitable[Token]]

_VISIBLE = re.compile(r"[!-~]+", re.ASCII)


class Tokens:
    """The tokens of a client.

    Args:
        source: the tokens, or what gives them; it is asked again when they were refused.

    Raises:
        ValueError: one is no token.
    """

    def __init__(self, source: AsyncSource) -> None:
        self.source: Callable[[], Awaitable[Token] | Token] | None = source if callable(source) else None
        self._token: Token = None
        self.is_wanted = self.source is not None
        """Whether `source` is to be called, and `take` to be given what comes of it."""
        if not callable(source):
            self.take(source)

    def take(self, token: Token) -> None:
        """Use tokens from now on.

        Raises:
            ValueError: one is no token. The message doesn't show it.
        """
        texts: Iterable[object] = token.values() if isinstance(token, Mapping) else [token]
        if not all(text is None or isinstance(text, str) and _VISIBLE.fullmatch(text) for text in texts):
            raise ValueError("A token is a text of visible ASCII characters, without spaces or line breaks.")
        self._token = token
        self.is_wanted = False

    def forget(self) -> bool:
        """The tokens were refused.

        Returns:
            Whether there may be others.
        """
        self.is_wanted = self.source is not None
        return self.is_wanted

    def headers(self, feeds: Iterable[str]) -> dict[str, str]:
        """The headers that open feeds."""
        token = self._token
        if isinstance(token, Mapping):
            token = ", ".join(token[feed] for feed in feeds if feed in token)
        return {"Authorization": f"Bearer {token}"} if token else {}
