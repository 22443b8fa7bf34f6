"""P4 Stored diffs that can't be read: passed over, told of once, and never missed in silence."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from django.test import Client

from diffs import damage
from diffs.codec import HEAD_LENGTH, Encoder, Row, new_nonce
from diffs.errors import CursorExpired, MemberError
from diffs.http.documents import AS_JSON, AS_MSGPACK, MSGPACK
from diffs.http.recent import Recent
from diffs.keys import FeedName
from diffs.store import Read, Store, get_store
from diffs.store.connection import connect
from tests.servers import RedisServer
from tests.store.processes import wait_for
from tests.testapp.models import Airport, Notice, Question

from .feeds import Feed
from .ways import AsgiClient

DAMAGED = b"\x10damaged"


def _unchecked(data: Any) -> bytes:
    """A member with what the encoder would refuse."""
    return Encoder("update", 1, new_nonce(), {}).own()[:HEAD_LENGTH] + bytes(msgpack.packb(data))


def members() -> dict[str, bytes]:
    return {
        "empty": b"",
        "of a later format": b"\x20" + bytes(11) + b"\x80",
        "of no action": b"\x13" + bytes(11) + b"\x80",
        "cut short": Encoder("update", 1, new_nonce(), {"body": "x"}).own()[:-1],
        "too long": Encoder("update", 1, new_nonce(), {"body": "x"}).own() + b"\x80",
        "of a list": _unchecked(["body"]),
        "a date that no calendar has": _unchecked({"body": msgpack.ExtType(3, b"\x7f\xff\xff\xff")}),
    }


def in_json() -> dict[str, bytes]:
    """What is none in JSON alone."""
    return {
        "not a number in JSON": _unchecked({"body": float("nan")}),
        "bytes": _unchecked({"body": b"\xff"}),
    }


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the log says of damage."""
    caplog.set_level(logging.INFO, "diffs")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "diffs"]


def spoil(feed: Feed, member: bytes = DAMAGED) -> int:
    """Append bytes; returns the timestamp that they got."""
    feed.append_member(member)
    return feed.stored()[-1].position


def message(feed: Feed, position: int) -> str:
    return (
        f"A diff of the feed {feed.name!r} at {position} is passed over, and old cursors of the feed are refused: "
        "A stored diff is damaged or of an unknown format."
    )


# The endpoint


@pytest.mark.parametrize("kind", {**members(), **in_json()})
def test_p4_reader_who_would_miss_a_damaged_diff_is_refused_at_once(
    client: Client, notices: Feed, told: Any, kind: str
) -> None:
    before = notices.now()
    notices.append()
    spoil(notices, {**members(), **in_json()}[kind])
    notices.append()

    refusals = [client.get(f"{notices.path}?since={before}") for _ in range(3)]

    assert {(one.status_code, one.json()["reason"]) for one in refusals} == {(410, "reset")}
    assert len(told()) == 1 and "'testapp.notice:1'" in told()[0]


def test_p4_reader_who_has_passed_the_damage_is_refused_too(client: Client, notices: Feed) -> None:
    spoil(notices)
    behind = notices.now()
    client.get(notices.path)

    # What was skipped may have been this reader's: nobody knows what it had made of it.
    assert client.get(f"{notices.path}?since={behind}").json()["reason"] == "reset"


def test_p4_reader_without_a_cursor_gets_the_others_and_a_cursor_that_is_refused(
    client: Client, notices: Feed, told: Any
) -> None:
    diffs = [notices.append()]
    spoil(notices)
    diffs.append(notices.append())

    page = client.get(notices.path).json()
    then = client.get(f"{notices.path}?since={page['cursor']}")

    assert page["diffs"] == diffs
    assert (then.status_code, then.json()["reason"]) == (410, "reset")
    assert client.get(notices.path).json()["diffs"] == []
    assert len(told()) == 1


