"""A stream sends what is there and then what comes, with nothing missing or repeated between the two."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from diffs.http.live import hub
from tests.endpoint.feeds import Feed

from .clients import Stream


class Gate:
    """Holds up how the process keeps up with feeds, as a busy machine does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open = threading.Event()
        self._open.set()
        read = hub._read_tails

        def wait_and_read(*arguments: Any) -> Any:
            self._open.wait(20)
            return read(*arguments)

        monkeypatch.setattr(hub, "_read_tails", wait_and_read)

    def __enter__(self) -> None:
        self._open.clear()

    def __exit__(self, *_: object) -> None:
        self._open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


async def test_p1_reader_who_catches_up_gets_also_what_those_who_listen_were_not_told_yet(
    notices: Feed, gate: Gate
) -> None:
    start = str(notices.now())
    async with Stream("/testapp.notice/1/", start) as listener:
        await listener.live()
        notices.append(data={"body": "1"})
        await listener.count(1)
        with gate:
            notices.append(data={"body": "2"})
            async with Stream("/testapp.notice/1/", start) as late:
                await late.live()
                assert late.positions == [stored.position for stored in notices.stored()]
        await listener.count(2)
        assert listener.diffs == late.diffs


async def test_p1_reader_who_catches_up_page_by_page_gets_each_diff_once(notices: Feed) -> None:
    start = str(notices.now())
    async with Stream("/testapp.notice/1/", start) as listener:
        await listener.live()
        for number in range(5):
            notices.append(data={"body": str(number)})
        await listener.count(5)
        async with Stream("/testapp.notice/1/?limit=2", start) as late:
            await late.live()
            await asyncio.sleep(0)
            assert late.diffs == listener.diffs
