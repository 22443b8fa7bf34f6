"""Event streams are what the OpenAPI document says of them."""

from __future__ import annotations

from diffs.http import protocol
from tests.endpoint.described import check, described, validator
from tests.endpoint.feeds import Feed
from tests.testapp.models import Notice

from .clients import Stream


async def test_stream_and_its_events_are_described(notices: Feed) -> None:
    path = f"/?feed=@{notices.name}&feed=00000000_1@testapp.notice:2"
    notices.append("create", {"headline": "Fire"})
    Feed(Notice, 2).append()
    async with Stream(path) as client:
        await client.live()
        check("GET", "/diffs" + path, client.status, client.headers, b"")

        assert client.headers["content-type"] == protocol.EVENT_STREAM
        assert [event.name for event in client.events] == ["message", "reset"]
        for event, schema in zip(client.events, ("Diff", "Refusal"), strict=True):
            # A stream of several feeds says besides of which each diff is.
            validator(schema, is_strict=False).validate(event.data)
    for name in ("feed", "reset", "resume", "id"):
        assert f"`{name}`" in described()["components"]["schemas"]["EventStream"]["description"]
