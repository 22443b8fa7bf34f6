"""How the board in Chromium gets its diffs: by streams, long polls and polls, in hidden tabs, under a strict policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from .proxy import Proxy
from .showing import loads, rows, shows, wait_for_text
from .site import Site, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser

FIVE_MINUTES = 5 * 60_000

HIDE = """(state) => {
  Object.defineProperty(document, "visibilityState", { configurable: true, get: () => state });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def mode(page: Page) -> str | None:
    return page.get_attribute("body", "data-mode")


def change(site: Site, airline: str) -> None:
    site.run(f"Flight.objects.filter(number='DL2181').update(airline='{airline}')")


@pytest.fixture
def plain_site(site: Site) -> Iterator[Site]:
    """The site behind Django's own server, which nothing can wait at."""
    site.kill()
    site.start(streams=False)
    yield site
    site.kill()
    site.start()


def test_the_page_says_how_it_gets_its_diffs(page: Page):
    assert page.locator("#link").inner_text() == "Live"
    assert page.locator("#mode").inner_text() == "by event stream"


def test_without_an_asgi_server_the_board_polls(blank: Page, plain_site: Site):
    blank.goto(plain_site.url)
    blank.wait_for_selector("body[data-state=live]")
    assert blank.locator("#mode").inner_text() == "by polls"
    change(plain_site, "Concorde")
    wait_for_text(blank, "DL2181", "airline", "Concorde")
    plain_site.redis.cli("FLUSHALL")
    wait_for(lambda: loads(blank).startswith("Loaded 2 times"))
    change(plain_site, "Zeppelin")
    shows(blank, plain_site.shown())


def test_a_board_that_polls_finds_the_stream_when_there_is_one(blank: Page, plain_site: Site):
    blank.clock.install()
    blank.goto(plain_site.url)
    blank.wait_for_selector("body[data-mode=poll]")
    plain_site.kill()
    plain_site.start()
    blank.clock.fast_forward(FIVE_MINUTES)
    blank.wait_for_selector("body[data-mode=stream][data-state=live]")
    assert loads(blank).startswith("Loaded once")


def test_a_stream_that_a_proxy_holds_back_gives_way_to_long_polls(blank: Page, site: Site, proxy: Proxy):
    proxy.holds_streams = True
    blank.goto(proxy.url)
    blank.wait_for_selector("body[data-mode=long-poll]")
    assert blank.locator("#mode").inner_text() == "by long polls"
    change(site, "Concorde")
    wait_for_text(blank, "DL2181", "airline", "Concorde")


def test_a_hidden_tab_gives_its_connection_up_and_catches_up_when_it_is_seen(blank: Page, site: Site):
    blank.clock.install()
    blank.goto(site.url)
    blank.wait_for_selector("body[data-state=live]")
    blank.evaluate(HIDE, "hidden")
    blank.clock.fast_forward(10_000)
    blank.wait_for_selector("body[data-state=paused]")
    before = rows(blank)
    change(site, "Hindenburg")
    expected = site.shown()
    assert rows(blank) == before != expected
    blank.evaluate(HIDE, "visible")
    shows(blank, expected)
    assert loads(blank).startswith("Loaded once")


def test_a_flight_that_moves_elsewhere_leaves_the_board_and_comes_back_as_it_is_then(page: Page, site: Site):
    site.run("Flight.objects.filter(number='DL2181').update(origin='EWR')")
    wait_for_text(page, "DL2181", "origin", "EWR")
    site.run("Flight.objects.filter(number='DL2181').update(origin='BOS')")
    wait_for(lambda: "DL2181" not in rows(page), every=0.1)
    # Of what happens in Boston nobody is told here.
    change(site, "Montgolfier")
    site.run("Flight.objects.filter(number='DL2181').update(origin='JFK')")
    shows(page, site.shown())
    assert rows(page)["DL2181"]["airline"] == "Montgolfier"


def test_a_flight_that_is_created_and_deleted_comes_and_goes(page: Page, site: Site):
    site.run(
        "flight = Flight.objects.get(number='DL2181')\nflight.number = 'LZ129'\nflight.save(force_insert=True)\n"
        "Flight.objects.filter(number='DL2181').delete()"
    )
    shows(page, site.shown())
    assert {"LZ129", "DL2181"} & rows(page).keys() == {"LZ129"}
    site.run("Flight.objects.filter(number='LZ129').update(number='DL2181')")
    shows(page, site.shown())


def test_a_strict_content_security_policy_is_kept(blank: Page, site: Site):
    def with_policy(route: Route) -> None:
        response = route.fetch()
        policy = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self'; style-src 'self'"
        route.fulfill(response=response, headers={**response.headers, "Content-Security-Policy": policy})

    said: list[str] = []
    blank.on("console", lambda message: said.append(message.text))
    blank.route(f"{site.url}/", with_policy)
    blank.goto(site.url)
    blank.wait_for_selector("body[data-state=live]")
    change(site, "Strict")
    wait_for_text(blank, "DL2181", "airline", "Strict")
    assert said == []
