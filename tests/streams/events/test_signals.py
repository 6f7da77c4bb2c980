"""What events say of conversations: webhooks as the collector tells of them, and integrators' neutral events."""

import random
from typing import Any

import pytest

from schemas import whatsapp
from schemas.column_codec import ColumnCodec
from schemas.outcomes import FactOutcome
from tests.effort import examples
from tests.streams.conversations.desk import Row, minute, short
from tests.streams.conversations.whatsapp import ANA, ANA_PHONE, Whole, live_chat, webhook
from tests.streams.raw import IDS, raw_event

ENRICHED = ColumnCodec("enriched_events", IDS)


def received(minutes: float, wamid: str, **members: Any) -> Row:
    return webhook(whatsapp.MESSAGE_RECEIVED, minutes, message_id=wamid, wa_id=ANA_PHONE, **members)


def status(minutes: float, wamid: str, what: str, **members: Any) -> Row:
    return webhook(whatsapp.MESSAGE_STATUS, minutes, message_id=wamid, status=what, **members)


def in_any_order(events: list[Row], **settings: Any) -> list[Row]:
    """The rows, which are the same in every order, in one chunk or several, with one event told twice."""
    chance = random.Random(len(events))
    wanted = Whole(**settings).take(events).rows()
    for _ in range(examples(20)):
        order = [*chance.sample(events, len(events)), chance.choice(events)]
        cut = chance.randrange(len(order))
        rows = Whole(**settings).take(order[:cut]).take(order[cut:]).rows()
        assert [row | {"version": 0} for row in rows] == [row | {"version": 0} for row in wanted]
    return wanted


def test_statuses_read_before_they_were_sent_and_a_sender_that_says_so() -> None:
    events = [
        received(0, "in-1"),
        status(10.67, "out-11", "read", sender="bot"),
        status(10, "out-11", "sent", sender="bot", pricing_category="service"),
        status(11, "out-11b", "played"),
    ]
    (row,) = in_any_order(events)
    assert short(row) == ("bot_active", 0, 10, None, "3/1/0")
    assert (row["whatsapp_phone_id"], row["wa_id"], row["user_id"]) == (ANA, ANA_PHONE, None)


def test_another_responder_and_a_handover_that_know_the_phone_alone() -> None:
    events = [
        received(0, "in-15", is_standby=True),
        webhook(whatsapp.MESSAGE_ECHOED, 1 / 12, ANA_PHONE, message_id="out-15", is_standby=True, message_type="text"),
        webhook(whatsapp.HANDOVER, 2, ANA_PHONE, new_owner_role="escalation"),
        received(3, "in-16"),
        live_chat("Message Received", 6, ANA_PHONE, sender="agent", message_id="out-16"),
    ]
    (row,) = in_any_order(events)
    assert short(row) == ("agent_active", 0, 0.08, None, "4/1/1")
    assert (minute(row["queued_at"]), row["handoff_count"]) == (2, 1)
    assert (row["queued_seconds"], row["bot_seconds"], row["agent_seconds"]) == (240, 120, 0)


def test_an_echo_of_the_business_app_is_an_agent_s_unless_the_number_says_otherwise() -> None:
    events = [
        received(0, "in-1"),
        webhook(whatsapp.MESSAGE_ECHOED, 5, message_id="out-14", message_type="text"),
        status(6, "out-14", "delivered"),
    ]
    (row,) = in_any_order(events)
    assert short(row) == ("agent_active", 0, 5, None, "2/0/1")
    (row,) = in_any_order(events, echo_sender="bot")
    assert short(row) == ("bot_active", 0, 5, None, "2/1/0")


def test_a_message_without_content_opens_it_and_the_ad_is_known_from_the_next() -> None:
    referral = {"ctwa_clid": "click", "source_id": "500000000000001", "headline": "Sample shop"}
    (row,) = in_any_order([received(0, "in-10", message_type="unsupported"), received(1, "in-8", referral=referral)])
    assert (row["message_count"], row["entry_source"], row["ctwa_clid"], row["ad_id"]) == (
        *(2, "ctwa", "click"),
        "500000000000001",
    )


@pytest.mark.parametrize("category", ["marketing", "UTILITY", "authentication", "Authentication_International"])
def test_a_template_is_no_answer(category: str) -> None:
    events = [received(0, "in-1"), status(5, "out-1", "sent", pricing_category=category)]
    (row,) = in_any_order(events, default_sender="bot")
    assert short(row) == ("queued", 0, None, None, "2/0/0")


