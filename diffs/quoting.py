"""Primary keys' texts in paths, quoted as Django's admin does it."""

from __future__ import annotations

import re

# As Django's admin does it, whose module would load all that the admin needs; and dots, which browsers resolve.
_QUOTES = {ord(character): f"_{ord(character):02X}" for character in ':/_#?;@&=+$,"[]<>%\n\\'}
_CHARACTERS = {code: chr(number) for number, code in [*_QUOTES.items(), (ord("."), "_2E")]}
_QUOTED = re.compile("|".join(_CHARACTERS))


def quote(pk_text: str) -> str:
    """Write a primary key's text so that it can stand in a path."""
    return pk_text.replace(".", "_2E") if pk_text in (".", "..") else pk_text.translate(_QUOTES)


def unquote(quoted: str) -> str:
    """Undo `quote`."""
    if "_" not in quoted:
        return quoted
    return _QUOTED.sub(lambda match: _CHARACTERS[match[0]], quoted)
