"""The departures board in Chromium: it loads its list once, lives on diffs, and recovers by itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import redis

from .site import PASSWORD, USER, Site, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

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
        wait_for(lambda: rows(page) == expected)
    except AssertionError:
        assert rows(page) == expected


def wait_for_text(page: Page, number: str, column: str, text: str) -> None:
    wait_for(lambda: rows(page)[number][column] == text)


def loads(page: Page) -> str:
    return page.locator("#loads").inner_text()


def test_the_board_shows_what_the_database_holds(page: Page, site: Site):
    assert rows(page) == site.shown() != {}


def test_a_flight_edited_in_the_admin_shows_on_the_board(page: Page, site: Site):
    admin = page.context.new_page()
    admin.goto(f"{site.url}/admin/board/flight/DL2181/change/")
    admin.fill("#id_username", USER)
    admin.fill("#id_password", PASSWORD)
    admin.click("[type=submit]")
    admin.select_option("#id_status", "cancelled")
    admin.select_option("#id_destination", "SFO")
    admin.click("[name=_save]")
    admin.wait_for_selector(".messagelist .success")
    wait_for_text(page, "DL2181", "remark", "cancelled")
    wait_for_text(page, "DL2181", "destination", "San Francisco")
    assert loads(page).startswith("Loaded once")


def test_a_changed_cell_flashes_and_the_others_do_not(page: Page, site: Site):
    page.locator("#tab-LGA").click()
    site.run("Flight.objects.filter(number='DL2181').update(status='boarding')")
    page.wait_for_selector("[data-number=DL2181] .changed")
    assert page.locator(".changed").evaluate_all("cells => cells.map((cell) => cell.className)") == [
        "flaps c-remark changed"
    ]


def test_texts_are_never_read_as_markup(page: Page, site: Site):
    markup = "<img src=x onerror=alert(1)>"
    site.run(f"Flight.objects.filter(number='DL2181').update(airline='{markup}')")
    wait_for_text(page, "DL2181", "airline", markup)
    assert page.locator(".rows img").count() == page.locator("#tape img").count() == 0


def test_the_board_keeps_in_step_with_a_replay(page: Page, site: Site):
    replay = site.begin("replay", "--from", "23:30", "--speed", "1400")
    stories: dict[str, list[str]] = {}

    def ended() -> bool:
        for number, row in rows(page).items():
            story = stories.setdefault(number, [])
            if row["remark"] in ("delayed", "boarding", "departed") and row["remark"] not in story:
                story.append(row["remark"])
        return replay.poll() is not None

    wait_for(ended)
    assert replay.returncode == 0
    assert ["delayed", "boarding", "departed"] in stories.values()
    shows(page, site.shown())
    assert loads(page).startswith("Loaded once")


def test_the_meter_sets_the_polls_beside_reloading_the_list(page: Page):
    polls = page.locator("#meter-polls")
    wait_for(lambda: int(polls.locator(".meter-count").inner_text()) >= 3)
    size = page.evaluate("async () => (await (await fetch('/flights.json')).arrayBuffer()).byteLength")
    measured = page.evaluate(
        """() => ({
          polls: Number(document.querySelector("#meter-polls .meter-count").textContent),
          bytes: Number(document.querySelector("#meter-polls").dataset.bytes),
          reload: Number(document.querySelector("#meter-reload").dataset.bytes),
        })"""
    )
    assert measured["reload"] == measured["polls"] * size
    assert 0 < measured["bytes"] < measured["reload"] / 10


def test_the_board_loads_its_list_again_where_a_cursor_is_refused(page: Page, site: Site):
    assert loads(page).startswith("Loaded once")
    with redis.Redis(unix_socket_path=str(site.redis_socket)) as client:
        client.flushall()
    wait_for(lambda: loads(page).startswith("Loaded 2 times"))
    site.run("Flight.objects.filter(number='DL2181').update(airline='Concorde')")
    wait_for_text(page, "DL2181", "airline", "Concorde")
    assert page.get_attribute("body", "data-state") == "live"


def test_the_board_goes_on_after_the_site_was_away(page: Page, site: Site):
    site.kill()
    page.wait_for_selector("body[data-state=reconnecting]")
    assert page.locator("#link").inner_text() == "Reconnecting"
    site.run("Flight.objects.filter(number='DL2181').update(airline='Zeppelin')")
    site.start()
    page.wait_for_selector("body[data-state=live]")
    wait_for_text(page, "DL2181", "airline", "Zeppelin")
    shows(page, site.shown())


def test_tabs_choose_the_airport(page: Page):
    assert page.locator(".hall:visible").get_attribute("data-origin") == "EWR"
    page.get_by_role("tab", name=re.compile("LGA")).click()
    assert page.locator(".hall:visible").get_attribute("data-origin") == "LGA"
    page.keyboard.press("ArrowRight")
    assert page.locator(".hall:visible").get_attribute("data-origin") == "EWR"


def test_a_wide_page_shows_all_airports_side_by_side(page: Page):
    page.set_viewport_size({"width": 1920, "height": 1080})
    assert page.locator(".hall:visible").count() == 3


def test_a_phone_needs_no_sideways_scrolling(page: Page):
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") == 360


CLOCK = """async ([ticks, moments]) => {
  const { HallClock } = await import("/static/board/clock.js");
  const clock = new HallClock();
  const shown = [clock.read(0)];
  clock.set(0);
  shown.push(clock.read(0));
  for (const [local, at] of ticks) clock.tick(local, at * 1000, at + 100);
  return [...shown, ...moments.map((moment) => clock.read(moment + 100))];
}"""


def test_the_hall_clock_runs_on_between_diffs_and_stops_without_them(page: Page):
    ticks = [[60_000, 1000], [120_000, 2000]]
    shown = page.evaluate(CLOCK, [ticks, [2000, 2500, 3000, 4000, 9000]])
    assert shown == [None, 0, 120_000, 150_000, 180_000, 240_000, 240_000]


def test_the_hall_clock_waits_for_the_speed_of_a_day_that_begins_again(page: Page):
    ticks = [[60_000, 1000], [120_000, 2000], [0, 3000]]
    assert page.evaluate(CLOCK, [ticks, [3000, 9000]]) == [None, 0, 0, 0]
