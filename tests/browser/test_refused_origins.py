"""Pages whose origin is not on the project's list: they are told; what they sent is not stored, nor sent again."""

import pytest

from tests.browser.chromium import Visit
from tests.browser.pages import pasted
from tests.browser.shop import Shop
from tests.browser.site import Site
from tests.collector.running import Running

SNIPPETS = ["Segment, npm", "RudderStack, npm", "Jitsu, npm"]


@pytest.fixture
def strict_shop(collecting: Running, site: Site) -> Shop:
    """A project that takes events of http://localhost, and so not of http://127.0.0.1."""
    return Shop(collecting, allowed_origins=[site.origin("localhost")])


@pytest.mark.parametrize("title", SNIPPETS)
def test_a_refused_origin_is_told_once_and_for_all(visit: Visit, site: Site, strict_shop: Shop, title: str) -> None:
    site.pages["/"] = pasted(title, strict_shop.url, strict_shop.write_key)
    visit.page.clock.install()
    visit.open(site.url("/"))
    visit.wait_for_answers(1, status=403)
    visit.page.clock.fast_forward("10:00")
    visit.run("analytics.track('Order Completed')")
    visit.wait_for_answers(2, status=403)
    visit.page.clock.fast_forward("10:00")
    visit.page.clock.fast_forward("10:00")
    assert visit.statuses() == [403, 403]
    assert len(visit.posts()) == 2
    assert (strict_shop.rows(), strict_shop.dead_letters()) == ([], [])


@pytest.mark.parametrize("title", SNIPPETS)
def test_the_same_page_at_an_origin_on_the_list_is_heard(
    visit: Visit, site: Site, strict_shop: Shop, title: str
) -> None:
    site.pages["/"] = pasted(title, strict_shop.url, strict_shop.write_key)
    visit.open(site.url("/", "localhost"))
    visit.wait_for_answers(1)
    assert strict_shop.event_names() == ["page"]
