"""Whatever is parsed gives what it says or one of its own errors, soon."""

from __future__ import annotations

import contextlib
import json
import re
import urllib.parse
from typing import Any

import msgpack
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from hypothesis import strategies as st

from diffs import codec, cursor, pks
from diffs.client.addresses import locate
from diffs.client.answers import Answer, Failure, FeedPage, check, longest_wait, read_pages, read_snapshot
from diffs.client.errors import BadRequest, ClientError
from diffs.client.lines import Lines, as_json
from diffs.client.values import Diff, Reset
from diffs.codec import Change, Encoder, Row
from diffs.collapse import collapse
from diffs.errors import CursorError, MemberError, SerializationError, TokenError
from diffs.feed import to_diff
from diffs.http import protocol, pull
from diffs.http.addresses import find_target
from diffs.http.documents import AS_JSON, AS_MSGPACK, FORMS
from diffs.http.negotiation import preferred
from diffs.http.permissions import Reader
from diffs.http.problems import Problem
from diffs.http.pull import authorise
from diffs.http.query import Asked, forget, parse, resumed
from diffs.http.render import render
from diffs.http.tokens import make_token, read_token
from diffs.keys import FeedName, join_pk, parse_feed, split_pk
from diffs.quoting import quote, unquote
from diffs.store import Stored

from .material import DOCUMENTS, ODD, VALUES, changed, damaged, joined, mixed
from .trying import fuzz, told

SHARE = 0.5 / 12
"""Of all the time: the endpoint gets as much as all these together."""
CURSORS = ["0a1b2c3d_660bae5461361", "0a1b2c3d_0", "zzzzzzzz_fffffffffffff", "now", ""]
FEEDS = [
    "testapp.notice:1",
    "testapp.airport",
    "testapp.seat:1,A",
    "testapp.country:a/b",
    "auth.user:1",
    "testapp.notice",
]
LABELS = [
    "testapp.notice",
    "testapp.airport",
    "testapp.country",
    "testapp.seat",
    "testapp.token",
    "testapp.rate",
    "a.b",
]
KEYS = [
    "1",
    "001",
    "1,A",
    "~,,",
    "a_2Fb",
    "_",
    "é",
    "1e5",
    "00000000-0000-0000-0000-000000000007",
    "9" * 30,
    "nan",
    "\0",
]
OWN = Row("testapp.notice", 1)


# What Redis holds


@st.composite
def members(draw: st.DrawFn) -> bytes:
    """Members as they are written."""
    action = draw(st.sampled_from(["create", "update", "delete"]))
    data = draw(st.dictionaries(st.text(max_size=8), VALUES, max_size=4))
    encoder = Encoder(
        action, draw(st.integers(0, 2**56 - 1)), draw(st.binary(min_size=4, max_size=4)), data, draw(ACTORS)
    )
    return encoder.own() if draw(st.booleans()) else encoder.foreign(Row("testapp.choice", draw(ROW_KEYS)))


