"""The webhook, handshake tokens and links, over HTTP: who is let in, what is answered, what is stored."""

import gzip
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientSession

from collector.events.readmit import DeadLetter
from collector.http.whatsapp_script import SCRIPT
from tests.collector.conftest import Serve, Served
from tests.collector.made import WRITE_KEY, directory_of, project_fields
from tests.collector.posting import BASIC, post
from tests.collector.whatsapp.payloads import (
    APP,
    NUMBER,
    OTHER_NUMBER,
    PHONE,
    VERIFY,
    apps_file,
    change,
    contact,
    directory,
    hook,
    signature,
    text,
    whatsapp,
)

PATH = f"/v1/whatsapp/{APP}"
BODY = hook(change(contacts=[contact()], messages=[text("m", "¡Olá! https://a.example/")]))
SECRETS = {"collector_handshake_secret": "invented handshake secret"}


@pytest.fixture
async def hooked(serve: Serve, tmp_path: Path) -> Served:
    """A collector with an app, a number and tokens."""
    return await serve(directory(), collector_whatsapp_apps_path=str(apps_file(tmp_path)), **SECRETS)


def stored(served: Served) -> tuple[int, int]:
    """How many events and dead letters."""
    return len(served.publisher.decoded("raw_events")), len(served.publisher.decoded("dead_letters"))


async def test_a_signed_body_is_stored_and_answered_200_once_it_is_durable(
    client: ClientSession, hooked: Served
) -> None:
    assert (await post(client, hooked, PATH, BODY, signature(BODY)))[:2] == (200, {"success": True})
    (event,) = hooked.publisher.decoded("raw_events")
    assert (event["event_name"], event["origin"]) == ("WhatsApp Message Received", "whatsapp")
    ((_, record),) = hooked.publisher.records
    assert record["key"].decode().endswith(f"/v/{event['user_id']}")
    assert hooked.metric("tally_collector_whatsapp_requests_total", result="accepted") == 1
    assert hooked.metric("tally_collector_whatsapp_items_total", field="messages", outcome="event") == 1
    assert hooked.metric("tally_collector_whatsapp_delay_seconds_count") == 1
    assert hooked.metric("tally_collector_whatsapp_last_seen_seconds", field="messages") is not None
    assert hooked.metric("tally_collector_whatsapp_last_seen_seconds", field="standby") is None
    assert hooked.metric("tally_collector_events_total", outcome="accepted", reason="") == 1


async def test_what_is_not_signed_by_the_app_is_401_and_nothing_anywhere(client: ClientSession, hooked: Served) -> None:
    changed = BODY.replace(b"a.example", b"b.example")
    anew = json.dumps(json.loads(BODY)).encode()
    refused: list[tuple[bytes, dict[str, str]]] = [
        (BODY, {}),
        (BODY, signature(BODY, "another app's secret")),
        (changed, signature(BODY)),
        (anew, signature(BODY)),
        (BODY, {"X-Hub-Signature": signature(BODY)["X-Hub-Signature-256"]}),
        (BODY, BASIC),
    ]
    for body, headers in refused:
        status, answer, _ = await post(client, hooked, PATH, body, headers)
        assert (status, answer["code"]) == (401, "signature_wrong")
    assert stored(hooked) == (0, 0)
    assert hooked.metric("tally_collector_whatsapp_requests_total", result="signature_wrong") == len(refused)


async def test_a_secret_that_is_replaced_counts_until_it_is_taken_out(
    client: ClientSession, hooked: Served, tmp_path: Path
) -> None:
    both = {"app_secrets": ["new secret", "invented-app-secret"], "verify_token": VERIFY}
    apps_file(tmp_path, **{APP: both})
    for secret in both["app_secrets"]:
        assert (await post(client, hooked, PATH, BODY, signature(BODY, secret)))[0] == 200
    apps_file(tmp_path, **{APP: both | {"app_secrets": ["new secret"]}})
    assert (await post(client, hooked, PATH, BODY, signature(BODY)))[0] == 401


