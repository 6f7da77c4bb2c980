"""Which events are admitted, with which fields, and which are refused."""

import json
from typing import Any

import pytest

from collector.events.admit import RawEvent, refuse_batch
from collector.events.parse import MalformedError
from collector.events.refuse import RefusedEvent
from schemas.outcomes import DeadReason
from tests.collector.made import (
    LIMITS,
    PROJECT_ID,
    RECEIVED_AT,
    TENANT_ID,
    admit_all,
    admit_one,
    arrival,
    batch,
    is_uuid,
    track,
)


def admitted(event: Any, event_type: str | None = None, **changes: Any) -> RawEvent:
    """The raw event that one event becomes."""
    admission = admit_one(event, event_type, **changes)
    assert admission.refused == []
    (raw_event,) = admission.admitted
    return raw_event


def refused(event: Any, event_type: str | None = None) -> RefusedEvent:
    """The refusal that one event meets."""
    admission = admit_one(event, event_type)
    assert admission.admitted == []
    (refusal,) = admission.refused
    return refusal


def test_every_field_of_a_track_call() -> None:
    context = (
        b'{ "ip":"198.51.100.9", "userAgent":"Mozilla/5.0", "sessionId":1795000000000, "big":18446744073709551617 }'
    )
    properties = b'{"n":123456789012345678901234567890,"f":1.10,"s":"\\u00e9"}'
    sent = (
        b'{"type":"track","messageId":"ajs-next-1","anonymousId":"visitor-1","userId":"user-1","event":"Signed Up",'
        b'"timestamp":"2026-11-18T10:00:00.000Z","sentAt":"2026-11-18T10:00:05.000Z","integrations":{"x":false},'
        b'"properties":' + properties + b',"context":' + context + b',"_metadata":{"nodeVersion":"20"}}'
    )
    event = admitted(sent)
    assert is_uuid(event.event_id)
    assert is_uuid(event.message_id)
    assert event.client_message_id == "ajs-next-1"
    assert (event.tenant_id, event.project_id) == (TENANT_ID, PROJECT_ID)
    assert (event.event_type, event.event_name) == ("track", "Signed Up")
    assert event.timestamp == RECEIVED_AT - 5_000
    assert event.received_at == RECEIVED_AT
    assert (event.anonymous_id, event.user_id) == ("visitor-1", "user-1")
    assert event.client_session_id == "1795000000000"
    assert (event.group_id, event.previous_id) == (None, None)
    assert (event.ip_address, event.user_agent) == ("198.51.100.9", "Mozilla/5.0")
    assert event.properties == properties
    assert event.context == context


@pytest.mark.parametrize("message_id", ["ajs-next-1", "6F1E2B34-5C6D-4E7F-8A9B-0C1D2E3F4A5B"])
def test_a_retry_is_another_event_with_the_message_id_of_the_first_try(message_id: str) -> None:
    event = {"type": "track", "event": "Signed Up", "userId": "u", "messageId": message_id}
    first = admitted(event)
    retry = admitted(event, received_at=RECEIVED_AT + 9_000)
    assert first.event_id != retry.event_id
    assert first.message_id == retry.message_id
    assert admitted({**event, "messageId": "another"}).message_id != first.message_id


def test_what_is_absent_gets_its_default() -> None:
    event = admitted({"type": "page", "userId": "u"})
    assert event.message_id == event.event_id
    assert event.client_message_id == ""
    assert event.event_name == ""
    assert event.timestamp == event.received_at == RECEIVED_AT
    assert event.anonymous_id == ""
    assert event.client_session_id is None
    assert (event.ip_address, event.user_agent) == ("203.0.113.7", "header/1.0")
    assert (event.properties, event.context) == (b"{}", b"{}")


def test_null_is_as_good_as_absent() -> None:
    names = ("messageId", "anonymousId", "name", "timestamp", "sentAt", "properties", "context", "traits", "category")
    event = admitted({"type": "page", "userId": "u"} | dict.fromkeys(names))
    assert (event.properties, event.context, event.anonymous_id, event.event_name) == (b"{}", b"{}", "", "")
    assert event.message_id == event.event_id


