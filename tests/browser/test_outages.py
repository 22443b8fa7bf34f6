"""The departures board in Chromium while something fails: it ends with the database's rows each time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from .proxy import Proxy
from .showing import rows, shows
from .site import Site, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

Outage = Callable[["Page", Site, Proxy], Iterator[None]]


def server_killed(page: Page, site: Site, proxy: Proxy) -> Iterator[None]:
    site.kill()
    page.wait_for_selector("body[data-state=retrying]")
    yield
    site.start()


def redis_flushed(page: Page, site: Site, proxy: Proxy) -> Iterator[None]:
    site.redis.cli("FLUSHALL")
    yield


def redis_restarted(page: Page, site: Site, proxy: Proxy) -> Iterator[None]:
    site.redis.kill()
    yield
    site.redis.restart()


def redis_hanging(page: Page, site: Site, proxy: Proxy) -> Iterator[None]:
    site.redis.pause()
    # Long enough for the replay to notice; it is to be there when Redis is back, to have its diffs refused.
    page.wait_for_timeout(1_000)
    site.redis.resume()
    yield


def browser_offline(page: Page, site: Site, proxy: Proxy) -> Iterator[None]:
    page.context.set_offline(True)
    yield
    page.context.set_offline(False)


def connection_cut(page: Page, site: Site, proxy: Proxy) -> Iterator[None]:
    proxy.cut()
    page.wait_for_selector("body[data-state=retrying]")
    yield


def network_dead(page: Page, site: Site, proxy: Proxy) -> Iterator[None]:
    proxy.is_dead = True
    # Nothing tells of it but the silence.
    page.clock.fast_forward(38_000)
    page.wait_for_selector("body[data-state=retrying]")
    yield
    proxy.is_dead = False


@pytest.mark.parametrize(
    "outage",
    [server_killed, redis_flushed, redis_restarted, redis_hanging, browser_offline, connection_cut, network_dead],
)
def test_the_board_ends_with_the_databases_rows_whatever_fails_in_a_replay(
    blank: Page, site: Site, proxy: Proxy, outage: Outage
):
    blank.clock.install()
    blank.emulate_media(reduced_motion="reduce")
    blank.goto(proxy.url)
    blank.wait_for_selector("body[data-mode=stream]")
    replay = site.begin("replay", "--from", "23:00", "--until", "23:45", "--speed", "1500")
    before = rows(blank)
    wait_for(lambda: rows(blank) != before, every=0.1)
    with contextlib.contextmanager(outage)(blank, site, proxy):
        wait_for(lambda: replay.poll() is not None)
    assert replay.returncode == 0
    shows(blank, site.shown())
    assert blank.get_attribute("body", "data-state") == "live"