def test_feed_goes_on_behind_the_damage(client: Client, notices: Feed, told: Any) -> None:
    before = notices.now()
    position = spoil(notices)
    fresh = client.get(f"{notices.path}?since={before}").json()["cursor"]
    diff = notices.append()

    pages = [client.get(f"{notices.path}?since={fresh}").json() for _ in range(3)]

    assert [page["diffs"] for page in pages] == [[diff]] * 3
    assert told() == [message(notices, position)]


def test_p4_damaged_diff_is_the_same_to_a_collapsed_page(client: Client, notices: Feed) -> None:
    before = notices.now()
    notices.append()
    spoil(notices)

    assert client.get(f"{notices.path}?since={before}&collapse=1").status_code == 410


def test_p4_damaged_diff_that_only_a_process_remembers_is_not_left_out_either(
    client: Client, notices: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = notices.now()
    spoil(notices)
    # Redis took no floor, and there is still what was read.
    with monkeypatch.context() as patch:
        patch.setattr(Store, "raise_floors", lambda store, floors: False)
        assert client.get(f"{notices.path}?since={before}").json()["diffs"] == []

    assert client.get(f"{notices.path}?since={before}").status_code == 410


def test_p4_of_several_feeds_only_the_damaged_one_is_refused(client: Client, notices: Feed, questions: Feed) -> None:
    other = Feed(Notice, 2)
    start = [notices.now(), other.now()]
    spoil(notices)
    diff = other.append()

    answer = client.get(f"/diffs/?feed={start[0]}@{notices.name}&feed={start[1]}@{other.name}")

    damaged, whole = answer.json()["feeds"]
    assert (damaged["error"]["reason"], whole["diffs"]) == ("reset", [diff])
    assert answer.headers["Cache-Control"] == "no-store"


def test_p4_wait_for_a_feed_with_damage_is_refused(db: None, notices: Feed) -> None:
    before = notices.now()
    spoil(notices)

    assert AsgiClient().get(f"{notices.path}?since={before}&wait=30").status_code == 410


def test_msgpack_gives_what_only_json_can_not(client: Client, notices: Feed, told: Any) -> None:
    before = notices.now()
    spoil(notices, _unchecked({"body": b"\xff"}))

    page = client.get(f"{notices.path}?since={before}", headers={"Accept": MSGPACK})

    assert [diff["data"] for diff in msgpack.unpackb(page.content)["diffs"]] == [{"body": b"\xff"}]
    assert told() == []


def test_p4_diff_of_a_model_feed_that_names_no_object_is_damaged(client: Client, rule: Any, told: Any) -> None:
    rule(Airport, permission="public")
    airports = Feed(Airport)
    before = airports.now()
    spoil(airports, Encoder("update", 1, new_nonce(), {"city": "Berlin"}).own())

    assert client.get(f"{airports.path}?since={before}").status_code == 410
    assert "doesn't say whose it is" in told()[0]


def test_diff_of_a_model_that_is_no_longer_registered_is_not_damaged(client: Client, notices: Feed, told: Any) -> None:
    before = notices.now()
    notices.append_member(Encoder("update", 1, new_nonce(), {"x": 1}).foreign(Row("gone.model", 1)))

    response = client.get(f"{notices.path}?since={before}")

    assert (response.status_code, response.json()["diffs"], told()) == (200, [], [])
    assert [diff.model for diff in Notice(pk=1).diffs] == ["gone.model"]  # type: ignore[attr-defined]


def test_p4_redis_that_goes_away_when_a_floor_is_to_be_raised_hides_no_damage(
    client: Client, server: RedisServer, monkeypatch: pytest.MonkeyPatch, told: Any
) -> None:
    notices = Feed(Notice, 1)
    before = notices.now()
    spoil(notices)
    distrust = damage.distrust

    def while_away(*arguments: Any) -> None:
        server.kill()
        distrust(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(damage, "distrust", while_away)
        assert client.get(f"{notices.path}?since={before}").status_code == 503
    server.restart()
    wait_for(lambda: told()[-1] == "Redis is back.")

    assert client.get(f"{notices.path}?since={before}").status_code == 410


# Python


def test_p4_python_gets_the_others_and_a_cursor_that_is_refused(told: Any) -> None:
    filled = Feed(Question, 1)
    filled.append(data={"text": "a"})
    position = spoil(filled)
    filled.append(data={"text": "b"})
    feed = Question(pk=1).diffs  # type: ignore[attr-defined]

    assert [diff.data["text"] for diff in feed] == ["a", "b"]
    with pytest.raises(CursorExpired) as caught:
        list(feed.since(feed.cursor))
    assert caught.value.reason == "reset"
    assert list(Question(pk=1).diffs) == []  # type: ignore[attr-defined]
    assert told() == [message(filled, position)]


@pytest.mark.parametrize(
    "use",
    [list, lambda feed: feed[0], lambda feed: feed[-1], lambda feed: feed[:5], lambda feed: feed.latest(2).collapse()],
)
def test_p4_python_s_reader_who_goes_on_from_a_cursor_is_refused_at_once(use: Callable[[Any], Any]) -> None:
    filled = Feed(Question, 1)
    before = str(filled.now())
    spoil(filled)

    with pytest.raises(CursorExpired):
        use(Question(pk=1).diffs.since(before))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("use", "texts"),
    [
        (lambda feed: feed[:2], ["a"]),
        (lambda feed: feed[-2:], ["b"]),
        (lambda feed: [feed[2]], ["b"]),
        (lambda feed: feed.latest(2), ["b"]),
        (lambda feed: feed.between(None, None), ["a", "b"]),
        (reversed, ["b", "a"]),
    ],
)
def test_parts_of_a_feed_are_given_without_what_is_damaged(use: Callable[[Any], Any], texts: list[str]) -> None:
    filled = Feed(Question, 1)
    filled.append(data={"text": "a"})
    spoil(filled)
    filled.append(data={"text": "b"})

    assert [diff.data["text"] for diff in use(Question(pk=1).diffs)] == texts  # type: ignore[attr-defined]


def test_damage_in_the_middle_of_a_long_feed_begins_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffs.feed.PAGE", 2)
    filled = Feed(Question, 1)
    for text in "abc":
        filled.append(data={"text": text})
    spoil(filled)

    # Something is missing between what was read and what comes: only what comes afterwards is whole.
    assert list(Question(pk=1).diffs) == []  # type: ignore[attr-defined]


# Several readers


def test_second_process_that_read_the_damage_raises_no_second_floor(notices: Feed) -> None:
    position = spoil(notices)
    damage.distrust(get_store(), notices.ref, position)
    begun_anew = notices.now()
    damage.distrust(get_store(), notices.ref, position)

    assert get_store().read_one(Read(feed=notices.ref, limit=1, cursor=begun_anew)).stored == []


def test_readers_at_once_are_all_refused_and_one_line_is_written(notices: Feed, told: Any) -> None:
    before = notices.now()
    notices.append()
    spoil(notices)
    met = threading.Barrier(8)
    recent, own, found = Recent(), Row("testapp.notice", 1), []

    def ask(number: int) -> None:
        met.wait()
        form = (AS_JSON, AS_MSGPACK)[number % 2]
        found.extend(recent.read(get_store(), [Read(feed=notices.ref, limit=9, cursor=before)], [own], form))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [type(one) for one in found] == [CursorExpired] * 8
    assert len(told()) == 1


def test_other_processes_readers_are_refused_as_well(client: Client, notices: Feed) -> None:
    before = notices.now()
    spoil(notices)
    client.get(notices.path)
    other = Store(connect(), "diffs")
    try:
        with pytest.raises(CursorExpired):
            other.read_one(Read(feed=notices.ref, limit=1, cursor=before))
    finally:
        other.close()


def test_what_was_told_of_is_remembered_within_bounds(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage, "MAX_NOTED", 2)
    monkeypatch.setattr(damage, "_noted", {})
    for position in (1, 2, 1, 3, 3, 1):
        damage.note(FeedName("testapp.notice", "1"), position, MemberError("Why."))

    assert [text.split(" at ")[1].split()[0] for text in told()] == ["1", "2", "3", "1"]
    assert len(damage._noted) == 2