@pytest.mark.parametrize(
    ("event", "event_name"),
    [
        ({"type": "track", "event": "E", "name": "N"}, "E"),
        ({"type": "page", "event": "E", "name": "N"}, "N"),
        ({"type": "screen", "name": "N"}, "N"),
        ({"type": "identify", "name": "N"}, ""),
        ({"type": "group", "groupId": "g"}, ""),
        ({"type": "alias", "previousId": "p", "userId": "u"}, ""),
    ],
)
def test_event_name_is_that_of_the_type(event: dict[str, Any], event_name: str) -> None:
    assert admitted({"anonymousId": "a"} | event).event_name == event_name


def test_group_id_and_previous_id_are_kept_for_their_types_only() -> None:
    ids = {"userId": "u", "groupId": "g", "previousId": "p"}
    assert admitted({"type": "group"} | ids).group_id == "g"
    assert admitted({"type": "group"} | ids).previous_id is None
    assert admitted({"type": "alias"} | ids).previous_id == "p"
    assert admitted({"type": "alias"} | ids).group_id is None
    assert admitted({"type": "page"} | ids).group_id is None


@pytest.mark.parametrize("event_type", ["identify", "group", "alias"])
def test_traits_are_the_properties_of_the_types_that_have_traits(event_type: str) -> None:
    event = {"type": event_type, "userId": "u", "groupId": "g", "previousId": "p", "traits": {"t": 1}}
    assert admitted(event).properties == b'{"t":1}'
    assert admitted(event | {"properties": {"p": 1}}).properties == b'{"t":1}'


def test_the_other_member_is_taken_when_only_it_is_there() -> None:
    assert admitted({"type": "identify", "userId": "u", "properties": {"p": 1}}).properties == b'{"p":1}'
    assert admitted(track(traits={"t": 1})).properties == b'{"t":1}'
    assert admitted(track(traits={"t": 1}, properties={"p": 1})).properties == b'{"p":1}'


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"42", "42"),
        (b"18446744073709551617", "18446744073709551617"),
        (b"1.50", "1.50"),
        (b"1e999", "1e999"),
        (b"0", "0"),
    ],
)
def test_numbers_as_ids_keep_every_digit(sent: bytes, text: str) -> None:
    event = admitted(b'{"type":"track","event":"E","userId":%s,"anonymousId":%s,"messageId":%s}' % (sent, sent, sent))
    assert (event.user_id, event.anonymous_id, event.client_message_id) == (text, text, text)
    assert is_uuid(event.message_id)


@pytest.mark.parametrize(
    ("session_id", "kept"),
    [
        ("abc", "abc"),
        (5, "5"),
        (1.5, "1.5"),
        ("", None),
        ("s" * 101, None),
        (True, None),
        ({"a": 1}, None),
        (None, None),
    ],
)
def test_session_id_is_kept_when_valid_and_never_a_reason_to_refuse(session_id: object, kept: str | None) -> None:
    event = admitted(track(context={"sessionId": session_id}))
    assert event.client_session_id == kept


def test_an_anonymised_ip_is_kept() -> None:
    assert admitted(track(context={"ip": "0.0.0.0"})).ip_address == "0.0.0.0"


def test_wrong_types_in_the_context_do_not_hide_the_right_ones() -> None:
    event = admitted(track(context={"ip": 7, "userAgent": "agent", "sessionId": "s"}))
    assert (event.ip_address, event.user_agent, event.client_session_id) == ("", "agent", "s")


def notes(event: RawEvent) -> dict[str, Any]:
    """What the collector has noted in the context."""
    found: dict[str, Any] = json.loads(event.context).get("tally", {})
    return found


def test_a_client_clock_that_is_wrong_is_corrected() -> None:
    event = admitted(track(timestamp="2020-01-01T00:00:00Z", sentAt="2020-01-01T00:00:09Z"))
    assert event.timestamp == RECEIVED_AT - 9_000
    assert event.context == b"{}"


