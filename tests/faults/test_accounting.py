"""The accounting itself finds what is lost, doubled, wrong or was never committed."""

from __future__ import annotations

import pytest

from tests.order.accounting import Account, Noted, Told, account

FEED = "order.row:1"


def noted(*tokens: str) -> list[Noted]:
    return [Noted(order, token, FEED, 1) for order, token in enumerate(tokens, 1)]


def told(*tokens: str) -> dict[str, list[Told]]:
    return {FEED: [Told(f"{place:022x}", 1, token, token) for place, token in enumerate(tokens)]}


def test_what_was_committed_and_is_told_of_once_is_delivered() -> None:
    assert account(noted("a", "b"), told("b", "a"), ()) == Account(2, 2, 0, 0, [], [], [])


def test_planted_loss_is_found_whatever_comes_behind_it() -> None:
    assert account(noted("a", "b"), told("b"), ()) == Account(2, 1, 0, 0, [f"{FEED}: a of 1"], [], [])


def test_planted_double_is_found() -> None:
    assert account(noted("a"), told("a", "a"), ()) == Account(1, 1, 0, 0, [], [f"{FEED}: a of 1"], [])


def test_one_id_at_two_places_is_found() -> None:
    diff = Told("1", 1, "a", "a")
    found = account(noted("a"), {FEED: [diff, diff]}, ())
    assert found.doubled == [f"{FEED}: 1 2 times", f"{FEED}: a of 1"]


@pytest.mark.parametrize("text", ["b", "a", None])
def test_what_was_rolled_back_is_found_by_its_actor_and_by_its_values(text: str | None) -> None:
    rolled_back = Told("1", 1, "b", text)
    assert f"{FEED}: b" in account(noted("a"), {FEED: [rolled_back]}, ()).uncommitted
    reading = Told("1", 1, "a", "b")
    assert account(noted("a"), {FEED: [reading]}, ()).uncommitted == [f"{FEED}: b"]


def test_late_diff_counts_as_replaced_where_the_feed_tells_of_the_row_as_it_was_then_or_later() -> None:
    late = {(FEED, "a")}
    reading = {FEED: [Told("1", 1, "b", "b"), Told("2", 1, "a", "b")]}
    assert account(noted("a", "b"), reading, late) == Account(2, 1, 1, 0, [], [], [])
    assert account(noted("a", "b"), told("b"), late) == Account(2, 1, 1, 0, [], [], [])


def test_late_diff_that_nothing_later_replaced_is_lost() -> None:
    assert account(noted("x", "a"), told("x"), {(FEED, "a")}).lost == [f"{FEED}: a of 1"]


def test_late_diff_counts_as_refused_where_its_feed_s_readers_are() -> None:
    late = {(FEED, "a")}
    assert account(noted("x", "a"), told("x"), late, {FEED}) == Account(2, 1, 0, 1, [], [], [])
    assert account(noted("x", "a"), told("x"), (), {FEED}).lost == [f"{FEED}: a of 1"]


def test_change_that_makes_two_diffs_is_missed_where_one_is_there() -> None:
    both = [*noted("a"), *noted("a")]
    assert account(both, told("a", "a"), ()) == Account(2, 2, 0, 0, [], [], [])
    assert account(both, told("a"), ()) == Account(2, 1, 0, 0, [f"{FEED}: a of 1"], [], [])
