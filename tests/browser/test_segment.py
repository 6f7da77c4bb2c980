"""Segment's analytics.js, unmodified, on pages of another origin than the collector's."""

import json

import pytest

from tests.browser.chromium import Visit
from tests.browser.pages import module, pasted
from tests.browser.sent import differences
from tests.browser.shop import Shop
from tests.browser.site import Site
from tests.collector.running import Running

SNIPPETS = ["Segment, script tag", "Segment, npm"]
CALLS = """async () => {
  await analytics.identify('u1', { plan: 'pro' })
  await analytics.track('Order Completed', { price: 12.5, big: 9007199254740991 })
  await analytics.group('g1', { size: 3 })
  await analytics.alias('u2', 'u1')
}"""
EVENTS = ["alias", "group", "identify", "page", "track Order Completed"]
STRATEGIES = {
    "standard": "{}",
    "batching": "{ strategy: 'batching', config: { size: 10, timeout: 200 } }",
    "batching, to be flushed": "{ strategy: 'batching', config: { size: 10, timeout: 600000 } }",
    "headers of one's own": "{ strategy: 'standard', config: { headers: { 'X-Shop-Branch': 'vienna' } } }",
}


def loading(shop: Shop, strategy: str = "standard") -> str:
    """A page that loads analytics.js from npm with a delivery strategy."""
    return module(f"""import {{ AnalyticsBrowser }} from '@segment/analytics-next'
const analytics = AnalyticsBrowser.load(
  {{ writeKey: '{shop.write_key}', cdnURL: '{shop.url}' }},
  {{ integrations: {{ 'Segment.io': {{ deliveryStrategy: {STRATEGIES[strategy]} }} }} }},
)
analytics.page()""")


@pytest.mark.parametrize("title", SNIPPETS)
def test_what_the_readme_says_is_stored_as_it_was_sent(visit: Visit, site: Site, shop: Shop, title: str) -> None:
    site.pages["/"] = pasted(title, shop.url, shop.write_key)
    visit.open(site.url("/?utm_source=mail&utm_campaign=autumn"))
    visit.run(CALLS)
    visit.wait_for_answers(5)
    assert differences(visit.posts(), shop.rows()) == []
    assert (shop.event_names(), shop.dead_letters()) == (EVENTS, [])
    contexts = [json.loads(row["context"]) for row in shop.rows()]
    assert [context["campaign"] for context in contexts] == [{"source": "mail", "name": "autumn"}] * 5
    assert {row["group_id"] for row in shop.rows() if row["event_type"] == "group"} == {"g1"}
    assert len({row["anonymous_id"] for row in shop.rows()}) == 1


@pytest.mark.parametrize("strategy", ["standard", "batching", "headers of one's own"])
def test_delivery_strategies(visit: Visit, site: Site, shop: Shop, strategy: str) -> None:
    site.pages["/"] = loading(shop, strategy)
    visit.open(site.url("/"))
    visit.run(CALLS)
    shop.wait_for_rows(5, visit)
    assert differences(visit.posts(), shop.rows()) == []
    assert (shop.event_names(), shop.dead_letters()) == (EVENTS, [])


@pytest.mark.parametrize("title", SNIPPETS)
def test_nobody_else_hears_of_the_visit(visit: Visit, site: Site, shop: Shop, title: str) -> None:
    visit.page.clock.install()
    site.pages["/"] = pasted(title, shop.url, shop.write_key)
    visit.open(site.url("/"))
    visit.run(CALLS)
    visit.page.clock.fast_forward("10:00")  # the SDK reports on itself every half minute
    visit.run("analytics.track('Ten minutes later')")
    shop.wait_for_rows(6, visit)
    assert visit.elsewhere() == []


def test_an_event_that_is_under_way_when_its_page_is_left_arrives_once(
    visit: Visit, site: Site, shop: Shop, collecting: Running
) -> None:
    site.pages["/"] = site.pages["/next"] = loading(shop)
    visit.open(site.url("/"))
    visit.wait_for_answers(1)
    collecting.service.suspend()
    try:
        visit.run("() => { analytics.track('Left') }")
        visit.wait_for(lambda: len(visit.posts()) == 2, "the event is under way")
        visit.open(site.url("/next"))
    finally:
        collecting.service.resume()
    visit.run("analytics.track('Arrived').then(() => {})")
    rows = shop.wait_for_rows(4, visit)
    assert shop.event_names() == ["page", "page", "track Arrived", "track Left"]
    assert len({row["anonymous_id"] for row in rows}) == 1


def test_what_a_batch_still_holds_when_its_page_is_left_arrives_once(visit: Visit, site: Site, shop: Shop) -> None:
    site.pages["/"] = site.pages["/next"] = loading(shop, "batching, to be flushed")
    visit.open(site.url("/"))
    visit.run("analytics.track('Left').then(() => {})")
    assert visit.posts() == []
    visit.open(site.url("/next"))
    visit.run("analytics.track('Arrived').then(() => {})")
    visit.open(site.url("/nothing"))
    rows = shop.wait_for_rows(4, visit)
    assert shop.event_names() == ["page", "page", "track Arrived", "track Left"]
    assert len({row["anonymous_id"] for row in rows}) == 1


def test_a_wrong_key_is_told_and_the_event_dropped(visit: Visit, site: Site, shop: Shop) -> None:
    host = shop.url.removeprefix("http://")
    site.pages["/"] = module(f"""import {{ AnalyticsBrowser }} from '@segment/analytics-next'
const segment = {{ apiKey: 'wrong', apiHost: '{host}/v1', protocol: 'http' }}
const analytics = AnalyticsBrowser.load(
  {{ writeKey: 'wrong', cdnSettings: {{ integrations: {{ 'Segment.io': segment }} }} }},
)""")
    visit.open(site.url("/"))
    visit.page.clock.install()
    for _ in range(2):
        told = visit.run(
            "analytics.track('Order Completed').then((context) => context.failedDelivery().reason.message)"
        )
        assert told == "Non-retryable error: 401"
    visit.page.clock.fast_forward("10:00")
    assert visit.statuses() == [401, 401]
    assert len(visit.posts()) == 2