def test_without_sent_at_the_client_time_stands_as_it_is() -> None:
    assert admitted(track(timestamp=RECEIVED_AT - 77)).timestamp == RECEIVED_AT - 77


def test_original_timestamp_is_read_when_timestamp_is_absent() -> None:
    sent = {"originalTimestamp": RECEIVED_AT - 101_000, "sentAt": RECEIVED_AT - 100_400}
    assert admitted(track(**sent)).timestamp == RECEIVED_AT - 600
    assert admitted(track(timestamp=RECEIVED_AT - 100_800, **sent)).timestamp == RECEIVED_AT - 400


@pytest.mark.parametrize(
    ("timestamp", "rule"),
    [
        ("2001-01-01T00:00:00Z", "too_old"),
        (RECEIVED_AT - 365 * 86_400_000 - 1, "too_old"),
        (RECEIVED_AT + 3_600_001, "in_future"),
        ("2099-01-01T00:00:00Z", "in_future"),
    ],
)
def test_a_time_out_of_bounds_becomes_received_at_and_says_so(timestamp: str | int, rule: str) -> None:
    event = admitted(track(timestamp=timestamp, context={"a": 1}))
    assert event.timestamp == RECEIVED_AT
    assert json.loads(event.context) == {"a": 1, "tally": {"timestamp_rule": rule, "timestamp": timestamp}}


@pytest.mark.parametrize("timestamp", ["soon", "", {"a": 1}, [1], True])
def test_a_time_that_cannot_be_read_becomes_received_at_and_says_so(timestamp: object) -> None:
    event = admitted(track(timestamp=timestamp))
    assert event.timestamp == RECEIVED_AT
    kept = timestamp if isinstance(timestamp, str) else json.dumps(timestamp, separators=(",", ":"))
    assert notes(event) == {"timestamp_rule": "unparsable", "timestamp": kept}


def test_category_of_a_page_is_noted() -> None:
    assert notes(admitted({"type": "page", "userId": "u", "category": "Docs"})) == {"category": "Docs"}
    assert notes(admitted({"type": "screen", "userId": "u", "category": "Docs"})) == {"category": "Docs"}
    assert notes(admitted(track(category="Docs"))) == {}
    assert notes(admitted({"type": "page", "userId": "u", "category": 7})) == {}


def test_notes_are_added_behind_the_context_as_sent() -> None:
    sent = b'{"type":"page","userId":"u","category":"Docs","context":{ "a" : 1.0 }}'
    assert admitted(sent).context == b'{ "a" : 1.0 ,"tally":{"category":"Docs"}}'
    sent = b'{"type":"page","userId":"u","category":"Docs","context":{ }}'
    assert admitted(sent).context == b'{"tally":{"category":"Docs"}}'


REFUSALS: list[tuple[Any, DeadReason]] = [
    ([], DeadReason.EVENT_NOT_OBJECT),
    ("text", DeadReason.EVENT_NOT_OBJECT),
    (7, DeadReason.EVENT_NOT_OBJECT),
    (b"null", DeadReason.EVENT_NOT_OBJECT),
    ({"userId": "u"}, DeadReason.TYPE_UNKNOWN),
    ({"type": "Track", "userId": "u"}, DeadReason.TYPE_UNKNOWN),
    ({"type": 7, "userId": "u"}, DeadReason.TYPE_UNKNOWN),
    ({"type": "page"}, DeadReason.NO_USER_ANON_ID),
    ({"type": "page", "userId": "", "anonymousId": None}, DeadReason.NO_USER_ANON_ID),
    ({"type": "group", "groupId": "g"}, DeadReason.NO_USER_ANON_ID),
    (track(event=None), DeadReason.EVENT_NOT_STRING),
    (track(event=""), DeadReason.EVENT_NOT_STRING),
    (track(event=7), DeadReason.EVENT_NOT_STRING),
    (track(userId={"id": 1}), DeadReason.FIELD_WRONG_TYPE),
    (track(anonymousId=True), DeadReason.FIELD_WRONG_TYPE),
    (track(messageId=["m"]), DeadReason.FIELD_WRONG_TYPE),
    (track(messageId="m" * 101), DeadReason.FIELD_TOO_LONG),
    (track(properties=[7]), DeadReason.PROPERTIES_NOT_OBJECT),
    (track(properties="p"), DeadReason.PROPERTIES_NOT_OBJECT),
    ({"type": "identify", "userId": "u", "traits": 7}, DeadReason.TRAITS_NOT_OBJECT),
    (track(context=["c"]), DeadReason.CONTEXT_NOT_OBJECT),
    ({"type": "group", "userId": "u"}, DeadReason.GROUP_ID_MISSING),
    ({"type": "alias", "userId": "u"}, DeadReason.PREVIOUS_ID_MISSING),
    ({"type": "alias", "anonymousId": "a", "previousId": "p"}, DeadReason.USER_ID_MISSING),
    (b'{"type":"page","userId":"\xff"}', DeadReason.INVALID_UTF8),
    (b'{"type":"page","userId":"u","context":{"a":"\xc3("}}', DeadReason.INVALID_UTF8),
    (b'{"type":"page","userId":"u","x":' + b"[" * 5000 + b"]" * 5000 + b"}", DeadReason.EVENT_TOO_DEEP),
    (track(properties={"p": "x" * (33 * 1024)}), DeadReason.EVENT_TOO_LARGE),
]


