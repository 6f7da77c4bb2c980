"""From an SDK's call to the row: what real clients send, compared field by field with what ClickHouse holds."""

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from segment.analytics.client import Client

from docker.local.demo.senders import send_node
from docker.local.packages import fetch
from docker.local.services import Pipeline
from docker.local.tools import bare_environ, require_tool
from tests.end_to_end.asking import ask, lands, rows

NUMBER = "900000000000001"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
CONTEXT = {
    "userAgent": IPHONE,
    "ip": "81.2.69.160",
    "campaign": {"source": "newsletter", "medium": "email", "name": "autumn"},
    "page": {"path": "/pricing", "url": "https://shop.example/pricing", "title": "Pricing", "referrer": "https://a.example/"},
}  # fmt: skip


def test_what_segment_analytics_python_sends_becomes_the_row(shop: Pipeline) -> None:
    errors: list[Any] = []
    client = Client(
        shop.write_key, host=shop.url, gzip=True, on_error=lambda error, _: errors.append(error), max_retries=1
    )
    properties = {"sku": "S-1", "quantity": 2**63 + 11, "name": "Zoë ☃ \u0000", "nested": {"deep": [1, 2.50, None]}}
    client.track(
        anonymous_id="visitor-1", user_id="user-1", event="Product Added", properties=properties, context=CONTEXT
    )
    client.flush()
    client.join()
    assert errors == []

    lands(shop, "count() = 1", "events")
    (row,) = rows(shop, "events")
    expected = {
        "tenant_id": shop.tenant_id,
        "project_id": shop.project_id,
        "event_name": "Product Added",
        "event_type": "track",
        "anonymous_id": "visitor-1",
        "user_id": "user-1",
        "channel_type": "web",
        "external_id": None,
        "handshake_token": None,
        "page_path": "/pricing",
        "page_url": "https://shop.example/pricing",
        "page_title": "Pricing",
        "page_referrer": "https://a.example/",
        "user_agent": IPHONE,
        "device_type": "mobile",
        "os_name": "iOS",
        "os_version": "17.5",
        "browser_name": "Mobile Safari",
        "browser_version": "17.5",
        "ip_address": "81.2.69.160",
        "sdk_version": "analytics-python/2.4.0",
        "is_bot": False,
        "bot_reason": "",
        "group_id": None,
        "previous_id": None,
        "source_generation": 1,
    }
    assert {name: row[name] for name in expected} == expected
    assert json.loads(row["properties"]) == properties
    assert json.loads(row["context"])["campaign"] == CONTEXT["campaign"]
    # Its messageId is a UUID, so it is the row's, as sent.
    assert row["message_id"] == row["client_message_id"]
    lands(shop, "count() = 1", "sessions FINAL")
    (session,) = rows(shop, "sessions FINAL")
    assert session["session_id"] == row["session_id"]
    assert session["started_at"] == session["ended_at"] == row["timestamp"]
    expected_session = {
        "tenant_id": shop.tenant_id,
        "anonymous_id": "visitor-1",
        "user_id": "user-1",
        "duration_seconds": 0,
        "event_count": 1,
        "page_count": 0,
        "entry_page": "/pricing",
        "exit_page": "/pricing",
        "referrer": "https://a.example/",
        "utm_source": "newsletter",
        "utm_medium": "email",
        "utm_campaign": "autumn",
        "device_type": "mobile",
        "converted": False,
        "conversion_event": None,
        "project_id": shop.project_id,
        "channel_type": "web",
        "is_bot": False,
    }
    assert {name: session[name] for name in expected_session} == expected_session


def test_what_segment_analytics_node_sends_lands_whole(shop: Pipeline) -> None:
    sent = send_node(shop.url, shop.write_key, "run", visitors=6)
    assert sent.events == 21

    lands(shop, f"count() = {sent.events} AND uniqExact(message_id) = {sent.events}", "events")
    by_type = ask(shop, "event_type, count()", "events", tail="GROUP BY 1 ORDER BY 1")
    assert by_type == "identify\t3\npage\t6\ntrack\t12\n"
    lands(shop, "count() = 6 AND sum(event_count) = 21 AND countIf(converted) = 6", "sessions FINAL")
    strays = "resolved_session_id NOT IN (SELECT toString(session_id) FROM sessions_current)"
    assert ask(shop, "count()", "events_sessions", strays) == "0\n"
    lands(shop, "count() = 3", "identities FINAL")
    (first, *_) = rows(shop, "identities FINAL", "anonymous_id = 'demo-run-node-0'")
    assert (first["user_id"], first["link_source"]) == ("user-run-0", "identify")
    assert json.loads(first["traits"]) == {"plan": "pro"}  # the password went no further than events
    # Whose an anonymous event is, is decided when it is asked.
    visitor = "anonymous_id = 'demo-run-node-0' AND resolved_user_id = 'user-run-0'"
    assert ask(shop, "count()", "events_resolved", visitor) == "4\n"


