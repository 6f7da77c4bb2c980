"""A page's link to WhatsApp: a click asks for a token for the page's visitor, and leads to the chat that carries it."""

import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import Visit
from tests.browser.pages import page, snippet
from tests.browser.shop import Shop
from tests.browser.site import Site
from tests.collector.running import Running
from tests.collector.whatsapp.payloads import NUMBER, whatsapp

CHAT = "https://wa.me/"


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A visitor for whom WhatsApp is an empty page."""
    context = browser.new_context()
    context.route(f"{CHAT}**", lambda route: route.fulfill(status=200, content_type="text/html", body="a chat"))
    started = Visit(context.new_page())
    yield started
    print(started.account())
    context.close()


def linked(shop: Shop, *titles: str) -> str:
    """A page with snippets of the README, nothing changed but host and key."""
    code = "\n".join(snippet(title) for title in titles)
    return page(code.replace("http://127.0.0.1:8080", shop.url).replace("demo-write-key", shop.write_key))


def followed(visit: Visit) -> str:
    """The address that a click on the link leads to."""
    visit.run("() => document.querySelector('a').click()")
    visit.wait_for(lambda: visit.page.url.startswith(CHAT), "the chat")
    return visit.page.url


def test_a_click_leads_to_the_chat_with_a_token_of_the_visitor_of_the_pages_sdk(
    visit: Visit, site: Site, collecting: Running
) -> None:
    shop = Shop(collecting, settings=whatsapp())
    site.pages["/"] = linked(shop, "Segment, script tag", "WhatsApp, links")
    visit.open(site.url("/?utm_source=mail"))
    visit.wait_for_answers(1)
    assert shop.event_names() == ["page"]  # until the click nothing else
    chat = followed(visit)
    seen, created = sorted(shop.rows(), key=lambda row: str(row["event_type"]))
    token = json.loads(created["properties"])["handshake_token"]
    assert parse_qs(urlsplit(chat).query)["text"] == [f"Hi! (Ref {token})"]
    assert created["anonymous_id"] == seen["anonymous_id"]
    assert created["origin"] == "handshake"
    assert json.loads(created["context"])["campaign"] == {"source": "mail"}
    assert json.loads(created["properties"])["phone_number_id"] == NUMBER


def test_alone_it_has_a_visitor_of_its_own_who_is_the_same_at_the_next_click(
    visit: Visit, site: Site, collecting: Running
) -> None:
    shop = Shop(collecting, settings=whatsapp())
    site.pages["/"] = linked(shop, "WhatsApp, links")
    for _ in range(2):
        visit.open(site.url("/"))
        followed(visit)
    assert len({row["anonymous_id"] for row in shop.rows()}) == 1
    assert len({row["message_id"] for row in shop.rows()}) == 1


def test_where_there_is_no_token_the_link_leads_where_it_led(visit: Visit, site: Site, shop: Shop) -> None:
    site.pages["/"] = linked(shop, "WhatsApp, links")
    visit.open(site.url("/"))
    # The project has no number.
    assert followed(visit) == "https://wa.me/12025550170"
    assert shop.rows() == []
