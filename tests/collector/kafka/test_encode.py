"""The hand-written Avro encoders equal fastavro, byte for byte."""

import io

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.events.admit import RawEvent
from collector.events.refuse import RefusedEvent
from collector.kafka import encode
from collector.kafka.encode import DeadLetterEncoder, RawEventEncoder, _millis
from schemas.dead_letters import DETAIL_CHARS_MAX, dead_letter
from schemas.outcomes import DeadReason
from tests.collector.made import PROJECT, codec

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)
long_text = text | st.integers(0, 6000).map(lambda size: "é" * size)
uuids = st.uuids().map(str)
moments = st.integers(-(2**40), 2**43) | st.integers(0, 20_000)
optional = st.none() | long_text

raw_events = st.builds(
    RawEvent,
    event_id=uuids,
    message_id=uuids,
    client_message_id=text,
    tenant_id=uuids,
    project_id=uuids,
    event_type=st.sampled_from(["track", "identify", "page", "screen", "group", "alias"]),
    event_name=long_text,
    timestamp=moments,
    received_at=moments,
    anonymous_id=long_text,
    user_id=optional,
    client_session_id=optional,
    group_id=optional,
    previous_id=optional,
    ip_address=text,
    user_agent=long_text,
    properties=long_text.map(str.encode),
    context=long_text.map(str.encode),
    origin=st.sampled_from(["", "whatsapp", "handshake"]),
)
refusals = st.builds(
    RefusedEvent,
    dead_letter_id=uuids,
    reason=st.sampled_from(DeadReason),
    detail=text | st.just("ü" * DETAIL_CHARS_MAX),
    payload=st.binary(max_size=9000),
    client_message_id=text,
    first_seen_at=moments,
    arrival=long_text.map(str.encode),
)


@given(st.lists(raw_events, min_size=1, max_size=5))
def test_raw_events_equal_fastavro(events: list[RawEvent]) -> None:
    reference = codec("raw_events")
    encoder = RawEventEncoder(reference)
    for event in events:
        record = {name: getattr(event, name) for name in event.__struct_fields__}
        record |= {"properties": event.properties.decode(), "context": event.context.decode()}
        assert encoder.encode(event) == reference.encode(record)


@given(refusals)
def test_dead_letters_equal_those_of_the_contract_as_fastavro_writes_them(refused: RefusedEvent) -> None:
    reference = codec("dead_letters")
    record = dead_letter(
        refused.dead_letter_id,
        "collector",
        refused.reason,
        refused.detail,
        refused.payload,
        owner=(PROJECT.tenant_id, PROJECT.project_id),
        first_seen_at=refused.first_seen_at,
        client_message_id=refused.client_message_id,
        arrival=refused.arrival.decode(),
    )
    assert DeadLetterEncoder(reference).encode(refused, PROJECT) == reference.encode(record)


def avro_long(value: int) -> bytes:
    """fastavro's bytes of a long."""
    file = io.BytesIO()
    fastavro.schemaless_writer(file, fastavro.parse_schema("long"), value)
    return file.getvalue()


@given(st.integers(-(2**62), 2**62) | st.integers(1_500_000_000_000, 2_500_000_000_000))
def test_times_from_tables_and_those_computed_are_avro_s(moment: int) -> None:
    assert _millis(moment) == avro_long(moment)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "00"), (-1, "01"), (1, "02"), (63, "7e"), (-64, "7f"), (64, "8001"), (1_795_000_000_000, "80f8b2e5bd68")],
)
def test_a_long_is_a_zigzag_of_seven_bits_a_byte(value: int, written: str) -> None:
    assert _millis(value).hex() == written


def test_scopes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_SCOPES_MAX", 3)
    encoder = RawEventEncoder(codec("raw_events"))
    values = [encoder._scope(f"tenant-{number}", "project", "track") for number in range(10)]
    assert len(set(values)) == 10
    assert len(encoder._scopes) <= 3


def test_an_encoder_refuses_a_schema_it_was_not_written_for() -> None:
    with pytest.raises(RuntimeError, match=r"projects is not the one collector/kafka/encode\.py writes"):
        RawEventEncoder(codec("projects"))
