"""RudderStack's JavaScript SDK, unmodified, on pages of another origin than the collector's."""

import json

import pytest

from tests.browser.chromium import Visit
from tests.browser.pages import module, pasted
from tests.browser.sent import differences
from tests.browser.shop import Shop
from tests.browser.site import Site

CALLS = """() => {
  analytics.identify('u1', { plan: 'pro' })
  analytics.track('Order Completed', { price: 12.5, big: 9007199254740991 })
  analytics.group('g1', { size: 3 })
  analytics.alias('u2', 'u1')
}"""
EVENTS = ["alias", "group", "identify", "page", "track Order Completed"]
OPTIONS = {
    "xhr": "",
    "batch": "queueOptions: { batch: { enabled: true, maxItems: 10, flushInterval: 200 } },",
    "beacon": "useBeacon: true, beaconQueueOptions: { maxItems: 5, flushQueueInterval: 200 },",
}


def loading(shop: Shop, way: str = "xhr", write_key: str = "") -> str:
    """A page that loads the SDK without a control plane, as with the options of a way to send."""
    key = write_key or shop.write_key
    return module(f"""import {{ RudderAnalytics }} from '@rudderstack/analytics-js/bundled'
const analytics = new RudderAnalytics()
const source = {{
  id: 's1', name: 'shop', writeKey: '{key}', workspaceId: 'w1', enabled: true, connections: [], destinations: [],
  config: {{ statsCollection: {{ errors: {{ enabled: false }}, metrics: {{ enabled: false }} }} }},
}}
analytics.load('{key}', '{shop.url}', {{ {OPTIONS[way]} getSourceConfig: () => ({{ source }}) }})
analytics.page()""")


def test_what_the_readme_says_is_stored_as_it_was_sent(visit: Visit, site: Site, shop: Shop) -> None:
    site.pages["/"] = pasted("RudderStack, npm", shop.url, shop.write_key)
    visit.open(site.url("/"))
    visit.run(CALLS)
    visit.wait_for_answers(5)
    assert differences(visit.posts(), shop.rows()) == []
    assert (shop.event_names(), shop.dead_letters()) == (EVENTS, [])


@pytest.mark.parametrize("way", ["xhr", "batch"])
def test_ways_to_send(visit: Visit, site: Site, shop: Shop, way: str) -> None:
    site.pages["/"] = loading(shop, way)
    visit.open(site.url("/"))
    visit.run(CALLS)
    rows = shop.wait_for_rows(5, visit)
    assert differences(visit.posts(), rows) == []
    assert (shop.event_names(), shop.dead_letters()) == (EVENTS, [])
    assert len({row["client_session_id"] for row in rows}) == 1


def test_beacons(visit: Visit, site: Site, shop: Shop) -> None:
    site.pages["/"] = loading(shop, "beacon")
    visit.open(site.url("/"))
    visit.run(CALLS)
    rows = shop.wait_for_rows(5, visit)
    # Chromium shows nobody what is in a beacon.
    assert (shop.event_names(), shop.dead_letters()) == (EVENTS, [])
    (track,) = (row for row in rows if row["event_type"] == "track")
    assert json.loads(track["properties"])["price"] == 12.5
    assert {post.url.partition("?")[0] for post in visit.posts()} == {f"{shop.url}/beacon/v1/batch"}


@pytest.mark.parametrize("way", OPTIONS)
def test_events_of_a_page_that_is_left_arrive_once(visit: Visit, site: Site, shop: Shop, way: str) -> None:
    site.pages["/"] = site.pages["/next"] = loading(shop, way)
    visit.open(site.url("/"))
    visit.run(
        "new Promise((ready) => analytics.ready(ready))"
        ".then(() => addEventListener('pagehide', () => analytics.track('Left')))"
    )
    visit.page.clock.install()
    visit.open(site.url("/next"))
    visit.run("analytics.track('Arrived')")
    # The next page looks for what the last one left behind after some seconds.
    visit.page.clock.fast_forward("00:10")
    visit.page.clock.fast_forward("00:20")
    rows = shop.wait_for_rows(4, visit)
    assert shop.event_names() == ["page", "page", "track Arrived", "track Left"]
    assert len({row["anonymous_id"] for row in rows}) == 1


def test_a_wrong_key_is_told_and_the_event_dropped(visit: Visit, site: Site, shop: Shop) -> None:
    site.pages["/"] = loading(shop, write_key="wrong")
    visit.open(site.url("/"))
    visit.wait_for_answers(1, status=401)
    visit.page.clock.install()
    visit.run("analytics.track('Order Completed')")
    visit.wait_for_answers(2, status=401)
    visit.page.clock.fast_forward("10:00")
    assert visit.statuses() == [401, 401]
    assert len(visit.posts()) == 2
