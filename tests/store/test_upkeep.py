"""Pruning takes what is old and tells every reader; surveys and the server's own words see what is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
import six
from redis.client import NEVER_DECODE

from diffs.errors import StoreUnavailable
from diffs.keys import FeedName, parse_feed
from diffs.store import Entry, FeedSurvey, Floors, PruneResult, Read, Store, Upkeep
from diffs.store import upkeep as upkeep_module
from tests.servers import RedisServer

from .feeds import SECOND, START, WINDOW, Clock, add, cursor_now, feed, member, neighbours, numbers, read_all, refusal

pytestmark = pytest.mark.store

MINUTE = 60 * SECOND


@pytest.fixture
def upkeep(store: Store) -> Upkeep:
    return Upkeep(store)


def prune(upkeep: Upkeep, age: int = WINDOW, window: int = WINDOW, **options: Any) -> PruneResult:
    """Prune all models alike, to the end."""
    *_, result = upkeep.prune(lambda model: (window, age), **options)
    return result


def names(upkeep: Upkeep, model: str | None = None) -> set[FeedName]:
    return {name for found in upkeep.feeds(model) for name in found}


TRICKY = ["1", "", "a b", "{3f}", "}:feed:x", "*", "[x]", "?", "ä€𝄞", "a:b", "\\", "new\nline", "\x00", "x" * 5000]


def test_every_feed_is_found_whatever_its_name(store: Store, upkeep: Upkeep) -> None:
    wanted = {FeedName("polls.question", pk) for pk in TRICKY} | {FeedName("polls.question"), FeedName("polls.choice")}
    store.append(Entry(feed(str(name)), member(1)) for name in wanted)
    assert names(upkeep) == wanted
    assert names(upkeep, "polls.question") == {name for name in wanted if name.model == "polls.question"}
    assert names(upkeep, "polls.choice") == {FeedName("polls.choice")}
    assert names(upkeep, "polls.quest") == set()


def test_keys_that_are_no_feeds_are_passed_over(store: Store, upkeep: Upkeep, client: redis.Redis) -> None:
    add(store, 1)
    store.raise_floors(Floors([feed()], ["polls.question"], everything=False))
    shard = feed().name.shard
    for key in ("other", "diffs", "diffs:{zz}:feed:polls.question:1", f"other:{{{shard}}}:feed:polls.question:1"):
        client.set(key, 1)
    client.set(b"diffs:{00}:feed:\xff\xfe", 1)
    assert names(upkeep) == {feed().name}


def test_thousands_of_feeds_are_found_a_few_hundred_at_a_time(store: Store, upkeep: Upkeep) -> None:
    wanted = [f"polls.question:{pk}" for pk in range(3000)]
    store.append(Entry(feed(name), member(1)) for name in wanted)
    found = list(upkeep.feeds())
    assert {str(name) for part in found for name in part} == set(wanted)
    assert max(map(len, found)) < 1000


@pytest.mark.parametrize("prefix", ["a*", "[ab]", "a?c", "\\", "tenant:1"])
def test_prefix_with_glob_characters_finds_its_own_feeds_only(client: redis.Redis, clock: Clock, prefix: str) -> None:
    for one in (prefix, "abc", "a", "b"):
        add(Store(client, one, now=clock), 1, to=feed(f"polls.question:{one}"))
    assert names(Upkeep(Store(client, prefix, now=clock))) == {FeedName("polls.question", prefix)}


def test_pruning_by_the_window_takes_what_readers_no_longer_see(store: Store, upkeep: Upkeep, clock: Clock) -> None:
    add(store, 1, 2)
    clock.advance(1000)
    add(store, 3)
    young = cursor_now(store)
    clock.advance(3000)
    result = prune(upkeep)
    assert (result.feeds, result.removed, result.wrong_type) == (1, 2, [])
    assert store.client.zcard(store.keys.feed(feed().name)) == 1
    assert refusal(store, young) is None
    assert numbers(read_all(store)) == [3]


def test_p4_pruning_into_the_window_refuses_whoever_had_not_read_what_went(
    store: Store, upkeep: Upkeep, clock: Clock
) -> None:
    behind = cursor_now(store)
    add(store, 1)
    abreast = cursor_now(store)
    clock.advance(300)
    add(store, 2)
    ahead = cursor_now(store)
    assert prune(upkeep, age=MINUTE).removed == 1
    assert refusal(store, behind) == "reset"
    # Nothing that this reader needs has gone, but a floor is a time and not a diff.
    assert refusal(store, abreast) == "reset"
    assert refusal(store, ahead) is None
    assert numbers(read_all(store)) == [2]
    add(store, 3)
    assert numbers(read_all(store)) == [2, 3]


def test_p4_pruning_everything_refuses_nobody_who_was_up_to_date(store: Store, upkeep: Upkeep, clock: Clock) -> None:
    behind = cursor_now(store)
    add(store, 1)
    up_to_date = read_all(store).cursor
    clock.advance(10)
    assert prune(upkeep, age=0).removed == 1
    assert store.client.exists(store.keys.feed(feed().name)) == 0
    assert refusal(store, up_to_date) is None
    assert refusal(store, behind) == "reset"
    add(store, 2)
    assert numbers(store.read_one(Read(feed=feed(), cursor=up_to_date, limit=9))) == [2]


def test_p4_floor_of_a_pruned_idle_feed_is_not_above_its_clock(store: Store, upkeep: Upkeep, clock: Clock) -> None:
    add(store, 1)
    clock.advance(300)
    prune(upkeep, age=MINUTE)
    cursor = cursor_now(store)
    clock.advance(-290)
    add(store, 2)
    assert numbers(store.read_one(Read(feed=feed(), cursor=cursor, limit=9))) == [2]


def test_p4_pruning_never_lowers_a_floor(store: Store, upkeep: Upkeep, clock: Clock) -> None:
    add(store, 1)
    cursor = cursor_now(store)
    clock.advance(10)
    store.raise_floors(Floors(models=["polls.question"]))
    prune(upkeep)
    assert refusal(store, cursor) == "reset"


def test_p4_pruning_by_a_shorter_window_and_reading_by_the_longer_one_is_noticed(
    store: Store, upkeep: Upkeep, clock: Clock
) -> None:
    cursor = cursor_now(store)
    add(store, 1)
    clock.advance(300)
    prune(upkeep, age=MINUTE, window=MINUTE)
    assert refusal(store, cursor) == "reset"


def test_each_model_is_pruned_by_its_own_age(store: Store, upkeep: Upkeep, clock: Clock) -> None:
    feeds = [feed(f"{model}:{pk}") for model in ("polls.question", "polls.choice") for pk in range(100)]
    store.append(Entry(one, member(1)) for one in feeds)
    clock.advance(300)
    ages = {"polls.question": (WINDOW, MINUTE), "polls.choice": (WINDOW, WINDOW)}
    *_, result = upkeep.prune(ages.__getitem__)
    assert (result.feeds, result.removed) == (200, 100)
    assert {name.model for name in names(upkeep)} == {"polls.choice"}


def test_pruning_one_model_leaves_the_others_alone(store: Store, upkeep: Upkeep, clock: Clock) -> None:
    for name in ("polls.question:1", "polls.question", "polls.choice:1", "polls.questionable:1"):
        add(store, 1, to=feed(name))
    clock.advance(300)
    assert prune(upkeep, age=MINUTE, model="polls.question").removed == 2
    assert names(upkeep) == {parse_feed("polls.choice:1"), parse_feed("polls.questionable:1")}


def test_dry_run_counts_and_changes_nothing(store: Store, upkeep: Upkeep, clock: Clock, client: redis.Redis) -> None:
    one, other = neighbours(2)
    store.append(Entry(to, member(number)) for to in (one, other) for number in range(10))
    cursor = cursor_now(store, one)._replace(timestamp=START + 1)
    clock.advance(300)
    store.append([Entry(one, member(10))])
    before = contents(client)
    dry = prune(upkeep, age=MINUTE, dry_run=True)
    assert contents(client) == before
    assert refusal(store, cursor, one) is None
    real = prune(upkeep, age=MINUTE)
    assert (dry.feeds, dry.removed, dry.wrong_type) == (real.feeds, real.removed, real.wrong_type) == (2, 20, [])
    # What a part of a feed takes can only be estimated.
    assert real.freed * 0.5 <= dry.freed <= real.freed * 2


def contents(client: redis.Redis) -> dict[Any, Any]:
    return {key: client.execute_command("DUMP", key, **{NEVER_DECODE: True}) for key in client.scan_iter()}


def test_dry_run_on_an_empty_server_makes_no_key(upkeep: Upkeep, client: redis.Redis) -> None:
    client.zadd("diffs:{1c}:feed:polls.question:42", {b"\x11": START})
    result = prune(upkeep, age=0, dry_run=True)
    assert (result.feeds, result.removed) == (1, 0)
    assert client.dbsize() == 1


def test_bytes_freed_are_what_the_server_says_that_the_keys_took(store_server: RedisServer, clock: Clock) -> None:
    with redis.Redis(**store_server.options) as client:
        store = Store(client, "diffs", now=clock)
        key = store.keys.feed(feed().name)
        add(store, *range(1000))
        clock.advance(300)
        add(store, 1000)
        before = client.memory_usage(key)
        result = prune(Upkeep(store), age=MINUTE)
        assert result.freed == before - client.memory_usage(key) > 0
        store.close()


def test_bytes_of_many_small_feeds_are_measured_in_some_and_reckoned_for_the_others(
    store_server: RedisServer, clock: Clock
) -> None:
    with redis.Redis(**store_server.options) as client:
        store = Store(client, "diffs", now=clock)
        crowd = neighbours(200)
        store.append([Entry(one, member(number)) for one in crowd for number in range(20)])
        clock.advance(300)
        store.append([Entry(one, member(20)) for one in crowd])

        def taken() -> int:
            return sum(client.memory_usage(store.keys.feed(one.name)) for one in crowd)

        before = taken()
        result = prune(Upkeep(store), age=MINUTE)
        assert result.removed == 4000
        assert result.freed == pytest.approx(before - taken(), rel=0.05)
        store.close()


def test_feed_of_very_many_diffs_is_pruned_bit_by_bit_so_that_others_get_their_turn(
    store: Store, upkeep: Upkeep, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small, whole = neighbours(3)
    store.append([Entry(large, member(number)) for number in range(12_000)])
    store.append([Entry(of, member(number)) for of in (small, whole) for number in range(200)])
    clock.advance(300)
    behind = cursor_now(store, large)
    store.append([Entry(of, member(12_000)) for of in (large, small)])
    taken: list[int] = []
    run = store.run

    def counting(calls: Any) -> Any:
        replies = run(calls)
        taken.extend(removed for _, removed, *_ in replies)
        return replies

    monkeypatch.setattr(store, "run", counting)
    result = prune(upkeep, age=MINUTE)
    assert (result.feeds, result.removed, sum(taken)) == (3, 12_400, 12_400)
    # What goes as a whole is no work.
    assert len(taken) >= 2 and max(taken) <= 7_200
    assert [numbers(read_all(store, of)) for of in (large, small, whole)] == [[12_000], [12_000], []]
    assert refusal(store, behind, large) == "reset"


def test_key_of_another_type_is_named_and_left_alone(
    store: Store, upkeep: Upkeep, clock: Clock, client: redis.Redis
) -> None:
    one, wrong, other = neighbours(3)
    store.append(Entry(to, member(1)) for to in (one, other))
    client.set(store.keys.feed(wrong.name), "in the way")
    clock.advance(300)
    for dry_run in (True, False):
        result = prune(upkeep, age=MINUTE, dry_run=dry_run)
        assert (result.feeds, result.removed, result.wrong_type) == (2, 2, [store.keys.feed(wrong.name)])
    assert six.ensure_str(client.get(store.keys.feed(wrong.name))) == "in the way"


def test_pruning_nothing_still_says_so(upkeep: Upkeep) -> None:
    assert list(upkeep.prune(lambda model: (WINDOW, 0)))[-1] == PruneResult()


def test_feeds_of_one_shard_are_pruned_by_hundreds(
    store: Store, upkeep: Upkeep, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = neighbours(3000)
    store.append([Entry(one, member(1)) for one in crowd])
    clock.advance(300)
    done: list[int] = []
    run = store.run

    def counting(calls: Any) -> Any:
        replies = run(calls)
        done.extend(reply[0] for reply in replies)
        return replies

    monkeypatch.setattr(store, "run", counting)
    assert prune(upkeep, age=MINUTE).removed == 3000
    assert sum(done) == 3000
    assert len(done) <= 6
    assert max(done) <= 1500


def test_pruning_that_is_stopped_half_way_leaves_every_reader_right(
    store: Store, upkeep: Upkeep, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SCAN_COUNT_TO_PRUNE", "PRUNED_FEEDS"):
        monkeypatch.setattr(upkeep_module, name, 10)
    feeds = [feed(f"polls.question:{pk}") for pk in range(300)]
    behind = {one: cursor_now(store, one) for one in feeds}
    store.append(Entry(one, member(1)) for one in feeds)
    clock.advance(300)
    next(result for result in upkeep.prune(lambda model: (WINDOW, MINUTE)) if result.removed > 50)
    left = names(upkeep)
    assert 0 < len(left) < 300
    honoured = [one for one in feeds if refusal(store, behind[one], one) is None]
    assert {one.name for one in honoured} <= left
    pages = [numbers(store.read_one(Read(feed=one, cursor=behind[one], limit=9))) for one in honoured]
    assert pages == [[1]] * len(honoured)
    assert prune(upkeep, age=MINUTE).removed == len(left)


def test_survey_measures_feeds_and_leaves_empty_ones_out(
    store: Store, upkeep: Upkeep, clock: Clock, client: redis.Redis
) -> None:
    one, other, empty, wrong = neighbours(4)
    store.append([Entry(one, member(1))])
    clock.advance(5)
    store.append([Entry(one, member(2)), Entry(one, member(3)), Entry(other, member(1))])
    client.set(store.keys.feed(wrong.name), "in the way")
    survey = upkeep.survey([one.name, empty.name, wrong.name, other.name])
    now = clock.time
    assert survey.feeds == [
        FeedSurvey(one.name, 3, START + 1, now + 1),
        FeedSurvey(other.name, 1, now + 2, now + 2),
    ]
    assert survey.wrong_type == [store.keys.feed(wrong.name)]
    assert upkeep.survey([]) == ([], [])


def test_everything_under_the_prefix_can_be_removed_and_nothing_else(
    store: Store, upkeep: Upkeep, client: redis.Redis
) -> None:
    store.append(Entry(feed(f"polls.question:{pk}"), member(1)) for pk in range(1500))
    store.raise_floors(Floors([feed()]))
    cursor = cursor_now(store)
    client.set("diffs", 1)
    client.set("diffs2:{00}:meta", 1)
    upkeep.remove_everything()
    assert {six.ensure_str(key) for key in client.scan_iter()} == {"diffs", "diffs2:{00}:meta"}
    assert refusal(store, cursor) == "reset"
    upkeep.remove_everything()


CALLS: dict[str, Callable[[Upkeep], Any]] = {
    "feeds": lambda upkeep: list(upkeep.feeds()),
    "prune": prune,
    "survey": lambda upkeep: upkeep.survey([feed().name]),
    "servers": lambda upkeep: upkeep.servers(),
    "remove_everything": lambda upkeep: upkeep.remove_everything(),
}


@pytest.mark.parametrize("call", CALLS)
def test_server_that_is_away_is_an_error_of_ours(call: str) -> None:
    client = redis.Redis(unix_socket_path="/nonexistent/socket", retry=None)
    store = Store(client, "diffs")
    with pytest.raises(StoreUnavailable, match="^Redis can't be reached.$"):
        CALLS[call](Upkeep(store))
    store.close()


def test_server_that_refuses_to_measure_is_an_error_of_ours(store_server: RedisServer) -> None:
    user = redis.Redis(**store_server.options)
    user.acl_setuser("limited", enabled=True, nopass=True, keys=["other:*"], commands=["+@all"], reset=True)
    limited = Store(redis.Redis(**store_server.options, username="limited", password="any"), "diffs")
    with pytest.raises(StoreUnavailable, match=r"^Redis refuses \(NoPermissionError\).$"):
        Upkeep(limited).survey([feed().name])
    user.acl_deluser("limited")
    limited.close()
    user.close()


def test_server_tells_of_its_memory_and_its_limits(store_server: RedisServer) -> None:
    with redis.Redis(**store_server.options) as client:
        ((_, info),) = Upkeep(Store(client, "diffs")).servers()
    assert info["maxmemory_policy"] == "noeviction"
    assert info["used_memory"] > 0
    assert (info["zset-max-ziplist-value"], info["save"]) == ("256", "")


def test_what_may_not_be_asked_is_left_out(store_server: RedisServer) -> None:
    user = redis.Redis(**store_server.options)
    user.acl_setuser("limited", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-config"], reset=True)
    with redis.Redis(**store_server.options, username="limited", password="any") as client:
        ((_, info),) = Upkeep(Store(client, "diffs")).servers()
    assert "used_memory" in info
    assert "save" not in info
    user.acl_deluser("limited")
    user.close()
