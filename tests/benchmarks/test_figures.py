"""Figures of the benchmarks: what the rounds gave."""

from __future__ import annotations

import pytest

from benchmarks.harness.figures import Figure, Samples
from benchmarks.harness.runs import Run


def replies(*microseconds: float) -> list[dict[str, float]]:
    return [{"microseconds": value} for value in microseconds]


def test_figure_is_the_median_with_its_quartiles() -> None:
    assert Figure.of([4, 1, 2, 3, 100]) == Figure(median=3, low=2, high=4, rounds=5)


def test_one_round_has_no_spread() -> None:
    assert Figure.of([7.5]) == Figure(median=7.5, low=7.5, high=7.5, rounds=1)


def test_nothing_measured_has_no_figure() -> None:
    with pytest.raises(ValueError, match="nothing to sum up"):
        Figure.of([])


def test_ratio_is_that_of_turns_of_one_round() -> None:
    # The machine was ten times slower in the second round, which no ratio of medians would forgive.
    samples = Samples({"plain": replies(100, 1000, 110), "registered": replies(150, 1500, 165)})
    assert samples.ratio("registered", "plain") == Figure(median=1.5, low=1.5, high=1.5, rounds=3)


def test_quantity_is_computed_from_the_figures_of_one_round() -> None:
    samples = Samples({"registered": replies(5, 9), "plain": replies(1, 3), "zadd": replies(2, 3)})
    added = samples.combine(lambda own, base, floor: (own - base) / floor, "registered", "plain", "zadd")
    assert added == Figure(median=2, low=2, high=2, rounds=2)


def test_contenders_of_unequal_rounds_are_not_compared() -> None:
    samples = Samples({"plain": replies(1), "registered": replies(1, 2)})
    with pytest.raises(ValueError):
        samples.ratio("registered", "plain")


def turns(seed: int) -> list[str]:
    taken: list[str] = []

    def turn(name: str) -> dict[str, float]:
        taken.append(name)
        return {"microseconds": len(taken)}

    with Run(seed=seed) as run:
        samples = run.interleave({name: lambda name=name: turn(name) for name in "abc"}, 3, warmups=2)
    assert [len(samples.replies[name]) for name in "abc"] == [3, 3, 3]
    assert min(samples.values("a") + samples.values("b") + samples.values("c")) == 7
    return taken


def test_everyone_takes_one_turn_a_round_in_an_order_that_the_seed_gives() -> None:
    taken = turns(seed=1)
    assert [sorted(taken[start : start + 3]) for start in range(0, 15, 3)] == [["a", "b", "c"]] * 5
    assert turns(seed=1) == taken
    assert turns(seed=2) != taken


def test_command_line_decides_how_many_rounds_and_which_goals_there_are() -> None:
    with Run(quick=True, only=["W1"]) as quick, Run(quick=False, rounds=7) as full:
        assert (quick.rounds(5, 50), full.rounds(5, 50)) == (5, 7)
        assert (quick.wants("W1"), quick.wants("W2"), full.wants("W2")) == (True, False, True)


def test_what_raises_is_a_row_and_the_others_go_on() -> None:
    def measure() -> list[object]:
        raise ValueError("It is\nbroken.")

    with Run() as run:
        (row,) = run.attempt("W1", "a save", "SQLite", measure)  # type: ignore[arg-type]
    assert (row.goal, row.what, row.where, row.value) == ("W1", "a save", "SQLite", None)
    assert row.error == "broken."