def test_a_conversation_by_referral_is_no_template() -> None:
    events = [received(0, "in-1"), status(5, "out-1", "sent", pricing_category="referral_conversion")]
    (row,) = in_any_order(events, default_sender="bot")
    assert short(row) == ("bot_active", 0, 5, None, "2/1/0")


def test_a_message_that_failed_is_none_until_another_device_has_it() -> None:
    failed = [received(0, "in-1"), status(2, "out-1", "failed")]
    (row,) = in_any_order(failed, default_sender="agent")
    assert short(row) == ("queued", 0, None, None, "1/0/0")
    (row,) = in_any_order([*failed, status(3, "out-1", "delivered")], default_sender="agent")
    assert short(row) == ("agent_active", 0, 3, None, "2/0/1")


def test_a_changed_number_is_the_same_customer() -> None:
    other = "US.90017735512240039953"
    changed = webhook(whatsapp.USER_CHANGED, 6, other, previous_customer=ANA, wa_id="12025550111")
    (row,) = in_any_order(
        [received(0, "in-1"), changed, webhook(whatsapp.MESSAGE_RECEIVED, 7, other, message_id="in-2")]
    )
    assert (row["whatsapp_phone_id"], row["wa_id"], row["message_count"]) == (ANA, "12025550111", 2)


def test_neutral_events_alone_where_there_is_no_webhook() -> None:
    events = [
        live_chat("Conversation Started", 0, "+1 202-555-0101"),
        live_chat("Message Sent", 0, ANA_PHONE),
        live_chat("Message Received", 1, ANA_PHONE, sender="bot"),
        live_chat("Conversation Assigned", 3, ANA_PHONE, to="queue"),
        live_chat("Message Received", 8, ANA_PHONE, user_id="crm-7"),
        live_chat("Conversation Ended", 20, ANA_PHONE, reason="solved"),
    ]
    (row,) = in_any_order(events, source="events")
    assert short(row) == ("resolved", 0, 1, 20, "3/1/1")
    assert (row["user_id"], minute(row["queued_at"]), row["handoff_count"]) == ("crm-7", 3, 1)


def test_beside_a_webhook_a_told_message_without_whatsapp_s_id_is_counted_and_no_fact() -> None:
    whole = Whole().take([received(0, "in-1"), live_chat("Message Received", 5, sender="agent")])
    assert [row["message_count"] for row in whole.rows()] == [1]
    assert whole.outputs.facts == {("", FactOutcome.UNNAMED): 1}


@pytest.mark.parametrize(
    "event",
    [
        webhook(whatsapp.MESSAGE_REACTED, 0, message_id="w"),
        webhook(whatsapp.CHAT_OPENED, 0),
        webhook(whatsapp.MESSAGE_RECEIVED, 0, message_id="w", group_id="g"),
        webhook(whatsapp.USER_CHANGED, 0, previous_customer=ANA),
        webhook(whatsapp.MESSAGE_RECEIVED, 0, "", message_id="w"),
        webhook(whatsapp.MESSAGE_RECEIVED, 0, "U" * 201, message_id="w"),
        live_chat("Conversation Assigned", 0, to="nobody"),
        raw_event(event_name=whatsapp.MESSAGE_RECEIVED, properties='{"phone_number_id": "1", "message_id": "w"}',
                  context='{"channel_type": "whatsapp", "externalId": "US.1"}'),
    ],
)  # fmt: skip
def test_these_say_nothing_of_conversations(event: Row) -> None:
    assert "conversation_signals" not in Whole().take([event]).outputs.records


def test_only_what_the_customer_writes_makes_a_session() -> None:
    whole = Whole()
    night = [status(60 * hour, f"out-{hour}", "read") for hour in range(3)]
    whole.take([received(0, "in-1"), *night, raw_event(1), received(0.005, "in-2")])
    batch, _, _ = ENRICHED.decode_columns([one["value"] for one in whole.outputs.records["enriched_events"]])
    sessions = batch.column("session_id").to_pylist()
    assert sessions[1:4] == ["", "", ""]
    assert sessions[0] == sessions[5] != sessions[4] != ""
    assert len({record["key"] for record in whole.sessions}) == 2
    later = Whole().take(night)
    assert len(later.outputs.records["enriched_events"]) == 3
    assert later.sessions == []


def test_what_clients_say_of_origin_is_not_asked() -> None:
    """A context can be forged with a public write key."""
    forged = webhook(whatsapp.MESSAGE_RECEIVED, 0, message_id="w") | {"origin": ""}
    forged["context"] = forged["context"][:-1] + ', "tally": {"origin": "whatsapp"}, "origin": "whatsapp"}'
    assert "conversation_signals" not in Whole().take([forged]).outputs.records
