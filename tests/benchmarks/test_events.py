"""What the benchmarks' listeners make of what they read."""

from __future__ import annotations

import pytest

from benchmarks.live.events import Broken, Stream, check, diffs_of

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
OPENING = b":\nretry: 2000\n\n"
DIFF = b'id: a1\ndata: {"id":"1"}\n\n'
OTHER = b'id: a2\ndata: {"id":"2"}\n\n'


def chunk(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return b"%x\r\n%b\r\n" % (len(body), body)


SENT = HEAD + chunk(OPENING) + chunk(b"id: a0\n\n") + chunk(DIFF) + chunk(OTHER, b"id: a2\n\n")
EVENTS = [b":\nretry: 2000", b"id: a0", DIFF[:-2], OTHER[:-2], b"id: a2"]


@pytest.mark.parametrize("size", [1, 2, 7, 50, len(SENT)])
def test_events_are_whole_however_the_bytes_come(size: int) -> None:
    stream = Stream()
    assert [event for start in range(0, len(SENT), size) for event in stream.take(SENT[start : start + size])] == EVENTS


def test_an_event_may_come_in_several_chunks() -> None:
    stream = Stream()
    assert stream.take(HEAD + chunk(DIFF[:9])) == []
    assert stream.take(chunk(DIFF[9:])) == [DIFF[:-2]]


def test_what_is_looked_up_is_what_would_have_been_read() -> None:
    first, second, third = (Stream() for _ in range(3))
    for stream in (first, second, third):
        assert stream.take(HEAD) == []
    assert first.take(chunk(DIFF)) == second.take(chunk(DIFF)) == [DIFF[:-2]]
    # In the middle of an event the same bytes are something else.
    assert third.take(chunk(b"data: ")) == []
    assert third.take(chunk(DIFF)) == [b"data: " + DIFF[:-2]]


def test_only_events_with_data_are_diffs() -> None:
    assert diffs_of(EVENTS) == [DIFF[:-2], OTHER[:-2]]


@pytest.mark.parametrize(
    "event", [b'event: reset\nid: a3\ndata: {"reason":"window"}', b"event: resume\nid: a3\ndata: {}"]
)
def test_listener_that_is_told_to_begin_anew_is_a_failure(event: bytes) -> None:
    with pytest.raises(Broken, match="is told"):
        diffs_of([DIFF[:-2], event])


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", "is answered"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{}", "is answered"),
        (HEAD + b"0\r\n\r\n", "has ended"),
        (b"", "has closed"),
    ],
)
def test_answer_that_is_no_stream_or_ends_is_a_failure(sent: bytes, why: str) -> None:
    with pytest.raises(Broken, match=why):
        Stream().take(sent)


@pytest.mark.parametrize(
    "got",
    [
        [[], []],
        [[DIFF], [DIFF, DIFF]],
        [[DIFF, DIFF], [DIFF, DIFF]],
        [[DIFF], []],
        [[DIFF], [OTHER]],
    ],
    ids=["nobody got it", "one got it twice", "all got it twice", "one didn't get it", "one got another"],
)
def test_diff_that_is_missing_or_comes_twice_is_a_failure(got: list[list[bytes]]) -> None:
    with pytest.raises(Broken):
        check(got, 1)


def test_everyone_got_everything_once() -> None:
    check([[DIFF, OTHER], [DIFF, OTHER]], 2)
    with pytest.raises(Broken, match="2 of them different"):
        check([[DIFF, OTHER, OTHER]] * 2, 3)
    with pytest.raises(Broken, match="1 of 2"):
        check([[DIFF, OTHER], [OTHER, DIFF]], 2)
