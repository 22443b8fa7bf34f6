"""How event streams end: by age, behind, by clients that are gone or don't read, by rules that fail; nothing stays."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

from diffs.cursor import parse
from diffs.http.live import stream
from diffs.http.live.hub import hubs
from tests.endpoint.feeds import Feed
from tests.testapp.models import Choice, Question

from .clients import Stream, listeners, until

NOTICE = "/testapp.notice/1/"


@pytest.fixture
def grow_old(monkeypatch: pytest.MonkeyPatch, configure: Callable[..., None]) -> Callable[[], None]:
    """Make all streams old, which they notice at their next heartbeat."""
    configure(heartbeat=0.1)
    clocks = [stream._now]
    monkeypatch.setattr(stream, "_now", lambda: clocks[-1]())

    def leap() -> None:
        now = clocks[0]
        clocks.append(lambda: now() + 10_000)

    return leap


async def test_old_stream_ends_with_the_id_to_go_on_from(notices: Feed, grow_old: Callable[[], None]) -> None:
    first = notices.append()
    client = Stream(NOTICE)
    client.start()
    await client.live()
    grow_old()
    await client.end()
    end = client.events[-1]

    assert (client.diffs, client.is_complete, listeners()) == ([first], True, 0)
    assert (end.name, end.id, end.data) == ("resume", str(notices.now()), {"reason": "age"})
    second = notices.append()
    async with Stream(NOTICE, client.last_id) as again:
        await again.count(1)
        assert again.diffs == [second]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 doesn't count who wants a task cancelled.")
async def test_stream_that_ends_leaves_its_servers_task_as_it_was(grow_old: Callable[[], None]) -> None:
    client = Stream(NOTICE)
    client.start()
    await client.live()
    grow_old()
    await client.end()

    assert client.task is not None
    assert client.task.cancelling() == 0


async def test_stream_whose_end_is_found_out_twice_ends_once() -> None:
    client = Stream(NOTICE)
    client.start()
    await client.live()
    (served,) = hubs.get()._listeners
    served._end()
    served._end()
    await client.end()

    assert (listeners(), client.waiters) == (0, 0)


async def test_streams_that_began_together_don_t_end_together(configure: Callable[..., None]) -> None:
    configure(stream_age=0.4)
    clients = [Stream(NOTICE) for _ in range(20)]
    ended: list[float] = []
    loop = asyncio.get_running_loop()
    for client in clients:
        client.start()
        assert client.task is not None
        client.task.add_done_callback(lambda _: ended.append(loop.time()))
    await asyncio.gather(*(client.end() for client in clients))

    assert max(ended) - min(ended) > 0.01


async def test_stream_ends_by_age_also_where_a_long_history_is_being_sent(
    notices: Feed, grow_old: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffs.http.live.stream.PAGE", 1)
    for _ in range(50):
        notices.append()
    client = Stream(NOTICE + "?limit=1")
    client.start()
    await client.count(2)
    client.reads.clear()
    grow_old()
    (served,) = hubs.get()._listeners
    await until(lambda: served._is_late)
    client.reads.set()
    await client.end()
    had = client.positions

    assert client.is_complete and client.resumes
    assert 2 <= len(had) < 50
    assert had == [stored.position for stored in notices.stored()][: len(had)]
    assert parse(client.last_id).timestamp == had[-1]


@pytest.mark.parametrize("when", ["before the start", "in its history", "while live"])
async def test_client_that_never_reads_is_cut_off_when_its_stream_is_old(
    notices: Feed, grow_old: Callable[[], None], when: str
) -> None:
    notices.append()
    client = Stream(NOTICE)
    if when == "before the start":
        client.reads.clear()
    client.start()
    if when == "in its history":
        await client.until(lambda: client.chunks)
        client.reads.clear()
    elif when == "while live":
        await client.live()
        client.reads.clear()
        notices.append()
    await until(lambda: client.sending)
    grow_old()
    await client.end()

    assert (client.is_complete, client.sending, listeners()) == (False, 0, 0)


async def test_p1_client_that_falls_behind_is_told_to_come_back_and_misses_nothing(
    notices: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffs.http.live.tail.MAX_ENTRIES", 4)
    async with Stream(NOTICE) as quick:
        await quick.live()
        slow = Stream(NOTICE)
        slow.start()
        await slow.live()
        slow.reads.clear()
        for number in range(12):
            notices.append()
            await quick.count(number + 1)
        slow.reads.set()
        await slow.end()
        assert slow.resumes == [{"reason": "behind"}]
        assert slow.is_complete
        assert slow.diffs == quick.diffs[: len(slow.diffs)]
        async with Stream(NOTICE, slow.last_id) as again:
            await again.live()
            assert slow.diffs + again.diffs == quick.diffs
        assert len(again.diffs) > 4


async def test_slow_client_delays_no_other_and_gets_everything_later(notices: Feed) -> None:
    async with Stream(NOTICE) as slow, Stream(NOTICE) as quick:
        await slow.live()
        await quick.live()
        slow.reads.clear()
        for number in range(50):
            notices.append()
            await quick.count(number + 1)
        assert slow.diffs == []
        slow.reads.set()
        await slow.count(50)

        assert slow.diffs == quick.diffs
        # What came meanwhile went in one piece.
        assert len(slow.chunks) < 10
        assert (slow.sent_meanwhile, quick.sent_meanwhile) == (1, 1)


@pytest.mark.parametrize("when", ["at once", "in its history", "while live"])
async def test_client_that_hangs_up_is_forgotten(notices: Feed, when: str) -> None:
    notices.append()
    client = Stream(NOTICE)
    if when == "at once":
        client.hang_up()
    if when == "in its history":
        client.reads.clear()
    client.start()
    if when == "in its history":
        await until(lambda: client.sending)
        client.hang_up()
        client.reads.set()
    if when == "while live":
        await client.live()
        assert listeners() == 1
        client.hang_up()
    await client.end()

    assert listeners() == 0


@pytest.mark.parametrize("when", ["at the start", "in its history", "while live", "with a heartbeat"])
async def test_client_whose_server_raises_where_it_sends_is_forgotten(
    notices: Feed, configure: Callable[..., None], caplog: pytest.LogCaptureFixture, when: str
) -> None:
    configure(heartbeat=0.02)
    notices.append()
    client = Stream(NOTICE)
    gone = ConnectionResetError("The client is gone.")
    if when == "at the start":
        client.breaks_with = gone
    client.start()
    if when == "in its history":
        await client.until(lambda: client.status)
        client.breaks_with = gone
    elif when != "at the start":
        await client.live()
        client.breaks_with = gone
        if when == "while live":
            notices.append()
    # It is the sending alone that tells: `receive` never does.
    await client.end()

    assert (listeners(), client.waiters, caplog.records) == (0, 0, [])


@pytest.mark.parametrize("when", ["in its history", "while live", "while it is sent to"])
async def test_stream_that_its_server_cancels_leaves_nothing_behind(notices: Feed, when: str) -> None:
    notices.append()
    client = Stream(NOTICE)
    client.start()
    if when == "in its history":
        client.reads.clear()
        await until(lambda: client.sending)
    else:
        await client.live()
    if when == "while it is sent to":
        client.reads.clear()
        notices.append()
        await until(lambda: client.sending)
    assert client.task is not None
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.task

    assert (listeners(), client.waiters) == (0, 0)
    await until(lambda: not client.sending)


@pytest.mark.parametrize("error", [RuntimeError, ConnectionRefusedError, TimeoutError])
async def test_rule_that_fails_ends_its_stream_with_a_line_in_the_log_and_no_other(
    questions: Feed, rule: Callable[..., Any], caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    def fails(request: Any, model: Any, pk: Any) -> bool:
        if "fails" in request.GET:
            raise error("The service that knows is away.")
        return True

    rule(Question, permission="public")
    rule(Choice, permission=fails)
    caplog.set_level(logging.ERROR)
    async with Stream("/testapp.question/42/") as other:
        await other.live()
        client = Stream("/testapp.question/42/?fails")
        client.start()
        await client.live()
        first = questions.append(child=(Choice, 1))
        await client.end()
        await other.count(1)
        assert (client.is_complete, client.diffs, listeners()) == (False, [], 1)
        assert [record.message for record in caplog.records] == ["An event stream broke off."]

        caplog.clear()
        again = Stream("/testapp.question/42/?fails", client.last_id)
        again.start()
        await again.end()
        assert (again.is_complete, again.diffs, listeners()) == (False, [], 1)
        assert "The service that knows is away." in caplog.text
        second = questions.append(child=(Choice, 1))
        await other.count(2)
        assert other.diffs == [first, second]


async def test_five_hundred_clients_that_come_and_go_leave_nothing_behind(notices: Feed) -> None:
    async with Stream(NOTICE) as one_who_stays:
        await one_who_stays.live()
        tasks = len(asyncio.all_tasks())
        for _ in range(10):
            clients = [Stream(NOTICE) for _ in range(50)]
            for client in clients:
                client.start()
            await asyncio.gather(*(client.live() for client in clients))
            notices.append()
            await asyncio.gather(*(client.leave() for client in clients))
        await one_who_stays.count(10)

        assert listeners() == 1
        await until(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_long_history_is_not_read_to_its_end_for_a_client_that_hung_up(
    notices: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffs.http.live.stream.PAGE", 1)
    for _ in range(100):
        notices.append()
    client = Stream(NOTICE + "?limit=1")
    client.start()
    await client.count(3)
    client.hang_up()
    await client.end()

    assert len(client.diffs) < 50
    assert listeners() == 0


async def test_server_may_cancel_a_stream_that_has_sent_a_long_history(notices: Feed) -> None:
    for _ in range(3):
        notices.append()
    client = Stream(NOTICE + "?limit=1")
    client.start()
    await client.live()
    assert client.task is not None
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.task
    await until(lambda: not client.waiters)

    assert listeners() == 0