async def test_an_unknown_app_is_404_whatever_is_signed(client: ClientSession, hooked: Served) -> None:
    for path in ("/v1/whatsapp/other", "/v1/whatsapp/a/b"):
        assert (await post(client, hooked, path, BODY, signature(BODY)))[0] == 404
    assert (await post(client, hooked, "/v1/whatsapp", BODY, signature(BODY)))[0] == 404
    assert stored(hooked) == (0, 0)


@pytest.mark.parametrize(
    ("path", "query", "status", "answer"),
    [
        (PATH, {"hub.mode": "subscribe", "hub.challenge": "11583", "hub.verify_token": VERIFY}, 200, "11583"),
        (PATH, {"hub.mode": "subscribe", "hub.challenge": "11583", "hub.verify_token": "wrong"}, 403, None),
        (PATH, {"hub.mode": "subscribe", "hub.challenge": "11583"}, 403, None),
        (PATH, {"hub.challenge": "11583", "hub.verify_token": VERIFY}, 403, None),
        (f"{PATH}x", {"hub.mode": "subscribe", "hub.challenge": "1", "hub.verify_token": VERIFY}, 404, None),
    ],
)
async def test_metas_check_gets_its_challenge_by_the_right_token(
    client: ClientSession, hooked: Served, path: str, query: dict[str, str], status: int, answer: str | None
) -> None:
    async with client.get(f"{hooked.url}{path}", params=query) as found:
        assert found.status == status
        if answer is not None:
            assert await found.text() == answer
            assert found.content_type == "text/plain"  # whatever a stranger writes into it is no page


async def test_signed_bytes_that_are_no_json_or_too_many_are_400(
    client: ClientSession, serve: Serve, tmp_path: Path
) -> None:
    apps = str(apps_file(tmp_path))
    served = await serve(directory(), collector_whatsapp_apps_path=apps, collector_whatsapp_body_bytes_max=1_000)
    assert (await post(client, served, PATH, b"hello", signature(b"hello")))[0] == 400
    large = BODY + b" " * 1_000
    assert (await post(client, served, PATH, large, signature(large)))[0] == 400
    assert served.metric("tally_collector_whatsapp_requests_total", result="too_large") == 1
    packed = gzip.compress(BODY)
    headers = signature(packed) | {"Content-Encoding": "gzip"}
    assert (await post(client, served, PATH, packed, headers))[0] == 200  # the bytes that came are signed


async def test_its_bodies_have_a_limit_of_their_own(client: ClientSession, hooked: Served) -> None:
    items = [text(f"m{number}", "x" * 2_500) for number in range(1_000)]
    body = hook(change(messages=items))
    assert 2_500_000 < len(body) < 3 * 2**20
    for path, status in ((PATH, 200), ("/v1/track", 400)):
        headers = BASIC | signature(body)
        async with client.post(f"{hooked.url}{path}", data=io.BytesIO(body), headers=headers) as answer:
            assert answer.status == status
    assert stored(hooked) == (1_000, 0)


async def test_without_kafkas_acknowledgement_it_is_503_and_a_repeat_is_the_same_event(
    client: ClientSession, hooked: Served
) -> None:
    hooked.publisher.durable = False
    assert (await post(client, hooked, PATH, BODY, signature(BODY)))[0] == 503
    assert hooked.metric("tally_collector_whatsapp_items_total", field="messages", outcome="event") is None
    hooked.publisher.durable = True
    assert (await post(client, hooked, PATH, BODY, signature(BODY)))[0] == 200
    assert len({event["message_id"] for event in hooked.publisher.decoded("raw_events")}) == 1
    hooked.publisher.inflight_bytes_max = 0
    assert (await post(client, hooked, PATH, BODY, signature(BODY)))[0] == 503


async def test_a_project_that_wants_hashes_waits_for_the_secret(
    client: ClientSession, serve: Serve, tmp_path: Path
) -> None:
    apps = str(apps_file(tmp_path))
    served = await serve(directory(ids="hashed"), collector_whatsapp_apps_path=apps)
    status, answer, headers = await post(client, served, PATH, BODY, signature(BODY))
    assert (status, "TALLY_COLLECTOR_WHATSAPP_IDS_SECRET" in answer["message"]) == (503, True)
    assert "Retry-After" in headers
    assert stored(served) == (0, 0)


