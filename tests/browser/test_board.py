"""The departures board in Chromium: it loads its list once and lives on diffs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .showing import loads, rows, shows, wait_for_text
from .site import PASSWORD, USER, Site, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


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


CHANGED = """() => {
  const cells = [...document.querySelectorAll(".changed")];
  return cells.length && cells.map((cell) => [cell.parentElement.dataset.number, cell.className]);
}"""


def test_a_changed_cell_flashes_and_the_others_do_not(page: Page, site: Site):
    page.locator("#tab-LGA").click()
    site.run("Flight.objects.filter(number='DL2181').update(status='boarding')")
    assert page.wait_for_function(CHANGED).json_value() == [["DL2181", "flaps c-remark changed"]]


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

    wait_for(ended, every=0.1)
    assert replay.returncode == 0
    assert ["delayed", "boarding", "departed"] in stories.values()
    shows(page, site.shown())
    assert loads(page).startswith("Loaded once")


def test_the_meter_sets_the_diffs_beside_reloading_the_list(page: Page, site: Site):
    size = page.evaluate("async () => (await (await fetch('/flights.json')).arrayBuffer()).byteLength")
    site.run("Flight.objects.filter(number='DL2181').update(tail='N1')")
    wait_for(lambda: page.locator("#meter-diffs .meter-count").inner_text() == "1")
    measured = page.evaluate(
        """() => ({
          bytes: Number(document.querySelector("#meter-diffs").dataset.bytes),
          reload: Number(document.querySelector("#meter-reload").dataset.bytes),
        })"""
    )
    assert measured["reload"] == size
    assert 0 < measured["bytes"] < size / 10
    assert page.locator("#saving").inner_text() == f"{int(size / measured['bytes'] + 0.5)}×"


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
