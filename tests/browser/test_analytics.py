"""The npm package `analytics` with its plugin for Segment, which loads Segment's script from the collector."""

from tests.browser.chromium import Visit
from tests.browser.pages import page
from tests.browser.sent import differences
from tests.browser.shop import Shop
from tests.browser.site import Site


def test_what_it_sends_is_stored_as_it_was_sent(visit: Visit, site: Site, shop: Shop) -> None:
    site.pages["/"] = page(f"""<script src="/sdks/analytics/dist/analytics.min.js"></script>
<script src="/sdks/@analytics/segment/dist/@analytics/segment.min.js"></script>
<script>
  const script = '{shop.url}/analytics.js/v1/{shop.write_key}/analytics.min.js'
  const segment = analyticsSegment({{ writeKey: '{shop.write_key}', customScriptSrc: script }})
  const shop = _analytics.init({{ app: 'shop', plugins: [segment] }})
</script>""")
    visit.open(site.url("/"))
    visit.run("""async () => {
      await shop.identify('u1', { plan: 'pro' })
      await shop.track('Order Completed', { price: 12.5 })
      await shop.page()
    }""")
    visit.wait_for_answers(3)
    assert differences(visit.posts(), shop.rows()) == []
    # Its pages are named by their titles.
    assert (shop.event_names(), shop.dead_letters()) == (["identify", "page Shop", "track Order Completed"], [])