async def test_dead_letters_are_taken_again_once_their_number_is_known(
    client: ClientSession, serve: Serve, tmp_path: Path
) -> None:
    projects = directory_of()
    served = await serve(projects, collector_whatsapp_apps_path=str(apps_file(tmp_path)))
    assert (await post(client, served, PATH, BODY, signature(BODY)))[0] == 200
    (dead,) = served.publisher.decoded("dead_letters")
    assert (dead["reason"], dead["tenant_id"], dead["project_id"]) == ("phone_number_unknown", "", "")
    again = DeadLetter(dead["dead_letter_id"], "", dead["reason"], dead["payload"], dead["arrival"], 0)
    durable, outcomes = served.ingest.replay([again])
    assert outcomes == ["phone_number_unknown"]
    assert durable is not None
    assert await durable
    projects.apply(WRITE_KEY, project_fields(settings=whatsapp()))
    durable, outcomes = served.ingest.replay([again, again])
    assert outcomes == ["", ""]
    assert durable is not None
    assert await durable
    first, second = served.publisher.decoded("raw_events")
    assert first["message_id"] == second["message_id"]
    assert json.loads(first["context"])["tally"] == {"replay_of": dead["dead_letter_id"]}
    assert {letter["dead_letter_id"] for letter in served.publisher.decoded("dead_letters")} == {dead["dead_letter_id"]}


async def test_no_client_can_set_the_origin(client: ClientSession, hooked: Served) -> None:
    forged: dict[str, Any] = {"origin": "whatsapp", "channel_type": "whatsapp", "externalId": "1"}
    forged["tally"] = {"origin": "whatsapp"}
    for body in (
        {"type": "track", "event": "Live Chat Message Sent", "userId": "u", "origin": "whatsapp", "context": forged},
        {"type": "track", "event": "WhatsApp Message Received", "userId": "whatsapp:1", "properties": forged},
    ):
        assert (await post(client, hooked, "/v1/track", body))[0] == 200
        batch = {"batch": [body], "context": forged, "origin": "handshake"}
        assert (await post(client, hooked, "/v1/batch", batch))[0] == 200
    assert {event["origin"] for event in hooked.publisher.decoded("raw_events")} == {""}
    (first, *_) = hooked.publisher.decoded("raw_events")
    assert json.loads(first["context"])["externalId"] == "1"  # a Live Chat event is stored as it came


WISH = {"anonymousId": "visitor-1", "sessionId": "s1"}


async def test_a_token_is_given_once_its_event_is_durable(client: ClientSession, hooked: Served) -> None:
    status, answer, headers = await post(client, hooked, "/v1/handshake", WISH)
    assert status == 200
    assert set(answer) == {"success", "token", "url", "expiresAt"}
    assert headers["Cache-Control"] == "no-store"
    (event,) = hooked.publisher.decoded("raw_events")
    assert (event["event_name"], event["origin"]) == ("WhatsApp Handshake Created", "handshake")
    assert json.loads(event["properties"])["handshake_token"] == answer["token"]
    ((_, record),) = hooked.publisher.records
    assert record["key"].decode().endswith("/s/visitor-1/s1")
    message = hook(change(messages=[text("m", f"ok {answer['token'].lower()}")]))
    assert (await post(client, hooked, PATH, message, signature(message)))[0] == 200
    received = hooked.publisher.decoded("raw_events")[-1]
    assert json.loads(received["properties"])["handshake_token"] == answer["token"]
    assert hooked.metric("tally_collector_whatsapp_tokens_total", number=NUMBER, outcome="found") == 1
    hooked.publisher.durable = False
    assert (await post(client, hooked, "/v1/handshake", WISH))[0] == 503


