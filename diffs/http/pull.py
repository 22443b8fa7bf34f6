"""The endpoint's core: from a request and the stored diffs to an answer, with no framework in between.

The steps are separate, so that whoever waits for news can repeat the later ones: `parse` what was asked, `authorise`
the reader, read what `Query.reads` names, `answer`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django.utils.http import parse_etags

from diffs.codec import Row
from diffs.collapse import collapse
from diffs.conf import settings
from diffs.cursor import Cursor
from diffs.diff import Diff
from diffs.errors import CursorExpired, StoreUnavailable, TokenError
from diffs.feed import to_diff
from diffs.keys import FeedName
from diffs.registration import find_label
from diffs.store import Store

from .addresses import Target
from .documents import Form, Member
from .permissions import Reader
from .problems import Problem
from .protocol import (
    BAD_TOKEN_CHALLENGE,
    CHALLENGE,
    METHODS,
    NO_CACHE,
    PRIVATE_CACHE,
    PRIVATE_VARY,
    PUBLIC_CACHE,
    PUBLIC_VARY,
)
from .query import Asked, Query, parse
from .recent import Found, recent
from .render import Part, Rendered, digest, part, wire_members
from .replies import Reply
from .snapshots import object_document
from .tokens import read_token

FAILURES = (Problem, StoreUnavailable)
"""What the steps raise, and `failure` makes answers of."""

_ALLOW = ("Allow", ", ".join(METHODS))
_OPTIONS = Reply(204, (_ALLOW,))
_EXPIRED = "This cursor is no longer honoured: fetch the object again, and go on from the cursor given here."
_WRONG_METHOD = Problem(405, "Diffs can only be read.", (_ALLOW,)).reply()


class Grant(NamedTuple):
    """A feed that a reader may pull."""

    target: Target
    reader: Reader
    by_token: bool
    """Whether a token opened it, and with it all that stands in it."""

    def sees(self, rendered: Rendered) -> bool:
        """Whether the reader may see a diff in this feed."""
        if rendered.is_own:
            return True
        registration = find_label(rendered.row.model)
        if registration is None:
            return False
        may_see = self.reader.may_see_deletion if rendered.is_deletion else self.reader.may_pull
        return self.by_token or may_see(registration, rendered.row.pk)

    def shows(self, rendered: Rendered) -> Part | None:
        """What the reader gets of a diff in this feed; ``None``: nothing."""
        if rendered.is_plain:
            return rendered.part
        if not self.sees(rendered):
            return None
        if rendered.part_with_actor is not None and self.sees_actor(rendered.row):
            return rendered.part_with_actor
        return rendered.part

    def sees_actor(self, row: Row) -> bool:
        """Whether the reader is shown who made a change of an object whose diffs it may see."""
        if settings.public_actors:
            return True
        registration = find_label(row.model)
        return not self.by_token and registration is not None and self.reader.may_see_actors(registration)


def respond(asked: Asked, reader: Reader, get_store: Callable[[], Store]) -> Reply:
    """Answer a request.

    Args:
        asked: the request.
        reader: who sent it.
        get_store: gives the store; not called where nothing is to be read.
    """
    if (reply := by_method(asked.method)) is not None:
        return reply
    try:
        query = parse(asked)
        grants = authorise(query, reader)
        reply = answer(asked, query, grants, read(asked, query, grants, get_store()))
    except FAILURES as error:
        reply = failure(error)
    return as_asked(asked.method, reply)


def by_method(method: str) -> Reply | None:
    """The answer to a method that reads nothing; ``None`` for the others."""
    if method == "OPTIONS":
        return _OPTIONS
    return None if method in METHODS else _WRONG_METHOD


def failure(error: Problem | StoreUnavailable) -> Reply:
    """The answer where a step failed."""
    return (unavailable(error) if isinstance(error, StoreUnavailable) else error).reply()


def as_asked(method: str, reply: Reply) -> Reply:
    """The answer as a method takes it."""
    return reply.without_body() if method == "HEAD" else reply


def unavailable(error: StoreUnavailable) -> Problem:
    """What is answered while Redis is away."""
    seconds = max(1, math.ceil(error.retry_after))
    return Problem(503, "The diffs can't be read just now: try again.", (("Retry-After", str(seconds)),))


def expired(error: CursorExpired) -> Problem:
    """What is answered to a cursor that is refused."""
    return Problem(410, _EXPIRED, reason=error.reason, cursor=error.cursor)


def authorise(query: Query, reader: Reader) -> list[Grant]:
    """Find out whether a reader may pull the feeds.

    Raises:
        Problem: 401 or 403.
    """
    opened = _opened(query, reader) if query.tokens else frozenset()
    grants = []
    for target in query.targets:
        registration, pk, (name, *_), _ = target
        by_token = name in opened
        if not by_token and not reader.may_pull(registration, pk):
            problem = _refusal(reader)
            raise problem.of_feed(str(name)) if query.several else problem
        grants.append(Grant(target, reader, by_token))
    return grants


def _opened(query: Query, reader: Reader) -> frozenset[FeedName]:
    """The feeds that tokens open."""
    try:
        leaves = list(map(read_token, query.tokens))
        opened = frozenset(leave.feed for leave in leaves)
        if not opened <= {target.feed.name for target in query.targets}:
            raise TokenError("This feed token is for another feed.")
        if not all(leave.user is None or reader.is_user(leave.user) for leave in leaves):
            raise TokenError("This feed token is for another user, or for one who isn't logged in here.")
    except TokenError as error:
        raise Problem(401, str(error), (("WWW-Authenticate", BAD_TOKEN_CHALLENGE),)) from None
    return opened


def _refusal(reader: Reader) -> Problem:
    if reader.is_authenticated:
        return Problem(403, "You may not see this feed.")
    return Problem(401, "Log in, or send a feed token, to see this feed.", (("WWW-Authenticate", CHALLENGE),))


def read(asked: Asked, query: Query, grants: Sequence[Grant], store: Store) -> list[Found | CursorExpired]:
    """Read what is asked for, as far as this process doesn't have it.

    Args:
        asked: the request.
        query: what it asks for.
        grants: what `authorise` gave.
        store: where it is.

    Raises:
        StoreUnavailable: Redis is away.
    """
    return recent.read(store, query.reads, [grant.target.own for grant in grants], asked.form)


def answer(asked: Asked, query: Query, grants: Sequence[Grant], pages: Sequence[Found | CursorExpired]) -> Reply:
    """Answer with what was read.

    Args:
        asked: the request.
        query: what it asks for.
        grants: what `authorise` gave.
        pages: what `read` gave.

    Raises:
        Problem: 410, or 404 for the snapshot of an object that isn't there.
    """
    form = asked.form
    failed = False
    if query.several:
        feeds = []
        for grant, page in zip(grants, pages, strict=True):
            name = ("feed", form.value(str(grant.target.feed.name)))
            try:
                feeds.append(_feed_part(query, grant, page, form, name))
            except Problem as problem:
                failed = True
                feeds.append(part(form.document([name, ("error", form.value(problem.document()))])))
        array, digests = _joined(form, feeds)
        document = Part(form.document([("feeds", array)]), digest(digests))
    else:
        document = _feed_part(query, grants[0], pages[0], form)
    return _page_reply(asked, document, grants, failed=failed)


def _feed_part(query: Query, grant: Grant, page: Found | CursorExpired, form: Form, *before: Member) -> Part:
    """What is said of one feed.

    Raises:
        Problem: see `answer`.
    """
    if isinstance(page, CursorExpired):
        raise expired(page)
    if not (page.rendered or page.more or before or query.snapshot):
        return _nothing_new(form, page.cursor)
    after = [("snapshot", form.value(object_document(grant.target)))] if query.snapshot else []
    diffs = _folded(grant, page, form) if query.collapse else _visible(grant, page)
    return _page_part(form, page.cursor, page.more, diffs, before, after)


@functools.lru_cache(maxsize=2048)
def _nothing_new(form: Form, cursor: Cursor) -> Part:
    """What most polls get, and many of them the same."""
    return _page_part(form, cursor, False, (), (), ())


def _page_part(
    form: Form, cursor: Cursor, more: bool, diffs: Sequence[Part], before: Sequence[Member], after: Sequence[Member]
) -> Part:
    array, digests = _joined(form, diffs)
    head = [*before, ("cursor", form.value(str(cursor))), ("more", form.value(more))]
    # Pages are told apart without going over each diff again.
    told = b"".join([value for _, value in (*head, *after)]) + digests
    return Part(form.document([*head, ("diffs", array), *after]), digest(told))


def _joined(form: Form, parts: Sequence[Part]) -> Part:
    bodies, digests = zip(*parts, strict=True) if parts else ((), ())
    return Part(form.array(bodies), b"".join(digests))


def _visible(grant: Grant, page: Found) -> list[Part]:
    plain = [one.part for one in page.rendered if one is not None and one.is_plain]
    if len(plain) == len(page.rendered):
        return plain
    return [shown for one in page.rendered if one is not None and (shown := grant.shows(one)) is not None]


def _folded(grant: Grant, page: Found, form: Form) -> list[Part]:
    visible = [one for one in page.rendered if one is not None and grant.sees(one)]
    diffs = collapse(to_diff(*one.stored, page.cursor.epoch, one.row) for one in visible)
    return [part(form.value(_with_actor(diff, grant))) for diff in diffs]


def _with_actor(diff: Diff, grant: Grant) -> dict[str, Any]:
    row = Row(diff.model, diff.pk)
    members = wire_members(diff, row, diff.position)
    return {**members, "actor": diff.actor} if diff.actor is not None and grant.sees_actor(row) else members


def _page_reply(asked: Asked, document: Part, grants: Sequence[Grant], *, failed: bool) -> Reply:
    is_private = any(grant.by_token or grant.reader.was_asked for grant in grants)
    etag = f'W/"{document.digest.hex()}"'
    headers = (
        ("ETag", etag),
        ("Cache-Control", NO_CACHE if failed else PRIVATE_CACHE if is_private else PUBLIC_CACHE),
        ("Vary", PRIVATE_VARY if is_private else PUBLIC_VARY),
    )
    if _is_known(etag, asked.if_none_match):
        return Reply(304, headers)
    return Reply(200, (("Content-Type", asked.form.media_type), *headers), document.body)


def _is_known(etag: str, if_none_match: str) -> bool:
    if not if_none_match or if_none_match == etag:
        return bool(if_none_match)
    known = parse_etags(if_none_match)
    return "*" in known or etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in known]
