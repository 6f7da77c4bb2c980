"""Jitsu's JavaScript SDK, unmodified, on pages of another origin than the collector's."""

import pytest

from tests.browser.chromium import Visit
from tests.browser.pages import module, pasted
from tests.browser.sent import differences
from tests.browser.shop import Shop
from tests.browser.site import Site

CALLS = """async () => {
  const jitsu = window.jitsu ?? analytics
  await jitsu.identify('u1', { plan: 'pro' })
  await jitsu.track('Order Completed', { price: 12.5, big: 9007199254740991 })
  await jitsu.group('g1', { size: 3 })
}"""
EVENTS = ["group", "identify", "page", "track Order Completed"]
OPTIONS = {
    "plain": "",
    "debug": "debug: true,",
    "address kept out": "privacy: { ipPolicy: 'remove' },",
}


def loading(shop: Shop, options: str = "", write_key: str = "") -> str:
    """A page that loads the SDK from npm."""
    return module(f"""import {{ jitsuAnalytics }} from '@jitsu/js'
const analytics = jitsuAnalytics({{ host: '{shop.url}', writeKey: '{write_key or shop.write_key}:web', {options} }})
analytics.page()""")


@pytest.mark.parametrize("title", ["Jitsu, script tag", "Jitsu, npm"])
def test_what_the_readme_says_is_stored_as_it_was_sent(visit: Visit, site: Site, shop: Shop, title: str) -> None:
    site.pages["/"] = pasted(title, shop.url, shop.write_key)
    visit.open(site.url("/"))
    visit.wait_for_answers(1)
    visit.run(CALLS)
    visit.wait_for_answers(4)
    assert differences(visit.posts(), shop.rows()) == []
    assert (shop.event_names(), shop.dead_letters()) == (EVENTS, [])


@pytest.mark.parametrize("options", OPTIONS)
def test_options(visit: Visit, site: Site, shop: Shop, options: str) -> None:
    site.pages["/"] = loading(shop, OPTIONS[options])
    visit.open(site.url("/"))
    visit.run(CALLS)
    rows = shop.wait_for_rows(4, visit)
    assert differences(visit.posts(), rows) == []
    assert (shop.event_names(), shop.dead_letters()) == (EVENTS, [])
    assert {row["ip_address"] for row in rows} == {"" if options == "address kept out" else "127.0.0.1"}


def test_without_any_id_events_are_kept_as_dead_letters(visit: Visit, site: Site, shop: Shop) -> None:
    site.pages["/"] = loading(shop, "privacy: { disableUserIds: true },")
    visit.open(site.url("/"))
    visit.wait_for_answers(1)
    assert [letter["reason"] for letter in shop.dead_letters()] == ["no_user_anon_id"]


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
