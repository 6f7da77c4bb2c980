"""Conversations and handshakes on a real Kafka; a worker is killed with durable outputs and old states."""

import json
import signal
from typing import Any, Final

from schemas import whatsapp
from tests.streams.conversations.desk import MINUTE, T0, Row, minute
from tests.streams.conversations.whatsapp import Whole, live_chat, webhook
from tests.streams.raw import RAW, key_of, raw_event
from tests.streams.readers import newest_identities
from tests.streams.rig import StreamsRig

CUSTOMERS: Final = 40
# What comes of signals of the identities agent, which the reference has not.
_OF_LINKS: Final = ("version", "entry_source", "handshake_token", "linked_session_id", "linked_anonymous_id")


def minted(number: int) -> Row:
    """A token for a web visitor, ten minutes before the message that brings it."""
    at = T0 + (number - 10) * MINUTE
    properties = {"handshake_token": f"TOKEN-{number:05}", "expires_at": at + 1440 * MINUTE}
    return raw_event(
        number,
        event_name=whatsapp.HANDSHAKE_CREATED,
        anonymous_id=f"visitor-{number}",
        timestamp=at,
        received_at=at,
        origin=whatsapp.ORIGIN_HANDSHAKE,
        properties=json.dumps(properties),
        context=json.dumps({"handshake_token": properties["handshake_token"]}),
    )


def of_customer(number: int) -> list[Row]:
    """A message with a token, a bot's answer of which the receipt comes first, an agent's by phone alone, the end."""
    customer, phone = f"US.{number}", f"1202555{number:04}"
    token: dict[str, Any] = {"handshake_token": f"TOKEN-{number:05}"}
    return [
        webhook(whatsapp.MESSAGE_RECEIVED, number, customer, message_id=f"in-{number}", wa_id=phone, **token),
        webhook(whatsapp.MESSAGE_STATUS, number + 2, customer, message_id=f"out-{number}", status="read", sender="bot"),
        webhook(whatsapp.MESSAGE_STATUS, number + 1, customer, message_id=f"out-{number}", status="sent", sender="bot"),
        webhook(whatsapp.HANDOVER, number + 3, phone, new_owner_role="escalation"),
        live_chat("Message Received", number + 8, phone, message_id=f"told-{number}", sender="agent"),
        live_chat("Conversation Ended", number + 20, customer),
    ]


def test_a_worker_that_is_killed_between_outputs_and_states_gives_the_same_conversations(rig: StreamsRig) -> None:
    histories = [of_customer(number) for number in range(CUSTOMERS)]
    events = [event for step in zip(*histories, strict=True) for event in step]
    mints = [minted(number) for number in range(CUSTOMERS)]
    pairs = [(key_of(event), RAW.encode(event)) for event in [*events[: CUSTOMERS * 3], *mints, *events]]
    middle = len(pairs) // 2
    rig.produce(pairs[:middle])
    worker = rig.worker("tests.streams.failing_worker")
    worker.extra_environ = {"KILL_BEFORE_STATES": "1", "STATES_OF": "conversations"}
    worker.start_to_be_killed()
    rig.wait_until(lambda: worker.exit_code == -signal.SIGKILL, "killed with durable outputs and old states")
    rig.produce(pairs[middle:])
    worker.extra_environ = {}
    worker.start()
    rig.catch_up()

    newest: dict[str, Row] = {}
    for row in rig.rows("conversations"):
        known = newest.get(row["conversation_id"])
        newest[row["conversation_id"]] = row if known is None or row["version"] >= known["version"] else known
    found = {name: row for name, row in newest.items() if not row["is_deleted"]}
    wanted = {row["conversation_id"]: row for row in Whole().take(events).rows()}
    assert len(wanted) == CUSTOMERS
    assert {name: plain(row) for name, row in found.items()} == {name: plain(row) for name, row in wanted.items()}
    for row in found.values():
        assert minute(row["first_response_at"]) == minute(row["started_at"] + MINUTE)
        number = row["whatsapp_phone_id"].removeprefix("US.")
        assert (row["entry_source"], row["linked_anonymous_id"]) == ("handshake", f"visitor-{number}")
    sessions = {row["session_id"] for row in rig.rows("enriched_events") if row["anonymous_id"].startswith("visitor-")}
    assert {row["linked_session_id"] for row in found.values()} == sessions
    identities = newest_identities(rig.rows("identities"))
    linked = {(row["anonymous_id"], row["user_id"]) for row in identities.values() if row["link_source"] == "handshake"}
    assert linked == {(f"visitor-{number}", f"whatsapp:US.{number}") for number in range(CUSTOMERS)}
    assert worker.terminate() == 0


def plain(row: Row) -> Row:
    """What is compared."""
    return {name: value for name, value in row.items() if name not in (*_OF_LINKS, "topic_partition", "key")}
