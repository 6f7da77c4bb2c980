"""Where each column of an enriched event comes from."""

from typing import Any

import pytest

from tests.streams.events.conftest import EnrichOne

URL = "https://shop.example.com/a%20b?utm_source=mail&utm_medium=a+b%21&utm_campaign=%C3%A9t%C3%A9#top"


def test_page_columns_come_from_the_page_of_the_context(enrich_one: EnrichOne) -> None:
    page = {"path": "/p", "url": "https://x.example/p?q=1", "title": "T", "referrer": "https://r.example/"}
    enriched = enrich_one(context={"page": page})
    assert {name: enriched[f"page_{name}"] for name in page} == page


def test_an_event_without_page_has_empty_page_columns(enrich_one: EnrichOne) -> None:
    enriched = enrich_one(context={})
    assert [enriched[f"page_{name}"] for name in ("path", "url", "title", "referrer")] == [""] * 4


@pytest.mark.parametrize("event_type", ["page", "screen"])
def test_a_page_call_of_a_server_names_its_page_in_properties(enrich_one: EnrichOne, event_type: str) -> None:
    properties = {"path": "/p", "url": "https://x.example/p", "title": "T", "referrer": "https://r.example/"}
    enriched = enrich_one(event_type, properties=properties)
    assert {name: enriched[f"page_{name}"] for name in properties} == properties


def test_a_page_call_s_own_properties_go_before_its_context_which_fills_their_gaps(enrich_one: EnrichOne) -> None:
    page = {"title": "of context", "referrer": "", "url": "https://frame.example/sandbox", "path": "/sandbox"}
    properties = {"referrer": "https://r.example/", "url": "https://x.example/story", "title": ""}
    enriched = enrich_one("page", context={"page": page}, properties=properties)
    assert (enriched["page_title"], enriched["page_referrer"]) == ("of context", "https://r.example/")
    assert (enriched["page_url"], enriched["page_path"]) == ("https://x.example/story", "/story")
    enriched = enrich_one("page", context={"page": page}, properties={"path": "/story"})
    assert (enriched["page_url"], enriched["page_path"]) == ("https://frame.example/sandbox", "/story")


def test_a_page_call_that_repeats_its_context_s_url_keeps_the_path_beside_it(enrich_one: EnrichOne) -> None:
    page = {"url": "https://x.example/a#/b", "path": "/b"}
    assert enrich_one("page", context={"page": page}, properties={"url": page["url"]})["page_path"] == "/b"


@pytest.mark.parametrize("event_type", ["page", "track"])
def test_direct_is_no_referrer(enrich_one: EnrichOne, event_type: str) -> None:
    assert enrich_one(event_type, context={"page": {"path": "/", "referrer": "$direct"}})["page_referrer"] == ""
    assert enrich_one("page", properties={"path": "/", "referrer": "$direct"})["page_referrer"] == ""


def test_properties_of_a_track_call_are_not_its_page(enrich_one: EnrichOne) -> None:
    enriched = enrich_one("track", properties={"url": "https://x.example/a", "title": "a film's title", "path": "/a"})
    assert (enriched["page_url"], enriched["page_title"], enriched["page_path"]) == ("", "", "")


def test_the_path_comes_from_the_url_when_absent_or_empty(enrich_one: EnrichOne) -> None:
    assert enrich_one(context={"page": {"url": URL}})["page_path"] == "/a%20b"
    assert enrich_one(context={"page": {"url": URL, "path": ""}})["page_path"] == "/a%20b"


def test_utm_columns_come_from_the_campaign_of_the_context(enrich_one: EnrichOne) -> None:
    campaign = {"source": "s", "medium": "m", "name": "n"}
    enriched = enrich_one(context={"campaign": campaign, "page": {"url": URL}})
    assert [enriched[name] for name in ("utm_source", "utm_medium", "utm_campaign")] == ["s", "m", "n"]


