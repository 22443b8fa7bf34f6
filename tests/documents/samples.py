"""Values that differ from run to run: a page shows a sample of each, and the real one takes its place."""

from __future__ import annotations

import re
from collections.abc import Iterator

_VARYING = re.compile(
    r"""
    (?P<token> \bdiffs\.[\w-]{20,}\.[\w-]{20,} )
    | (?P<cursor> \b[0-9a-z]{8}_[0-9a-f]{6,13}\b )
    | (?P<id> \b[0-9a-f]{22}\b )
    | (?P<etag> (?<=W/")[0-9a-f]{24}\b )
    | (?P<microseconds> \b[0-9]{16}\b )
    """,
    re.VERBOSE,
)
_MEASURED = re.compile(
    r"""
    (?P<server> \b(?:Valkey|Redis)\ [0-9.]+\b )
    | (?P<size> \b[0-9.]+\ (?:bytes|[KM]B)\b )
    | (?P<time> \b[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}\b )
    | (?P<retry> ^retry:\ [0-9]+$ )
    | (?P<age> \b(?:[0-9]+[dhms]\ )+ago\ \([0-9-]+\ [0-9:]+Z\) )
    """,
    re.MULTILINE | re.VERBOSE,
)


class Samples:
    """Which real value each sample of a page stands for, so that later blocks can use it."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def as_shown(self, shown: str, real: str) -> str:
        """What came out, with the page's samples in the place of real values.

        A sample means the same value everywhere in a page, and no other sample means it; where that doesn't hold
        the real value stays, and the two texts differ. Of what is only measured, any value will do.

        Args:
            shown: what the page shows.
            real: what came out.
        """
        sample_of = {value: sample for sample, value in self._real.items()}
        for expected, found in zip(_VARYING.finditer(shown), _VARYING.finditer(real), strict=False):
            if expected.lastgroup != found.lastgroup:
                break
            if expected[0] not in self._real and found[0] not in sample_of:
                self._real[expected[0]] = found[0]
                sample_of[found[0]] = expected[0]
        text = _VARYING.sub(lambda match: sample_of.get(match[0], match[0]), real)
        measured = _MEASURED.finditer(shown)
        return _MEASURED.sub(lambda match: _next(measured, match), text)

    def as_real(self, text: str) -> str:
        """A command with real values in the place of the page's samples."""
        return _VARYING.sub(lambda match: self._real.get(match[0], match[0]), text)


def _next(shown: Iterator[re.Match[str]], found: re.Match[str]) -> str:
    expected = next(shown, None)
    return expected[0] if expected is not None and expected.lastgroup == found.lastgroup else found[0]
