"""What the benchmarks leave out of the script that reads."""

from __future__ import annotations

import pytest
import redis

from benchmarks.operations import comparing
from diffs.store import Store, scripts
from tests.store.feeds import cursor_now, feed, refusal


@pytest.mark.parametrize(("part", "field"), [("replication id", "replid"), ("evicted keys", "evicted")])
def test_reads_go_without_the_part_that_is_left_out(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, part: str, field: str
) -> None:
    store = Store(redis_client, "diffs")
    meta = store.keys.meta(feed().name.shard)
    monkeypatch.setattr(scripts, "load", scripts.load)
    comparing.leave_out(parts=[part])
    cursor = cursor_now(store)
    for name in ("replid", "evicted"):
        redis_client.hset(meta, name, "7")
        assert refusal(store, cursor) == (None if name == field else "reset")
        cursor = cursor_now(store)


def test_part_that_the_script_does_not_have_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "load", scripts.load)
    monkeypatch.setitem(comparing.PARTS, "weather", "still_says('weather')")
    with pytest.raises(ValueError, match="weather"):
        comparing.leave_out(parts=["weather"])