def test_utm_columns_come_from_the_query_of_the_url_each_for_itself(enrich_one: EnrichOne) -> None:
    enriched = enrich_one(context={"campaign": {"source": "s", "medium": ""}, "page": {"url": URL}})
    assert [enriched[name] for name in ("utm_source", "utm_medium", "utm_campaign")] == ["s", "a b!", "été"]


def test_utm_columns_are_null_when_nothing_names_a_campaign(enrich_one: EnrichOne) -> None:
    enriched = enrich_one(context={"page": {"url": "https://x.example/?q=utm_source"}})
    assert [enriched[name] for name in ("utm_source", "utm_medium", "utm_campaign")] == [None] * 3


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({}, "web"),
        ({"channel_type": "whatsapp"}, "whatsapp"),
        ({"channelType": "WhatsApp"}, "whatsapp"),
        ({"channel_type": "email"}, "web"),
        ({"channel_type": 7, "channelType": "whatsapp"}, "whatsapp"),
        ({"channel_type": "", "channelType": "whatsapp"}, "whatsapp"),
        ({"channel_type": "web", "channelType": "whatsapp"}, "web"),
    ],
)
def test_the_channel_is_whatsapp_or_web(enrich_one: EnrichOne, context: Any, expected: str) -> None:
    assert enrich_one(context=context)["channel_type"] == expected


def test_external_id_and_handshake_token_are_read_in_both_spellings(enrich_one: EnrichOne) -> None:
    snake = enrich_one(context={"external_id": "491", "handshake_token": "t1"})
    camel = enrich_one(context={"externalId": "492", "handshakeToken": "t2"})
    neither = enrich_one(context={"external_id": "", "handshake_token": 5})
    found = [(event["external_id"], event["handshake_token"]) for event in (snake, camel, neither)]
    assert found == [("491", "t1"), ("492", "t2"), (None, None)]


def test_a_track_call_may_carry_its_handshake_token_in_properties(enrich_one: EnrichOne) -> None:
    assert enrich_one("track", properties={"handshake_token": "t"})["handshake_token"] == "t"
    assert enrich_one("track", properties={"handshakeToken": "t"})["handshake_token"] == "t"
    assert (
        enrich_one("track", context={"handshakeToken": "c"}, properties={"handshake_token": "p"})["handshake_token"]
        == "c"
    )
    assert enrich_one("identify", properties={"handshake_token": "t"})["handshake_token"] is None


def test_sdk_version_joins_the_library_and_its_version(enrich_one: EnrichOne) -> None:
    libraries: list[Any] = [
        {"name": "analytics.js", "version": "next-1.84.3"},
        {"name": "x"},
        {"version": "1"},
        [],
        None,
    ]
    versions = [enrich_one(context={"library": library})["sdk_version"] for library in libraries]
    assert versions == ["analytics.js/next-1.84.3", "x", "", "", ""]


@pytest.mark.parametrize(
    ("origin", "customer", "country"),
    [
        ("whatsapp", "PT.40017735512240011111", "PT"),
        ("whatsapp", "PT.h0a1b", "PT"),
        ("whatsapp", "351210000000", ""),
        ("whatsapp", "ABC.1", ""),
        ("", "PT.40017735512240011111", "US"),  # an integrator's server, with an address of its own
    ],
)
def test_the_country_of_whatsapps_customer_is_that_of_the_user_id(
    enrich_one: EnrichOne, origin: str, customer: str, country: str
) -> None:
    context = {"channel_type": "whatsapp", "externalId": customer}
    assert enrich_one(ip_address="8.8.8.8", context=context, origin=origin)["country_code"] == country


def test_places_and_agents_come_from_address_and_user_agent(enrich_one: EnrichOne) -> None:
    agent = (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/26.1 Safari/605.1.15"
    )
    enriched = enrich_one(ip_address="8.8.8.8", user_agent=agent)
    assert (enriched["country_code"], enriched["city"]) == ("US", "Mountain View")
    assert (enriched["device_type"], enriched["os_name"], enriched["os_version"]) == ("desktop", "Mac OS X", "10.15.7")
    assert (enriched["browser_name"], enriched["browser_version"]) == ("Safari", "26.1")
