"""P4 Streams and waits, and diffs that can't be read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from diffs.store import Store
from tests.endpoint.feeds import Feed

from .clients import Client, Stream, until

NOTICE = "/testapp.notice/1/"
DAMAGED = b"\xff\xff no diff"


async def test_p4_damaged_diff_resets_whoever_listens(notices: Feed, caplog: pytest.LogCaptureFixture) -> None:
    first = notices.append()
    async with Stream(NOTICE) as one, Stream(NOTICE) as other:
        await one.live()
        await other.live()
        notices.append_member(DAMAGED)
        await one.until(lambda: one.resets)
        await other.until(lambda: other.resets)
        last = notices.append()
        await one.count(2)
        await other.count(2)

        assert (one.diffs, other.diffs) == ([first, last], [first, last])
        assert [len(client.resets) for client in (one, other)] == [1, 1]
    assert caplog.text.count("is passed over") == 1


async def test_p4_listener_is_reset_before_it_gets_what_came_behind_the_damage(notices: Feed) -> None:
    async with Stream(NOTICE + "?since=now") as client:
        await client.live()
        before = notices.append()
        await client.count(1)
        notices.append_member(DAMAGED)
        notices.append()
        await client.until(lambda: client.resets)
        after = notices.append()
        await client.until(lambda: after in client.diffs)

        names = [event.name for event in client.events]
        assert (client.diffs[0], names[:2], client.diffs[-1]) == (before, ["message", "reset"], after)


async def test_p4_stream_that_begins_before_the_damage_has_a_reset(notices: Feed) -> None:
    before = notices.now()
    notices.append()
    notices.append_member(DAMAGED)
    async with Stream(NOTICE, str(before)) as client:
        await client.live()
        last = notices.append()
        # What is behind the damage may be refused a second time, with what came meanwhile.
        await client.until(lambda: client.diffs == [last] or [each.name for each in client.events][1:] == ["reset"])

        assert client.events[0].name == "reset"


async def test_p4_stream_from_the_oldest_gives_the_others_and_then_a_reset(notices: Feed) -> None:
    first = notices.append()
    notices.append_member(DAMAGED)
    async with Stream(NOTICE) as client:
        await client.until(lambda: client.resets)

        assert [event.name for event in client.events] == ["message", "reset"]
        assert client.diffs == [first]


async def test_p4_wait_ends_with_a_refusal_where_a_damaged_diff_comes(notices: Feed) -> None:
    before = notices.now()
    async with Client(f"{NOTICE}?since={before}&wait=20") as client:
        await until(lambda: client.waiters)
        notices.append_member(DAMAGED)

        assert (await client.answer())["reason"] == "reset"
        assert client.status == 410


async def test_floor_is_raised_by_a_thread_and_no_event_loop_waits_for_it(
    notices: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    raise_floors: Callable[..., bool] = Store.raise_floors

    def watched(store: Store, floors: Any) -> bool:
        names.append(threading.current_thread().name)
        return raise_floors(store, floors)

    monkeypatch.setattr(Store, "raise_floors", watched)
    notices.append_member(DAMAGED)
    async with Stream(NOTICE) as client:
        await client.live()
        await client.until(lambda: client.resets)
        notices.append_member(DAMAGED + b" either")
        await client.until(lambda: len(client.resets) == 2)

    assert len(names) == 2 and all(name.startswith("diffs-live") for name in names)
