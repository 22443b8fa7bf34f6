"""What the server said, understood; or why that can't be."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgpack

from diffs import cursor as cursors
from diffs.cursor import Cursor
from diffs.diff import CREATE, DELETE, UPDATE
from diffs.errors import CursorError

from .errors import BadRequest, ClientError, Forbidden, NotDiffs, NotFound, Unauthorized
from .values import Diff, Reset, Snapshot

JSON = "application/json"
MSGPACK = "application/msgpack"
PROBLEM = "application/problem+json"
ACCEPT = f"{MSGPACK}, {JSON};q=0.5"

LONGEST_RETRY_AFTER = 3600.0
"""Seconds; who is told to wait for longer asks after that time."""

_ACTIONS = (CREATE, UPDATE, DELETE)
_REJECTED = {400: BadRequest, 401: Unauthorized, 403: Forbidden, 404: NotFound}
_TRY_AGAIN = (408, 425, 429)
_APPLIED = re.compile(r"\bwait *= *\"?0*[1-9]", re.ASCII | re.IGNORECASE)
_MOST = re.compile(r"from 0 to ([0-9]{1,9})\b", re.ASCII)


class Answer(NamedTuple):
    """An answer, whole."""

    status: int
    headers: Mapping[str, str]
    """By names in any case."""
    body: bytes
    seconds: float
    """How long it took."""

    @property
    def has_waited(self) -> bool:
        """Whether the server says that it waits for news."""
        return bool(_APPLIED.search(self.headers.get("Preference-Applied", "")))

    @property
    def media_type(self) -> str:
        """Of the body, without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


class Failure(Exception):
    """There is no answer, or none that the endpoint would give; another try may help.

    Args:
        detail: what was wrong.
        status: of HTTP; ``None`` where there was no answer.
        retry_after: seconds, where the server named them.
        is_foreign: whether something else seems to be at this address, unless the endpoint was seen there before.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        is_foreign: bool = False,
    ) -> None:
        self.detail = detail
        self.status = status
        self.retry_after = retry_after
        self.is_foreign = is_foreign
        super().__init__(detail)

    def as_error(self) -> ClientError:
        """What to raise where nothing like the endpoint was ever seen at the address."""
        return NotDiffs(self.detail, status=self.status)


class FeedPage(NamedTuple):
    """What was said of one feed."""

    diffs: Sequence[Diff]
    cursor: str
    more: bool


def check(answer: Answer, feeds: Sequence[str]) -> None:
    """Return where an answer holds what was asked for, or the refusal of a cursor.

    Args:
        answer: the answer.
        feeds: the feeds that were asked for.

    Raises:
        ClientError: asking again would bring the same.
        Failure: it may not.
    """
    status = answer.status
    if status == 200:
        return
    problem = _problem(answer)
    if status in _TRY_AGAIN or status >= 500:
        detail = problem.detail if problem else f"the server answers with status {status}"
        raise Failure(detail, status=status, retry_after=_retry_after(answer.headers))
    if problem and status == 410:
        return
    if problem is None and status not in (401, 403):
        raise Failure(_foreign(answer), status=status, is_foreign=True)
    detail, members = problem or _Problem("The refusal comes from something in front of the diffs endpoint.", {})
    feed, parameter = (members.get(name) if isinstance(members.get(name), str) else None for name in _MEMBERS)
    if len(feeds) == 1:
        feed = feeds[0]
    raise _REJECTED.get(status, ClientError)(detail, status=status, feed=feed, parameter=parameter)


def longest_wait(error: BadRequest) -> int:
    """The longest wait that the server takes, as it says where one was too long; 0 where it doesn't say."""
    match = _MOST.search(error.detail)
    return int(match[1]) if match else 0


def read_pages(answer: Answer, asked: Mapping[str, str]) -> list[FeedPage | Reset]:
    """What is said of each feed.

    Args:
        answer: one that passed `check`.
        asked: the cursors that were sent, by feed, in the order of the request.

    Raises:
        ClientError: a feed has an error that asking again would bring again.
        Failure: the answer is damaged.
    """
    document = _document(answer)
    try:
        parts = document["feeds"] if len(asked) > 1 else [{"error": document} if answer.status == 410 else document]
        return [_of_feed(part, *one) for part, one in zip(parts, asked.items(), strict=True)]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _damaged(answer) from error


def read_snapshot(answer: Answer, feed: str) -> Snapshot:
    """An object as it is.

    Raises:
        Failure: the answer is damaged.
    """
    document = _document(answer)
    try:
        row = document["snapshot"]
        return Snapshot(
            feed=feed,
            cursor=_text(document["cursor"]),
            model=_text(row["model"]),
            pk=row["pk"],
            data=row["data"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(answer) from error


class _Problem(NamedTuple):
    detail: str
    members: Mapping[str, Any]


_MEMBERS = ("feed", "parameter")


def _problem(answer: Answer) -> _Problem | None:
    if answer.media_type != PROBLEM:
        return None
    try:
        members = json.loads(answer.body)
        return _Problem(_text(members["detail"]), members)
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _document(answer: Answer) -> Any:
    kind = answer.media_type
    if kind not in (MSGPACK, JSON, PROBLEM):
        raise Failure(_foreign(answer), status=answer.status, is_foreign=True)
    try:
        return msgpack.unpackb(answer.body) if kind == MSGPACK else json.loads(answer.body)
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise _damaged(answer) from error


def _of_feed(part: Any, feed: str, since: str) -> FeedPage | Reset:
    error = part.get("error")
    if error is not None:
        if error.get("status", 410) != 410:
            raise ClientError(_text(error["detail"]), status=error["status"], feed=feed)
        return Reset(feed=feed, reason=_text(error["reason"]), cursor=_text(error["cursor"]))
    cursor = _text(part["cursor"])
    try:
        epoch = cursors.parse(cursor).epoch
    except CursorError:
        # Of a later release: whoever goes on from the middle of a page gets its beginning again.
        diffs = [_diff(item, feed, since) for item in part["diffs"]]
    else:
        diffs = [_diff(item, feed, str(Cursor(epoch, item["timestamp"]))) for item in part["diffs"]]
    return FeedPage(diffs, cursor, bool(part["more"]))


def _diff(item: Any, feed: str, cursor: str) -> Diff:
    if item["action"] not in _ACTIONS:
        raise ValueError("No such action.")
    actor = item.get("actor")
    return Diff(
        feed=feed,
        id=_text(item["id"]),
        action=item["action"],
        data=item["data"],
        omitted=_texts(item.get("omitted", [])),
        position=_number(item["timestamp"]),
        cursor=cursor,
        model=_text(item["model"]),
        pk=item["pk"],
        version=int(item["version"]),
        actor=None if actor is None else _text(actor),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("No text.")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("No list.")
    return tuple(map(_text, value))


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError("No whole number.")
    return value


def _damaged(answer: Answer) -> Failure:
    return Failure("the answer is damaged, or of another release", status=answer.status)


def _foreign(answer: Answer) -> str:
    target = answer.headers.get("Location")
    if 300 <= answer.status < 400 and target:
        # Without its query, which may hold more than belongs into a log.
        target = target.partition("?")[0].partition("#")[0]
        return f"redirected to {target}, where no token is sent: if that is the right address, give it instead"
    return f"this is no answer of a diffs endpoint: status {answer.status}, {answer.media_type or 'of no type'}"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    else:
        try:
            moment = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.timezone.utc)
        seconds = (moment - dt.datetime.now(dt.timezone.utc)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