ACTORS = st.none() | st.text(max_size=8)
ROW_KEYS = st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8) | st.lists(st.integers(0, 9), max_size=3)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Heads that are right, and behind them what they promise, or nearly that."""
    bits = draw(st.sampled_from([0x10, 0x11, 0x12, 0x14, 0x18, 0x1D]))
    promised = [st.dictionaries(st.text(max_size=4), ODD_IN_MSGPACK, max_size=2)]
    if bits & 0b0100:
        promised.insert(0, st.text(max_size=8))
    if bits & 0b1000:
        promised[:0] = [st.just("testapp.choice"), ROW_KEYS]
    odd = draw(st.integers(-1, len(promised) - 1))
    objects = [draw(ODD_IN_MSGPACK if index == odd else one) for index, one in enumerate(promised)]
    more = draw(st.lists(ODD_IN_MSGPACK, max_size=1)) if draw(st.integers(0, 9)) == 0 else []
    return bytes([bits]) + bytes(11) + b"".join(map(msgpack.packb, [*objects, *more]))


ODD_IN_MSGPACK: st.SearchStrategy[Any] = st.one_of(
    DOCUMENTS,
    st.binary(max_size=4),
    st.floats(),
    st.integers(-(2**63), 2**64 - 1),
    st.dictionaries(st.binary(max_size=2) | st.text(max_size=2), st.none(), max_size=2),
    st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=16)),
)


def read_member(member: bytes) -> None:
    try:
        change = codec.decode(member)
    except MemberError:
        return
    assert isinstance(change, Change)
    diffs = [to_diff(member, position, "0a1b2c3d", OWN) for position in (1, 2)]
    collapse(diffs)
    for form in (AS_JSON, AS_MSGPACK):
        try:
            rendered = render(OWN, Stored(member, 1), form)
        except MemberError:
            continue
        body = rendered.part.body
        document = json.loads(body) if form is AS_JSON else msgpack.unpackb(body)
        assert (document["id"], document["action"]) == (change.id, change.action)


def test_fuzz_members() -> None:
    told(
        "members",
        fuzz(read_member, st.one_of(st.binary(max_size=60), members(), damaged(members()), bodies()), share=SHARE),
    )


def test_fuzz_encoding() -> None:
    def encode(what: tuple[Any, Any]) -> None:
        data, key = what
        try:
            encoder = Encoder("update", 1, bytes(4), data)
            member = encoder.foreign(Row("testapp.choice", key))
        except SerializationError:
            return
        change = codec.decode(member)
        # Dates are read as text: what was read is stored and read as it is.
        again = codec.decode(Encoder("update", 1, bytes(4), change.data).own())
        assert (change.row, again.data) == (Row("testapp.choice", change.row.pk if change.row else None), change.data)

    examples = st.tuples(st.dictionaries(st.text(max_size=8), ODD, max_size=4), ROW_KEYS)
    told("encoding", fuzz(encode, examples, share=SHARE))


# What clients send


def test_fuzz_cursors() -> None:
    def read(text: str) -> None:
        try:
            found = cursor.parse(text)
        except CursorError:
            return
        assert str(found) == text and found.timestamp < 2**53

    told("cursors", fuzz(read, mixed(CURSORS), share=SHARE))


def test_fuzz_tokens(settings: Any) -> None:
    settings.SECRET_KEY_FALLBACKS = ["an old key"]
    good = [make_token(parse_feed(name), user=user) for name in FEEDS for user in (None, "7", "a/é")]
    parts = sorted({part for token in good for part in token.split(".")})

    def read(text: str) -> None:
        try:
            leave = read_token(text)
        except TokenError as error:
            assert text not in good
            assert len(text) < 9 or text not in str(error)
            return
        assert text in good and str(leave.feed) in FEEDS

    examples = st.one_of(
        mixed(good), joined(".", st.sampled_from(parts), st.just("diffs"), changed(st.sampled_from(parts)))
    )
    told("tokens", fuzz(read, examples, share=SHARE))


@st.composite
def queries(draw: st.DrawFn) -> str:
    """Queries of parameters that there are."""
    values = {
        "since": mixed(CURSORS),
        "limit": mixed(["1", "1000", "1001", "0", "-1", "١", "1" * 30]),
        "feed": st.builds("{}@{}".format, mixed(CURSORS), mixed(FEEDS)) | mixed(FEEDS),
        "token": mixed([make_token(FeedName("testapp.notice", "1")), "diffs.a.b"]),
        "collapse": mixed(["1", "0", ""]),
        "snapshot": mixed(["1", "0", ""]),
        "wait": mixed(["0", "1", "60", "61"]),
        "x": st.text(max_size=5),
    }
    parts = []
    for name in draw(st.lists(st.sampled_from(sorted(values)), max_size=6)):
        value = draw(values[name])
        encode = draw(st.sampled_from([str, urllib.parse.quote, urllib.parse.quote_plus]))
        try:
            parts.append(f"{name}={encode(value)}")
        except UnicodeEncodeError:
            parts.append(f"{name}=%ED%A0%80")
    return draw(st.sampled_from(["&", "&", ";", "&&"])).join(parts)


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    """Requests as servers hand them over: of latin-1."""
    model = draw(st.none() | mixed(LABELS))
    return Asked(
        method=draw(st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", ""])),
        model=model,
        pk=None if model is None else draw(st.none() | mixed(KEYS)),
        query=draw(st.one_of(queries(), changed(queries()), st.text(max_size=40))),
        authorization=draw(mixed(["Bearer diffs.a.b", "bearer  diffs.a.b,diffs.c.d", "Basic diffs.x", "Bearer ,"])),
        if_none_match=draw(mixed(['W/"abc"', '"abc", W/"abc"', "*", ""])),
        form=draw(st.sampled_from([AS_JSON, AS_MSGPACK])),
        prefer=draw(mixed(["wait=1", 'wait="99999999999"', "respond-async, wait=5;x", "wait"])),
        last_event_id=draw(joined(",", mixed(CURSORS))),
        stream=draw(st.booleans()),
    )


def test_fuzz_requests() -> None:
    def nobody() -> HttpRequest:
        request = HttpRequest()
        request.user = AnonymousUser()
        return request

    def ask(asked: Asked) -> None:
        forget()
        if pull.by_method(asked.method) is not None:
            return
        try:
            query = parse(asked)
            assert parse(asked) == query
            query = resumed(asked, query) if asked.stream else query
            authorise(query, Reader(nobody))
        except Problem as problem:
            assert problem.status in (400, 401, 403, 404)
            assert json.loads(problem.reply().body)["status"] == problem.status
            return
        assert 1 <= len(query.reads) == len(query.targets) <= 50
        assert all(1 <= read.limit <= 1000 for read in query.reads) and 0 <= query.wait <= 60
        assert len(query.tokens) <= len(query.targets)

    told("requests", fuzz(ask, requests(), share=SHARE * 2, few=150))


def test_fuzz_negotiation() -> None:
    ranges = [
        "application/json",
        "application/msgpack",
        "text/event-stream",
        "*/*",
        "text/*",
        "a/b;q=0.1",
        ";q=nan",
        "q=1e9",
    ]

    def choose(accept: str) -> None:
        for can_stream in (False, True):
            chosen = preferred(accept, can_stream=can_stream)
            assert chosen in FORMS or (can_stream and chosen == protocol.EVENT_STREAM and chosen in accept.lower())

    told("negotiation", fuzz(choose, joined(",", mixed(ranges)) | joined(";", mixed(ranges)), share=SHARE))


def test_fuzz_etags() -> None:
    tags = ['W/"0123"', '"0123"', "*", "W/", '"', '"\\""', ""]

    def compare(header: str) -> None:
        assert pull._is_known('W/"0123"', header) in (True, False)

    told("etags", fuzz(compare, joined(",", mixed(tags)) | joined(" ", mixed(tags)), share=SHARE))


def test_fuzz_addresses_of_feeds() -> None:
    def find(what: tuple[str, str]) -> None:
        label, text = what
        assert unquote(quote(text)) == text
        try:
            target = find_target(label, text)
        except Problem as problem:
            assert problem.status == 404
            return
        # The feed's own name leads to it, and nowhere else.
        name = target.feed.name
        assert find_target(name.model, name.pk).feed == target.feed
        assert pks.text(target.registration.model, target.pk) == name.pk

    told("addresses of feeds", fuzz(find, st.tuples(mixed(LABELS), mixed(KEYS)), share=SHARE))


def test_fuzz_names() -> None:
    def split(parts: list[str]) -> None:
        assert split_pk(join_pk(parts)) == parts
        text = ",".join(parts)
        assert "".join(split_pk(text)).count("~") <= text.count("~")
        assert str(parse_feed(text)) == text

    told("names", fuzz(split, st.lists(mixed(KEYS), min_size=1, max_size=4), share=SHARE))


# What servers answer to the client


DIFF = {
    "id": "0660bb056406345a08dc44",
    "action": "update",
    "model": "polls.question",
    "pk": 1,
    "timestamp": 1795206225856339,
    "version": 7,
    "data": {},
    "actor": "ada",
}
PAGE = {"cursor": CURSORS[0], "more": False, "diffs": [DIFF]}
REFUSAL = {"status": 410, "detail": "Gone.", "reason": "reset", "cursor": CURSORS[0]}
ANSWERS: list[Any] = [
    PAGE,
    {"feeds": [{"feed": "a.b:1", **PAGE}, {"feed": "a.b:2", "error": REFUSAL}]},
    REFUSAL,
    {**PAGE, "snapshot": {"model": "a.b", "pk": 1, "data": {}}},
    {"status": 400, "detail": "'wait' takes a whole number of seconds from 0 to 60.", "parameter": "wait"},
]


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """Documents of which a part is something else."""
    document = draw(st.sampled_from(ANSWERS))
    return _replace(draw, document) if draw(st.booleans()) else draw(DOCUMENTS)


def _replace(draw: st.DrawFn, node: Any) -> Any:
    if draw(st.integers(0, 3)) == 0:
        return draw(DOCUMENTS | st.integers() | st.sampled_from(ANSWERS))
    if isinstance(node, dict) and node:
        name = draw(st.sampled_from(sorted(node)))
        return {**node, name: _replace(draw, node[name])}
    if isinstance(node, list) and node:
        return [_replace(draw, node[0]), *node[1:]]
    return node


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Answers of a server."""
    kind = draw(st.sampled_from([protocol.JSON, protocol.MSGPACK, protocol.PROBLEM, "text/html", ""]))
    document = draw(documents())
    try:
        whole = msgpack.packb(document) if kind == protocol.MSGPACK else json.dumps(document).encode()
    except OverflowError:
        whole = b"\xc1"
    headers = {
        "Content-Type": draw(st.sampled_from([kind, f"{kind}; charset=utf-8"])),
        "Retry-After": draw(mixed(["5", "0", "9" * 40, "Wed, 21 Oct 2026 07:28:00 GMT", "-1", ""])),
        "Preference-Applied": draw(mixed(["wait=1", "wait=0", ""])),
        "Location": draw(mixed(["https://example.com/?token=x"])),
    }
    status = draw(st.sampled_from([200, 200, 200, 204, 302, 304, 400, 401, 403, 404, 410, 429, 500, 503]))
    body = draw(st.one_of(st.just(whole), damaged(st.just(whole)), st.binary(max_size=30)))
    return Answer(status, headers, body, 0.1)