def test_other_sdks_land_unmodified(shop: Pipeline) -> None:
    modules = fetch("sdks") / "node_modules"
    script = Path(__file__).parent / "send_others.cjs"
    done = subprocess.run(
        [str(require_tool("node")), str(script), shop.url, shop.write_key],
        env=bare_environ(NODE_PATH=str(modules)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lands(shop, "count() = 4", "events")
    landed = ask(shop, "event_type, event_name, anonymous_id, user_id", "events", tail="ORDER BY 3, 1")
    assert landed.splitlines() == [
        "page\tHome\tjitsu-visitor\t\\N",
        "track\tSigned Up\tjitsu-visitor\t\\N",
        "identify\t\trudder-visitor\trudder-user",
        "track\tSigned Up\trudder-visitor\trudder-user",
    ]
    # Jitsu names a page among its properties, where it stays too.
    assert ask(shop, "JSONExtractString(properties, 'name')", "events", "event_type = 'page'") == "Home\n"


def test_every_event_of_a_mixed_batch_is_accounted_for(shop: Pipeline) -> None:
    good = {"type": "track", "event": "Viewed", "anonymousId": "v", "messageId": "00000000-0000-4000-8000-000000000001"}
    batch = [
        good,
        good,
        {"type": "track", "event": "Number", "anonymousId": "v", "properties": json.loads("1e0")},
        {"type": "levitate", "anonymousId": "v", "messageId": "unknown type"},
        {"type": "page", "anonymousId": "v", "name": "Later"},
    ]
    assert shop.post("/v1/batch", {"batch": batch}) == (200, '{"success":true}')
    lands(shop, "count() = 2", "events")
    lands(shop, "count() = 2", "dead_letters FINAL")
    dead = rows(shop, "dead_letters FINAL")
    assert {letter["reason"] for letter in dead} == {"properties_not_object", "type_unknown"}
    assert all(json.loads(letter["payload"]) in batch for letter in dead)
    assert {letter["project_id"] for letter in dead} == {shop.project_id}
    # A repeat in a later request is a duplicate too, and the session counts it once.
    assert shop.post("/v1/track", good)[0] == 200
    assert shop.post("/v1/track", {"event": "Last", "anonymousId": "v"})[0] == 200
    lands(shop, "count() = 3", "events")
    lands(shop, "sum(event_count) = 3 AND count() = 1", "sessions FINAL")


def test_live_chat_events_become_a_conversation(shop: Pipeline) -> None:
    # The ids stand in the events, since a worker may know the project's only number later than the collector does.
    shop.add_project("chats", settings=json.dumps({"whatsapp": {"numbers": {NUMBER: {"phone": "12025550180"}}}}))

    began = datetime.now(UTC) - timedelta(minutes=1)

    def event(name: str, place: int, **properties: str) -> dict[str, object]:
        at = (began + timedelta(seconds=place)).isoformat().replace("+00:00", "Z")
        named = {"phone_number_id": NUMBER, "message_id": f"wamid.{place}"}
        context = {"channel_type": "whatsapp", "externalId": "+1 202-555-0101"}
        return {
            "type": "track", "event": f"Live Chat {name}", "userId": "crm-7", "messageId": f"chat-{place}",
            "timestamp": at, "context": context, "properties": named | properties,
        }  # fmt: skip

    batch = [
        event("Message Sent", 0),
        event("Message Received", 1, sender="bot"),
        event("Conversation Assigned", 2, to="queue"),
        event("Message Received", 3, sender="agent"),
        event("Conversation Ended", 4),
    ]
    status, answer = shop.post("/v1/batch", {"batch": [*batch, batch[1]]})
    assert status == 200, answer
    lands(shop, "count() = 1 AND any(current_state) = 'resolved'", "conversations_current")
    (row,) = rows(shop, "conversations_current")
    expected = {
        "tenant_id": shop.tenant_id,
        "project_id": shop.project_id,
        "whatsapp_phone_id": "12025550101",
        "wa_id": "12025550101",
        "business_phone_id": NUMBER,
        "user_id": "crm-7",
        "resolved_reason": "ended",
        "message_count": 3,
        "customer_message_count": 1,
        "bot_message_count": 1,
        "agent_message_count": 1,
        "handoff_count": 1,
        "entry_source": "organic",
        "handshake_token": None,
        "inactivity_seconds": 86400,
    }
    assert {name: row[name] for name in expected} == expected
