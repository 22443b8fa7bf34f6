"""Diffs to the bytes that are stored, and back.

A member is a head of twelve bytes and a body::

    byte 0       format (high four bits, now 1), then a bit each for "foreign row" and "actor", then the action
    bytes 1-7    version, big-endian
    bytes 8-11   nonce: with the version the diff's id
    body         msgpack objects, one behind the other:
                 model and pk, only where the row isn't the one that the feed is named after;
                 the actor, only where there is one;
                 a list of the fields that have changed but are not in the data, only where there are some;
                 the data (a deletion without any has none)

The head can be read without msgpack, also by a Lua script. Dates, date-times and UUIDs are stored in binary form
(msgpack extension types 1 to 4) and read as the text that Django's JSON serializer gives them, save that
microseconds are kept.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import math
import os
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgpack

from .diff import CREATE, DELETE, UPDATE, Action
from .errors import MemberError, SerializationError

FORMAT = 1
HEAD_LENGTH = 12
MAX_VERSION = 2**56 - 1
MAX_SAFE_INTEGER = 2**53 - 1

_ACTIONS: tuple[Action, ...] = (CREATE, UPDATE, DELETE)
_BITS = {action: FORMAT << 4 | number for number, action in enumerate(_ACTIONS)}
_FOREIGN = 0b1000
_ACTOR = 0b0100
_ACTION_BITS = 0b0011

_AWARE, _NAIVE, _DATE, _UUID = 1, 2, 3, 4
_UNIX = dt.datetime(1970, 1, 1)
_UNIX_UTC = _UNIX.replace(tzinfo=dt.timezone.utc)
_FIRST = dt.datetime.min.replace(tzinfo=dt.timezone.utc)
_LAST = dt.datetime.max.replace(tzinfo=dt.timezone.utc)
_MICROSECOND = dt.timedelta(microseconds=1)
_UNIX_DAY = _UNIX.toordinal()


class Row(NamedTuple):
    """An object: which model, and which primary key in the form of Django's serializers."""

    model: str
    pk: Any


class Change(NamedTuple):
    """What a member says."""

    id: str
    action: Action
    version: int
    row: Row | None
    """Whose change it is; ``None``: the object that the feed is named after."""
    actor: str | None
    data: Mapping[str, Any]
    omitted: tuple[str, ...] = ()
    """Fields that have changed, whose values were too large for `data`."""


class _Nonces:
    """Numbers that two processes, or a process and its fork, hardly ever give at the same moment."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Go on from a place of one's own."""
        self._pid = os.getpid()
        self._numbers = itertools.count(int.from_bytes(os.urandom(4), "big"))

    def __call__(self) -> bytes:
        # Not every fork is Python's own.
        if self._pid != os.getpid():
            self.begin()
        return (next(self._numbers) & 0xFFFF_FFFF).to_bytes(4, "big")


new_nonce = _Nonces()


def diff_id(version: int, nonce: bytes) -> str:
    """A diff's id: 22 hexadecimal digits."""
    return version.to_bytes(7, "big").hex() + nonce.hex()


class Encoder:
    """Makes the members of one change: each feed gets its own, with the same id and the same data.

    Args:
        action: what happened.
        version: orders the changes of a row; 0 to 2**56 - 1.
        nonce: four bytes, see `new_nonce`.
        data: field names to values: ``None``, bool, int within ±2**53, float, str, list, dict with text keys,
            datetime, date, UUID.
        actor: who did it, or ``None``.
        omitted: fields that have changed as well, none of which is in `data`.

    Raises:
        SerializationError: `data` holds something else.
    """

    __slots__ = ("_bits", "_identity", "_rest")

    def __init__(
        self,
        action: Action,
        version: int,
        nonce: bytes,
        data: Mapping[str, Any],
        actor: str | None = None,
        omitted: Collection[str] = (),
    ) -> None:
        self._bits = _BITS[action]
        self._identity = version.to_bytes(7, "big") + nonce
        self._rest = _pack(data) if data or omitted or action != DELETE else b""
        if omitted:
            self._rest = _pack(list(omitted)) + self._rest
        if actor is not None:
            self._bits |= _ACTOR
            self._rest = _pack(actor) + self._rest

    def own(self) -> bytes:
        """The member for the feed that is named after the changed object."""
        return b"%c%b%b" % (self._bits, self._identity, self._rest)

    def foreign(self, row: Row) -> bytes:
        """The member for any other feed.

        Args:
            row: the changed object.
        """
        return bytes((self._bits | _FOREIGN,)) + self._identity + _pack(row.model) + _pack(row.pk) + self._rest