def test_fuzz_answers() -> None:
    def read(answer: Answer) -> None:
        assert answer.has_waited in (True, False)
        for asked in ({"a.b:1": ""}, {"a.b:1": "", "a.b:2": CURSORS[0]}):
            try:
                check(answer, list(asked))
                found = read_pages(answer, asked)
            except BadRequest as error:
                assert longest_wait(error) >= 0
                continue
            except (ClientError, Failure):
                continue
            for one in found:
                assert isinstance(one, FeedPage | Reset)
                for event in one.diffs if isinstance(one, FeedPage) else [one]:
                    show(event)
        with contextlib.suppress(Failure):
            read_snapshot(answer, "a.b:1")

    told("answers", fuzz(read, answers(), share=SHARE, few=200))


def show(event: Diff | Reset) -> None:
    """Write an event for people and for programs: one line, and nothing that steers a terminal."""
    for colours in (False, True):
        line = Lines(colours=colours, feeds=True, longest=80).of(event)
        assert re.sub(r"\x1b\[[0-9]+m", "", line).isprintable() if colours else line.isprintable()
    assert "\n" not in as_json(event)


def test_fuzz_lines() -> None:
    events = st.builds(
        Diff,
        feed=st.text(max_size=8),
        id=st.text(max_size=8),
        action=st.sampled_from(["create", "update", "delete"]),
        data=DOCUMENTS,
        position=st.integers(0, 2**52),
        cursor=st.just(CURSORS[0]),
        model=st.text(max_size=8),
        pk=DOCUMENTS,
        version=st.integers(0, 2**56),
        actor=ACTORS,
    )
    told("lines", fuzz(show, events, share=SHARE))


def test_fuzz_addresses_of_sites() -> None:
    known = ["https://example.com/diffs/", "http://a:1/diffs/polls.question/1/", "https://u:p@b/", "http://[::1]/?x#y"]

    def find(text: str) -> None:
        try:
            place = locate(text)
        except ValueError as error:
            assert len(text) < 12 or text not in str(error)
            return
        assert place.of_feed(place.feed or "a.b:1").startswith(place.mount)

    told("addresses of sites", fuzz(find, mixed(known), share=SHARE))