@pytest.mark.parametrize(("event", "reason"), REFUSALS)
def test_refusal_keeps_the_bytes_and_the_neighbours(event: Any, reason: DeadReason) -> None:
    sent = event if isinstance(event, bytes) else json.dumps(event, separators=(",", ":")).encode()
    admission = admit_all(batch(track(event="before"), sent, track(event="after")))
    (refusal,) = admission.refused
    assert refusal.reason is reason
    assert refusal.payload == sent
    assert refusal.first_seen_at == RECEIVED_AT
    assert is_uuid(refusal.dead_letter_id)
    assert 0 < len(refusal.detail) <= 500
    assert [event.event_name for event in admission.admitted] == ["before", "after"]
    alone = refused(sent)
    assert (alone.reason, alone.payload) == (reason, sent)


def test_an_event_that_is_not_json_is_refused_alone_within_a_batch() -> None:
    admission = admit_all(batch(track(event="before"), b'{"type":"page","userId":"u","n":NaN}', track(event="after")))
    (refusal,) = admission.refused
    assert (refusal.reason, refusal.payload) == (DeadReason.EVENT_NOT_JSON, b'{"type":"page","userId":"u","n":NaN}')
    assert [event.event_name for event in admission.admitted] == ["before", "after"]


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"nan", b"[1, -inf]", b'["NaN", NaN]'])
def test_a_number_that_json_does_not_have_keeps_a_single_event_s_bytes_as_in_a_batch(number: bytes) -> None:
    sent = b'{"event":"E","userId":"u","n":%s}' % number
    assert (refused(sent, "track").reason, refused(sent, "track").payload) == (DeadReason.EVENT_NOT_JSON, sent)


@pytest.mark.parametrize(
    "sent",
    [b'{"event":"E","userId":"u"', b'{"event":"E', b"event=E", b'{"n":NaN}]', b'{"n":NaN', b'{"n":NaNa}', b"NaN"],
)
def test_a_single_body_that_is_cut_off_or_nothing_like_an_event_is_malformed(sent: bytes) -> None:
    with pytest.raises(MalformedError, match="malformed JSON"):
        admit_one(sent, "track")


def test_message_id_of_a_refused_event_is_found_for_looking_it_up() -> None:
    assert refused({"type": "page", "messageId": "m-1"}).client_message_id == "m-1"
    assert refused({"type": "page", "messageId": 17}).client_message_id == "17"
    assert refused({"type": "page", "messageId": "m" * 101}).client_message_id == ""
    assert refused(b"[]").client_message_id == ""


def test_an_event_of_exactly_the_largest_size_is_admitted() -> None:
    size = len(json.dumps(track(properties={"p": ""}), separators=(",", ":")))
    assert admitted(track(properties={"p": "x" * (LIMITS.event_bytes_max - size)}))
    too_large = refused(track(properties={"p": "x" * (LIMITS.event_bytes_max - size + 1)}))
    assert too_large.reason is DeadReason.EVENT_TOO_LARGE


