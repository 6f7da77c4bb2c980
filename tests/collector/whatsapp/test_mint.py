"""A token for a visitor: the same click is the same token and event, in the visitor's own session."""

import json
from random import getrandbits
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from collector.events.event_ids import EventIds
from collector.events.parse import MalformedError
from collector.whatsapp.mint import Minted, Wish, mint_for, wish_of_body, wish_of_query
from collector.whatsapp.tokens import HOUR_MS, find, tenant_key
from schemas.project_settings import read_project_settings
from tests.collector.made import LIMITS, RECEIVED_AT, TENANT_ID, arrival
from tests.collector.whatsapp.payloads import MASTER, NUMBER, OTHER_NUMBER, PHONE, whatsapp

KEY = tenant_key(MASTER, TENANT_ID)


def minted(wish: Wish, settings: str | None = None, now: int = RECEIVED_AT, **changes: Any) -> Minted:
    of = read_project_settings(whatsapp() if settings is None else settings).whatsapp
    return mint_for(wish, of, KEY, arrival(received_at=now), LIMITS, EventIds(getrandbits), **changes)


def test_the_event_is_the_visitors_own_in_its_session_and_by_no_clients_word() -> None:
    context = {"page": {"url": "https://shop.example/"}, "campaign": {"source": "ad"}}
    body = {"anonymousId": "v", "userId": "u", "sessionId": 1720, "context": context}
    found = minted(wish_of_body(json.dumps(body).encode()))
    event = found.event
    assert (event.event_type, event.event_name, event.origin) == ("track", "WhatsApp Handshake Created", "handshake")
    assert (event.anonymous_id, event.user_id, event.client_session_id) == ("v", "u", "1720")
    assert json.loads(event.properties) == {
        "handshake_token": found.token, "phone_number_id": NUMBER, "expires_at": found.expires_at,
    }  # fmt: skip
    assert json.loads(event.context) == context | {"sessionId": "1720"}
    assert (event.ip_address, event.user_agent) == ("203.0.113.7", "header/1.0")
    assert find([KEY], found.token).token == found.token


def test_the_same_click_is_the_same_token_and_event_and_another_is_another() -> None:
    first = minted(Wish("v", session_id="s"))
    for same in (minted(Wish("v", session_id="s")), minted(Wish("v", "u", "s", PHONE, "Hey"), now=RECEIVED_AT + 1)):
        assert (same.token, same.event.message_id) == (first.token, first.event.message_id)
    others = [
        minted(Wish("v")),
        minted(Wish("w", session_id="s")),
        minted(Wish("v", session_id="s"), now=RECEIVED_AT + HOUR_MS),
    ]
    assert len({one.token for one in (first, *others)}) == 4
    assert len({one.event.message_id for one in (first, *others)}) == 4


def test_it_counts_until_its_hour_and_the_projects_time_are_over() -> None:
    hour_end = (RECEIVED_AT // HOUR_MS + 1) * HOUR_MS
    assert minted(Wish("v")).expires_at == hour_end + 86_400_000
    assert minted(Wish("v"), whatsapp(token_ttl_s=60)).expires_at == hour_end + 60_000
    assert minted(Wish("v")).answer()["expiresAt"] == "2026-11-19T12:00:00.000Z"


@pytest.mark.parametrize(
    ("settings", "text", "carried"),
    [
        (whatsapp(), "", "Hi! (Ref {})"),
        (whatsapp(text="Olá {token}?"), "", "Olá {}?"),
        (whatsapp(), "About & more: {token}", "About & more: {}"),
        (whatsapp(), "Hello there", "Hello there (Ref {})"),
    ],
)
def test_the_link_leads_to_the_number_with_the_token_in_its_text(settings: str, text: str, carried: str) -> None:
    found = minted(Wish("v", text=text), settings)
    parts = urlsplit(found.url)
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "wa.me", f"/{PHONE}")
    assert parse_qs(parts.query) == {"text": [carried.format(found.token)]}
    assert find([KEY], parse_qs(parts.query)["text"][0]).token == found.token


@pytest.mark.parametrize("number", [NUMBER, PHONE, f"+{PHONE}"])
def test_a_number_is_named_by_its_id_or_its_digits(number: str) -> None:
    assert minted(Wish("v", number=number)).token == minted(Wish("v")).token


@pytest.mark.parametrize(
    ("wish", "settings", "what"),
    [
        (Wish(""), whatsapp(), "anonymousId"),
        (Wish("undefined"), whatsapp(), "anonymousId"),
        (Wish("00000000-0000-0000-0000-000000000000"), whatsapp(), "anonymousId"),
        (Wish("v"), "{}", "no WhatsApp number"),
        (Wish("v"), whatsapp(NUMBER, OTHER_NUMBER), "phoneNumberId is one of"),
        (Wish("v", number="12"), whatsapp(), "no WhatsApp number '12'"),
        (Wish("v", text="x" * 201), whatsapp(), "text has 201"),
        (Wish("v" * 40_000), whatsapp(), "bytes, at most"),
    ],
)
def test_a_wish_that_cannot_be_granted_says_why(wish: Wish, settings: str, what: str) -> None:
    with pytest.raises(MalformedError, match=what):
        minted(wish, settings)


def test_a_projects_own_placeholders_name_nobody_either() -> None:
    with pytest.raises(MalformedError, match="anonymousId"):
        minted(Wish("no-user"), own_placeholders=frozenset({"no-user"}))


@pytest.mark.parametrize(
    "name", ["handshake_token", "handshakeToken", "\\u0068andshake_token", "channel_type", "tally"]
)
def test_a_client_cannot_name_another_token_with_the_collectors_word(name: str) -> None:
    body = b'{"anonymousId":"v","context":{"%s":"AAAAA-AAAAA","locale":"de"}}' % name.encode()
    event = minted(wish_of_body(body)).event
    assert json.loads(event.context) == {"locale": "de"}


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"7", b'{"anonymousId":{}}', b'{"anonymousId":"v","context":7}', b'{"anonymousId":"v","text":7}'],
)
def test_a_body_that_is_no_wish_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        wish_of_body(body)


def test_a_links_campaign_and_page_stand_in_the_context() -> None:
    query = f"number={NUMBER}&utm_source=mail&utm_medium=qr&utm_campaign=fall&utm_term=&other=1"
    wish = wish_of_query(query, "https://a.example/", "fresh")
    assert (wish.anonymous_id, wish.number) == ("fresh", NUMBER)
    assert json.loads(wish.context) == {
        "campaign": {"source": "mail", "medium": "qr", "name": "fall"}, "page": {"referrer": "https://a.example/"},
    }  # fmt: skip
    assert wish_of_query("anonymousId=v", "", "fresh") == Wish("v")