def decode(member: bytes) -> Change:
    """Read a member.

    Raises:
        MemberError: the bytes are damaged, or of a format that this release doesn't know.
    """
    if len(member) < HEAD_LENGTH or member[0] >> 4 != FORMAT or member[0] & _ACTION_BITS >= len(_ACTIONS):
        raise MemberError("A stored diff is damaged or of an unknown format.")
    bits = member[0]
    objects = _unpack(member[HEAD_LENGTH:])
    objects.reverse()
    try:
        row = Row(objects.pop(), objects.pop()) if bits & _FOREIGN else None
        actor = objects.pop() if bits & _ACTOR else None
        omitted = objects.pop() if objects and isinstance(objects[-1], list) else None
        data = objects.pop() if objects or omitted is not None or _ACTIONS[bits & _ACTION_BITS] != DELETE else {}
    except IndexError:
        raise MemberError("A stored diff is cut short.") from None
    if (
        objects
        or not isinstance(data, dict)
        or not isinstance(actor, _TEXT)
        or not (row is None or _is_row(*row))
        or (omitted is not None and not _are_omitted(omitted, data))
    ):
        raise MemberError("A stored diff is damaged.")
    return Change(
        id=member[1:HEAD_LENGTH].hex(),
        action=_ACTIONS[bits & _ACTION_BITS],
        version=version_of(member),
        row=row,
        actor=actor,
        data=data,
        omitted=() if omitted is None else tuple(omitted),
    )


def version_of(member: bytes) -> int:
    """A member's version; 0 of what is too short to be one."""
    return int.from_bytes(member[1:8], "big") if len(member) >= HEAD_LENGTH else 0


def with_version(member: bytes, version: int) -> bytes:
    """A member with another version; the nonce stays.

    Args:
        member: the member.
        version: 0 to 2**56 - 1.
    """
    return member[:1] + version.to_bytes(7, "big") + member[8:]


def _are_omitted(names: Sequence[Any], data: Mapping[str, Any]) -> bool:
    are_names = bool(names) and all(isinstance(name, str) for name in names)
    return are_names and len(set(names)) == len(names) and data.keys().isdisjoint(names)


def packed_size(value: Any) -> int:
    """How many bytes a value takes in a member.

    Raises:
        SerializationError: a diff can't hold it.
    """
    return len(_pack(value))


_TEXT = (str, type(None))
_KEY = (int, str)


def _is_row(model: Any, pk: Any) -> bool:
    """Whether this can name an object: whoever reads the diff relies on it."""
    is_key = isinstance(pk, _KEY) or (isinstance(pk, list) and all(isinstance(part, _KEY) for part in pk))
    return is_key and isinstance(model, str)


def timestamp_text(value: dt.datetime) -> str:
    """ISO 8601 as Django's JSON serializer writes it, without cutting microseconds off."""
    text = value.isoformat(timespec="milliseconds" if value.microsecond % 1000 == 0 != value.microsecond else "auto")
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


class _PerThread(threading.local):
    def __init__(self) -> None:
        # Making one takes longer than packing a diff.
        self._pack = msgpack.Packer(default=_pack_extension).pack
        self._is_packing = False

    def pack(self, value: Any) -> bytes:
        packed: bytes
        if self._is_packing:  # and a signal's handler came in between
            packed = msgpack.packb(value, default=_pack_extension)
            return packed
        self._is_packing = True
        try:
            packed = self._pack(value)
            return packed
        finally:
            self._is_packing = False


def _pack(value: Any) -> bytes:
    _check(value)
    try:
        return _per_thread.pack(value)
    except SerializationError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise SerializationError(f"A diff can't hold this value: {error}") from error


def _check(value: Any) -> None:
    """Refuse what msgpack would store although no reader could take it."""
    check = _CHECKS.get(type(value), _check_other)
    if check is not None:
        check(value)


