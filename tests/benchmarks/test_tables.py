"""Tables of the benchmarks."""

from __future__ import annotations

import pytest

from benchmarks.harness import table

from .rows import of_field, row


@pytest.mark.parametrize(
    ("value", "at_least", "met"),
    [(1.1, False, True), (1.1001, False, False), (1.1, True, True), (1.0999, True, False), (None, False, None)],
)
def test_goal_is_met_on_its_very_edge(value: float | None, at_least: bool, met: bool | None) -> None:
    assert row(value=value, limit=1.1, at_least=at_least).met is met


def test_row_without_a_goal_is_neither_met_nor_missed() -> None:
    assert row(value=3.0).met is None


def test_row_shows_what_was_measured_or_why_not() -> None:
    full = row(value=1.234, low=1.2, high=12.34, limit=1.1)
    assert table.cells(full) == ("W1", "a save", "SQLite", "1.234", "1.200 – 12.3", "≤ 1.100", "no")
    assert table.cells(row(value=1234.5, unit="µs"))[3] == "1,234 µs"
    assert table.cells(row(value=9.0, limit=8.0, at_least=True))[5:] == ("≥ 8.00", "yes")
    assert table.cells(row(note="not measured: no interpreter"))[3] == "not measured: no interpreter"
    assert table.cells(row(error="broken."))[3] == "error: broken."


def test_field_has_a_line_for_each_package_also_for_one_that_a_database_lacks() -> None:
    rows = [
        row(value=1.0),
        row("triggers", goal="peers", note="not measured: it needs PostgreSQL", details={"peer": "triggers"}),
        of_field("audit", "create", "SQLite", 4.5),
        of_field("audit", "update", "SQLite", 5.25),
        of_field("audit", "create", "PostgreSQL", 3.0),
        of_field("audit", "update", "PostgreSQL", 4.0),
        of_field("triggers", "create", "PostgreSQL", 1.111),
    ]
    assert table.field(rows) == [
        ["SQLite / PostgreSQL", "create", "update"],
        ["triggers", "– / 1.11", "– / –"],
        ["audit", "4.50 / 3.00", "5.25 / 4.00"],
    ]
    assert [line[1] for line in table.goals(rows)] == ["measure", "a save", "triggers"]


def test_field_of_which_nothing_was_measured_has_only_a_head() -> None:
    assert len(table.field([row(value=1.0)])) == 1


TABLE = [("goal", "met"), ("W1", "yes"), ("R_", "a|b")]


def test_table_of_a_terminal_is_aligned() -> None:
    assert table.as_text(TABLE).splitlines() == ["goal  met", "----  ---", "W1    yes", "R_    a|b"]


def test_table_of_markdown_escapes_bars() -> None:
    lines = ["| goal | met |", "| --- | --- |", "| W1 | yes |", "| R_ | a\\|b |"]
    assert table.as_markdown(TABLE).splitlines() == lines


def test_table_of_restructuredtext_escapes_markup() -> None:
    rule = "====  ===="
    assert table.as_rst(TABLE).splitlines() == [rule, "goal  met", rule, "W1    yes", "R\\_   a\\|b", rule]
