"""What a board shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .site import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROWS = """() => Object.fromEntries([...document.querySelectorAll(".rows > .row")].map((row) => {
  const columns = ["scheduled", "destination", "flight", "airline", "expected", "remark"];
  const words = columns.map((name) => [name, row.querySelector(`.c-${name}`).textContent]);
  return [row.dataset.number, { origin: row.closest(".hall").dataset.origin, ...Object.fromEntries(words) }];
}))"""


def rows(page: Page) -> dict[str, dict[str, str]]:
    """What the page shows: the texts of each row, by the flight's number."""
    shown: dict[str, dict[str, str]] = page.evaluate(ROWS)
    return shown


def shows(page: Page, expected: dict[str, dict[str, str]]) -> None:
    """Wait until the page shows exactly these rows, and say what differs where it never does."""
    try:
        wait_for(lambda: rows(page) == expected, every=0.1)
    except AssertionError:
        assert rows(page) == expected


def wait_for_text(page: Page, number: str, column: str, text: str) -> None:
    wait_for(lambda: rows(page)[number][column] == text, every=0.1)


def loads(page: Page) -> str:
    return page.locator("#loads").inner_text()