def _check_whole(value: int) -> None:
    if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        raise SerializationError("A diff can't hold a number beyond 2**53: make it text.")


def _check_float(value: float) -> None:
    if not math.isfinite(value):
        raise SerializationError("A diff can't hold a number that is none: make it text.")


def _check_mapping(value: Mapping[Any, Any]) -> None:
    for key, item in value.items():
        if not isinstance(key, str):
            raise SerializationError("A diff can't hold keys that are no text.")
        check = _CHECKS.get(type(item), _check_other)
        if check is not None:
            check(item)


def _check_list(value: Iterable[Any]) -> None:
    for item in value:
        _check(item)


def _check_moment(value: dt.datetime) -> None:
    if value.tzinfo is not None and value.tzinfo is not dt.timezone.utc and not _FIRST <= value <= _LAST:
        raise SerializationError("A diff can't hold a time that no calendar has in UTC.")


def _check_bytes(value: Any) -> None:
    raise SerializationError("A diff can't hold bytes: make them text.")


_CHECKS: dict[type, Callable[[Any], None] | None] = {
    str: None,
    type(None): None,
    bool: None,
    dt.date: None,
    uuid.UUID: None,
    int: _check_whole,
    float: _check_float,
    dict: _check_mapping,
    list: _check_list,
    dt.datetime: _check_moment,
}
_CHECKED_BASES: tuple[tuple[type | tuple[type, ...], Callable[[Any], None]], ...] = (
    (int, _check_whole),
    (float, _check_float),
    (Mapping, _check_mapping),
    ((list, tuple), _check_list),
    (dt.datetime, _check_moment),
    ((bytes, bytearray, memoryview), _check_bytes),
)


def _check_other(value: Any) -> None:
    for bases, check in _CHECKED_BASES:
        if isinstance(value, bases):
            check(value)
            break


def _pack_extension(value: Any) -> msgpack.ExtType:
    if isinstance(value, dt.datetime):
        if value.utcoffset() is None:
            return _extension(_NAIVE, _signed((value - _UNIX) // _MICROSECOND, 8))
        return _extension(_AWARE, _signed((value - _UNIX_UTC) // _MICROSECOND, 8))
    if isinstance(value, dt.date):
        return _extension(_DATE, _signed(value.toordinal() - _UNIX_DAY, 4))
    if isinstance(value, uuid.UUID):
        return _extension(_UUID, value.bytes)
    raise SerializationError(
        f"A diff can't hold a {type(value).__module__}.{type(value).__qualname__}: turn it into text, a number, "
        "a list or a dict."
    )


def _extension(code: int, payload: bytes) -> msgpack.ExtType:
    # Not ExtType(), which looks at what it is given: that takes longer than packing it.
    extension: msgpack.ExtType = tuple.__new__(msgpack.ExtType, (code, payload))
    return extension


_per_thread = _PerThread()


def _signed(number: int, length: int) -> bytes:
    return number.to_bytes(length, "big", signed=True)


def _render_extension(code: int, payload: bytes) -> str:
    if code in (_AWARE, _NAIVE):
        start = _UNIX_UTC if code == _AWARE else _UNIX
        return timestamp_text(start + int.from_bytes(payload, "big", signed=True) * _MICROSECOND)
    if code == _DATE:
        return dt.date.fromordinal(int.from_bytes(payload, "big", signed=True) + _UNIX_DAY).isoformat()
    if code == _UUID:
        return str(uuid.UUID(bytes=bytes(payload)))
    raise MemberError("A stored diff holds a value of an unknown kind.")


_unpacker = functools.partial(msgpack.Unpacker, ext_hook=_render_extension, strict_map_key=True)


def _unpack(body: bytes) -> list[Any]:
    unpacker = _unpacker(max_buffer_size=max(len(body), 1))
    unpacker.feed(body)
    objects: list[Any] = []
    end = 0
    try:
        while end < len(body):
            objects.append(unpacker.unpack())
            end = unpacker.tell()
    except Exception as error:  # whatever a damaged member makes msgpack or a constructor raise
        raise MemberError("A stored diff is damaged.") from error
    return objects
