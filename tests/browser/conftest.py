"""A browser, and the example's site in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .proxy import Proxy
from .site import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


ARTEFACTS = Path(__file__).resolve().parent.parent / "artefacts"
"""What each page looked like at the end of its test."""


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    """A Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """The example's site, with the flights of a late evening on the board."""
    site = Site()
    try:
        site.manage("replay", "--speed", "0", "--from", "23:30", "--until", "23:30")
        site.start()
        yield site
    finally:
        site.close()


@pytest.fixture
def proxy(site: Site) -> Iterator[Proxy]:
    """What lies between the browser and the site."""
    with Proxy(site.port) as proxy:
        yield proxy


@pytest.fixture
def blank(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page where nothing is loaded yet; what it throws fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{request.node.name}.png")
    context.close()
    assert errors == []


@pytest.fixture
def page(blank: Page, site: Site) -> Page:
    """The board, loaded and live."""
    blank.goto(site.url)
    blank.wait_for_selector("body[data-state=live]")
    return blank