def test_lone_surrogates_are_replaced_so_that_everyone_can_read_the_event() -> None:
    sent = rb'{"type":"track","event":"cut \ud83d","userId":"u","properties":{"p":"\udc00","\\ud83d":1}}'
    admission = admit_all(batch(sent, track(event="after")))
    first, after = admission.admitted
    assert first.event_name == "cut \ufffd"
    assert first.properties == rb'{"p":"\ufffd","\\ud83d":1}'
    assert notes(first) == {"repaired": "lone_surrogates"}
    assert after.context == b"{}"


def test_nul_and_every_other_character_pass() -> None:
    event = admitted(track(event="a\0b", properties={"p": "\0\u2028\U0010ffff"}))
    assert event.event_name == "a\0b"
    assert json.loads(event.properties) == {"p": "\0\u2028\U0010ffff"}


def test_the_route_decides_the_type() -> None:
    assert admitted({"userId": "u"}, "page").event_type == "page"
    assert admitted({"userId": "u", "type": "track"}, "page").event_type == "page"


def test_batch_context_lies_beneath_that_of_each_event() -> None:
    sent = batch(
        track(context={"ip": "198.51.100.1", "a": 1}),
        track(),
        context=b'{"ip":"198.51.100.2","b":1.50,"userAgent":"agent"}',
    )
    first, second = admit_all(sent).admitted
    assert first.context == b'{"ip":"198.51.100.1","b":1.50,"userAgent":"agent","a":1}'
    assert (first.ip_address, first.user_agent) == ("198.51.100.1", "agent")
    assert second.context == b'{"ip":"198.51.100.2","b":1.50,"userAgent":"agent"}'


@pytest.mark.parametrize("context", [b"[]", b'"x"', b"7", b"null", b"{}"])
def test_a_batch_context_that_is_of_no_use_is_ignored(context: bytes) -> None:
    (event,) = admit_all(batch(track(context={"a": 1}), context=context)).admitted
    assert event.context == b'{"a":1}'


def test_sent_at_of_the_batch_holds_for_events_without_their_own() -> None:
    timestamp = RECEIVED_AT - 110_000
    sent = batch(track(timestamp=timestamp), track(timestamp=timestamp, sentAt=timestamp + 1), sentAt=timestamp + 2_000)
    first, second = admit_all(sent).admitted
    assert first.timestamp == RECEIVED_AT - 2_000
    assert second.timestamp == RECEIVED_AT - 1


def test_event_ids_follow_the_order_of_the_batch() -> None:
    events = admit_all(batch(*(track(event=f"{number:03}") for number in range(300)))).admitted
    assert [event.event_id for event in events] == sorted(event.event_id for event in events)
    assert [event.event_name for event in events] == [f"{number:03}" for number in range(300)]
    assert {event.received_at for event in events} == {RECEIVED_AT}


def test_a_batch_of_the_largest_length_is_admitted() -> None:
    assert len(admit_all(batch(*[track()] * LIMITS.batch_events_max)).admitted) == LIMITS.batch_events_max


def test_a_longer_batch_is_one_dead_letter_with_its_bytes() -> None:
    sent, body = batch(*[track()] * (LIMITS.batch_events_max + 1)), b"the whole body"
    admission = refuse_batch(sent, body, arrival(), LIMITS)
    assert admission.admitted == []
    (letter,) = admission.refused
    assert (letter.reason, letter.payload) == (DeadReason.BATCH_TOO_LONG, body)
    assert "2501 events" in letter.detail
    again = refuse_batch(sent, body, arrival(), LIMITS).refused[0]
    assert again.dead_letter_id == letter.dead_letter_id


def test_more_elements_than_there_is_room_for_events_are_malformed() -> None:
    with pytest.raises(MalformedError, match="too short to be events"):
        refuse_batch(batch(*[0] * 3_000), b"", arrival(), LIMITS)
