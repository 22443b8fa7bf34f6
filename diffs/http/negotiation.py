"""Which of the forms on offer a client prefers."""

from __future__ import annotations

import functools

from django.http import HttpRequest

from .documents import FORMS
from .protocol import EVENT_STREAM, JSON

_ANY = frozenset({"", "*/*", JSON})
"""What most clients send; reading another ``Accept`` takes longer than the rest of a poll."""
_MAX_REMEMBERED = 500
"""Characters; what is longer is read anew each time."""


def preferred(accept: str, *, can_stream: bool = False) -> str:
    """The media type to answer with.

    Args:
        accept: the header of that name; empty without one.
        can_stream: whether an event stream is on offer, to whoever names it.
    """
    if accept in _ANY:
        return JSON
    return (_remembered if len(accept) <= _MAX_REMEMBERED else _preferred)(accept, can_stream)


def _preferred(accept: str, can_stream: bool) -> str:
    offered = list(FORMS)
    # A stream is for nobody who takes just anything.
    if can_stream and EVENT_STREAM in accept.lower():
        offered.append(EVENT_STREAM)
    request = HttpRequest()
    request.META["HTTP_ACCEPT"] = accept
    return request.get_preferred_type(offered) or JSON


_remembered = functools.lru_cache(maxsize=512)(_preferred)
