"""The endpoint's core: from a request and the stored diffs to an answer, with no framework in between.

The steps are separate, so that whoever waits for news can repeat the later ones: `parse` what was asked, `authorise`
the reader, read what `Query.reads` names, `answer`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from django.utils.http import parse_etags

from diffs import pks
from diffs.codec import Row
from diffs.collapse import collapse
from diffs.conf import settings
from diffs.diff import Diff
from diffs.errors import CursorExpired, StoreUnavailable, TokenError
from diffs.feed import to_diff
from diffs.registration import find_label
from diffs.store import Page, Store, Stored

from .addresses import Target
from .documents import Form
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
from .render import Rendered, cache, wire_members
from .replies import Reply
from .snapshots import object_document
from .tokens import read_token

_ALLOW = ("Allow", ", ".join(METHODS))
_OPTIONS = Reply(204, (_ALLOW,))
_EXPIRED = "This cursor is no longer honoured: fetch the object again, and go on from the cursor given here."
_WRONG_METHOD = Problem(405, "Diffs can only be read.", (_ALLOW,)).reply()


class Grant(NamedTuple):
    """A feed that a reader may pull."""

    target: Target
    own: Row | None
    """The object that the feed is named after; ``None`` for a model feed."""
    reader: Reader
    by_token: bool
    """Whether a token opened it, and with it all that stands in it."""

    def sees(self, row: Row, *, is_deletion: bool) -> bool:
        """Whether the reader may see a diff of an object in this feed."""
        registration = find_label(row.model)
        if registration is None:
            return False
        may_see = self.reader.may_see_deletion if is_deletion else self.reader.may_pull
        return self.by_token or row == self.own or may_see(registration, row.pk)

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
    if asked.method == "OPTIONS":
        return _OPTIONS
    if asked.method not in METHODS:
        return _WRONG_METHOD
    try:
        query = parse(asked)
        grants = authorise(query, reader)
        reply = answer(asked, query, grants, get_store().read(query.reads()))
    except Problem as problem:
        reply = problem.reply()
    except StoreUnavailable as error:
        reply = unavailable(error).reply()
    return reply.without_body() if asked.method == "HEAD" else reply


def unavailable(error: StoreUnavailable) -> Problem:
    """What is answered while Redis is away."""
    seconds = max(1, math.ceil(error.retry_after))
    return Problem(503, "The diffs can't be read just now: try again.", (("Retry-After", str(seconds)),))


def authorise(query: Query, reader: Reader) -> list[Grant]:
    """Find out whether a reader may pull the feeds.

    Raises:
        Problem: 401 or 403.
    """
    names = {wanted.target.feed.name for wanted in query.wanted}
    try:
        opened = {read_token(token) for token in query.tokens}
        if not opened <= names:
            raise TokenError("This feed token is for another feed.")
    except TokenError as error:
        raise Problem(401, str(error), (("WWW-Authenticate", BAD_TOKEN_CHALLENGE),)) from None
    grants = []
    for target in (wanted.target for wanted in query.wanted):
        registration, pk, (name, _) = target
        by_token = name in opened
        if not by_token and not reader.may_pull(registration, pk):
            problem = _refusal(reader)
            raise problem.of_feed(str(name)) if query.several else problem
        own = None if pk is None else Row(registration.label, pks.wire(registration.model, pk))
        grants.append(Grant(target, own, reader, by_token))
    return grants


def _refusal(reader: Reader) -> Problem:
    if reader.is_authenticated:
        return Problem(403, "You may not see this feed.")
    return Problem(401, "Log in, or send a feed token, to see this feed.", (("WWW-Authenticate", CHALLENGE),))


def answer(asked: Asked, query: Query, grants: Sequence[Grant], pages: Sequence[Page | CursorExpired]) -> Reply:
    """Answer with what was read.

    Args:
        asked: the request.
        query: what it asks for.
        grants: what `authorise` gave.
        pages: what `Store.read` gave for `Query.reads`.

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
                feeds.append(form.document([name, *_members(query, grant, page, form)]))
            except Problem as problem:
                failed = True
                feeds.append(form.document([name, ("error", form.value(problem.document()))]))
        body = form.document([("feeds", form.array(feeds))])
    else:
        body = form.document(_members(query, grants[0], pages[0], form))
    return _page_reply(asked, body, grants, failed=failed)


def _members(query: Query, grant: Grant, page: Page | CursorExpired, form: Form) -> list[tuple[str, bytes]]:
    """What is said of one feed.

    Raises:
        Problem: see `answer`.
    """
    if isinstance(page, CursorExpired):
        raise Problem(410, _EXPIRED, reason=page.reason, cursor=page.cursor)
    if query.collapse:
        diffs = [to_diff(*stored, page.cursor.epoch, rendered.row) for stored, rendered in _visible(grant, page, form)]
        bodies = [form.value(_with_actor(diff, grant)) for diff in collapse(diffs)]
    else:
        bodies = [_body(rendered, grant) for _, rendered in _visible(grant, page, form)]
    members = [
        ("cursor", form.value(str(page.cursor))),
        ("more", form.value(page.more)),
        ("diffs", form.array(bodies)),
    ]
    if query.snapshot:
        members.append(("snapshot", form.value(object_document(grant.target))))
    return members


def _visible(grant: Grant, page: Page, form: Form) -> Iterator[tuple[Stored, Rendered]]:
    for stored in page.stored:
        rendered = cache.get(grant.target.feed.name, grant.own, stored, form)
        if rendered is not None and grant.sees(rendered.row, is_deletion=rendered.is_deletion):
            yield stored, rendered


def _body(rendered: Rendered, grant: Grant) -> bytes:
    if rendered.body_with_actor is not None and grant.sees_actor(rendered.row):
        return rendered.body_with_actor
    return rendered.body


def _with_actor(diff: Diff, grant: Grant) -> dict[str, Any]:
    row = Row(diff.model, diff.pk)
    members = wire_members(diff, row, diff.position)
    return {**members, "actor": diff.actor} if diff.actor is not None and grant.sees_actor(row) else members


def _page_reply(asked: Asked, body: bytes, grants: Sequence[Grant], *, failed: bool) -> Reply:
    is_private = any(grant.by_token or grant.reader.was_asked for grant in grants)
    etag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = (
        ("ETag", etag),
        ("Cache-Control", NO_CACHE if failed else PRIVATE_CACHE if is_private else PUBLIC_CACHE),
        ("Vary", PRIVATE_VARY if is_private else PUBLIC_VARY),
    )
    known = parse_etags(asked.if_none_match)
    if "*" in known or etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in known]:
        return Reply(304, headers)
    return Reply(200, (("Content-Type", asked.form.media_type), *headers), body)
