"""From an integrator's neutral events to the row of the conversation."""

import json
from datetime import UTC, datetime, timedelta

from docker.local.services import Pipeline
from tests.end_to_end.asking import lands, rows

NUMBER = "900000000000001"


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