async def test_the_key_may_stand_in_the_body_and_origins_are_heeded(client: ClientSession, serve: Serve) -> None:
    shop = project_fields(settings=whatsapp(), allowed_origins=["https://shop.example"])
    served = await serve(directory_of(shop), **SECRETS)
    with_key = WISH | {"writeKey": WRITE_KEY}
    assert (await post(client, served, "/v1/handshake", with_key, {"Origin": "https://shop.example"}))[0] == 200
    for headers in ({"Origin": "https://evil.example"}, BASIC | {"Origin": "https://evil.example"}):
        assert (await post(client, served, "/v1/handshake", with_key, headers))[0] == 403
    assert (await post(client, served, "/v1/handshake", WISH, {}))[0] == 401
    assert (await post(client, served, "/v1/handshake", WISH | {"writeKey": "x"}, {}))[0] == 401
    assert (await post(client, served, "/v1/handshake", {}, BASIC))[0] == 400
    assert (await post(client, served, "/v1/handshake", b"{", BASIC))[0] == 400


async def test_an_address_gets_sixty_a_minute_then_429(client: ClientSession, serve: Serve) -> None:
    served = await serve(directory(), collector_handshakes_per_minute=3, **SECRETS)
    answers = [await post(client, served, "/v1/handshake", WISH) for _ in range(7)]
    statuses = [status for status, _, _ in answers]
    assert statuses.count(200) >= 3  # a minute may end within the seven
    assert statuses.count(429) >= 1
    refused = next(headers for status, _, headers in answers if status == 429)
    assert "Retry-After" in refused
    assert stored(served) == (statuses.count(200), 0)


async def test_without_a_secret_there_are_no_tokens(client: ClientSession, serve: Serve) -> None:
    served = await serve(directory())
    status, answer, _ = await post(client, served, "/v1/handshake", WISH)
    assert (status, "TALLY_COLLECTOR_HANDSHAKE_SECRET" in answer["message"]) == (404, True)
    assert stored(served) == (0, 0)


async def test_a_link_leads_to_the_chat_with_a_token(client: ClientSession, hooked: Served) -> None:
    query = {"number": NUMBER, "utm_source": "poster", "utm_campaign": "fall"}
    headers = {"User-Agent": "phone/1.0", "Referer": "https://elsewhere.example/a"}
    async with client.get(
        f"{hooked.url}/go/{WRITE_KEY}", params=query, headers=headers, allow_redirects=False
    ) as found:
        assert found.status == 302
        target = urlsplit(found.headers["Location"])
        assert found.headers["Cache-Control"] == "no-store"
    assert (target.netloc, target.path) == ("wa.me", f"/{PHONE}")
    (event,) = hooked.publisher.decoded("raw_events")
    token = json.loads(event["properties"])["handshake_token"]
    assert token in parse_qs(target.query)["text"][0]
    assert len(event["anonymous_id"]) == 36
    assert event["user_agent"] == "phone/1.0"
    context = json.loads(event["context"])
    assert context["campaign"] == {"source": "poster", "name": "fall"}
    assert context["page"] == {"referrer": "https://elsewhere.example/a"}


async def test_head_mints_nothing(client: ClientSession, hooked: Served) -> None:
    async with client.head(f"{hooked.url}/go/{WRITE_KEY}", allow_redirects=False) as found:
        assert found.status == 405
    assert stored(hooked) == (0, 0)


@pytest.mark.parametrize(
    ("key", "query", "status"), [("unknown", "", 401), (WRITE_KEY, f"?number={OTHER_NUMBER}", 400)]
)
async def test_a_link_that_leads_nowhere_says_why(
    client: ClientSession, hooked: Served, key: str, query: str, status: int
) -> None:
    async with client.get(f"{hooked.url}/go/{key}{query}", allow_redirects=False) as found:
        assert found.status == status


async def test_a_link_cannot_be_made_to_lead_elsewhere(client: ClientSession, hooked: Served) -> None:
    query = {"text": "x\r\nLocation: https://evil.example/ {token}", "number": NUMBER}
    async with client.get(f"{hooked.url}/go/{WRITE_KEY}", params=query, allow_redirects=False) as found:
        assert found.headers.getall("Location") == [found.headers["Location"]]
        assert urlsplit(found.headers["Location"]).netloc == "wa.me"


async def test_the_pages_script_is_served_to_every_page(client: ClientSession, serve: Serve) -> None:
    served = await serve()
    async with client.get(f"{served.url}/whatsapp.js") as found:
        assert (found.status, found.content_type) == (200, "text/javascript")
        assert await found.read() == SCRIPT
        assert found.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
