"""The forms that a document can take, put together from parts that were rendered before."""

from __future__ import annotations

import abc
import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgpack

from .protocol import JSON, MSGPACK

Member = tuple[str, bytes]
"""A name, which holds nothing that would have to be escaped, and a rendered value."""


class Form(abc.ABC):
    """A media type, and how values become its bytes."""

    media_type: str

    @abc.abstractmethod
    def value(self, value: Any) -> bytes:
        """Render a value.

        Raises:
            TypeError, ValueError, OverflowError, RecursionError: it has no such form.
        """

    @abc.abstractmethod
    def array(self, items: Sequence[bytes]) -> bytes:
        """Join rendered items."""

    @abc.abstractmethod
    def document(self, members: Sequence[Member]) -> bytes:
        """Join names and rendered values."""


class _Json(Form):
    media_type = JSON

    # Without NaN, which isn't JSON: a browser would reject the whole page.
    _encode = staticmethod(json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode)

    def value(self, value: Any) -> bytes:
        return self._encode(value).encode()

    def array(self, items: Sequence[bytes]) -> bytes:
        return b"[%b]" % b",".join(items)

    def document(self, members: Sequence[Member]) -> bytes:
        return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), value) for name, value in members)


class _Msgpack(Form):
    media_type = MSGPACK

    def value(self, value: Any) -> bytes:
        packed: bytes = msgpack.packb(value)
        return packed

    def array(self, items: Sequence[bytes]) -> bytes:
        return self._join(msgpack.Packer().pack_array_header(len(items)), items)

    def document(self, members: Sequence[Member]) -> bytes:
        header = msgpack.Packer().pack_map_header(len(members))
        return self._join(header, (part for name, value in members for part in (self.value(name), value)))

    @staticmethod
    def _join(header: bytes, parts: Iterable[bytes]) -> bytes:
        return b"".join((header, *parts))


AS_JSON: Form = _Json()
AS_MSGPACK: Form = _Msgpack()
FORMS = {form.media_type: form for form in (AS_JSON, AS_MSGPACK)}
