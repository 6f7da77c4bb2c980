"""The record of a dead letter: all stages make one kind, it fits into a message, and what is cut is told."""

import hashlib
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.events.event import Refused
from collector.events.refuse import refused_event
from collector.kafka.encode import DeadLetterEncoder as HandEncoder
from schemas import keys
from schemas.column_codec import Invalid
from schemas.dead_letters import BYTES_MAX, DETAIL_CHARS_MAX, ID_CHARS_MAX, Place, dead_letter
from schemas.outcomes import DeadReason
from schemas.registry import EmbeddedIds, current_schema
from schemas.settings import MESSAGE_BYTES_MAX
from sinks.batching.batch import BadRecord
from sinks.write.dead_letters import DeadLetterEncoder
from streams.dead_letters import DeadLetters
from streams.runtime.operator import Outputs, Records
from tests.collector.made import PROJECT, arrival
from tests.schemas.records import CODECS

CODEC: Final = CODECS["dead_letters"]
BROKER_BYTES: Final = 1_000  # that a batch of one record needs besides key and value, and more
NOW_MS: Final = 1_795_000_000_000
UUID: Final = "00000000-0000-4000-8000-00000000000d"
KEY: Final = b"t/p/v/ann"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(lambda text: text * 300)
sizes = st.sampled_from((0, 1, BYTES_MAX - 10, BYTES_MAX - 9, BYTES_MAX, BYTES_MAX + 1, 3 * MESSAGE_BYTES_MAX))


def made(payload: bytes = b"x", key: bytes | None = KEY, detail: str = "why", text: str = "t") -> dict[str, Any]:
    return dead_letter(
        UUID,
        "streams",
        DeadReason.NOT_AVRO,
        detail,
        payload,
        owner=(text, text),
        first_seen_at=NOW_MS,
        place=Place("raw_events", 3, 2**62, key),
        client_message_id=text,
    )


@given(sizes, sizes, st.sampled_from((b"k", b"\xff")), texts, texts)
def test_it_fits_into_a_message_whatever_it_is_made_of(
    size: int, key_size: int, unit: bytes, detail: str, text: str
) -> None:
    record = made(b"x" * size, unit * key_size, detail, text)
    key, value = keys.of_dead_letter(record["tenant_id"], record["project_id"]), CODEC.encode(record)
    assert len(key) + len(value) + BROKER_BYTES <= MESSAGE_BYTES_MAX
    assert CODEC.decode(value)["payload"] == record["payload"] == b"x" * min(size, BYTES_MAX)
    assert record["source_key"] in ("", (unit * key_size).decode("utf-8", "replace"))


@given(texts, texts)
def test_what_fits_is_kept_as_it_is(detail: str, text: str) -> None:
    record = made(b"x" * (BYTES_MAX - len(KEY)), KEY, detail, text)
    assert (len(record["payload"]), record["source_key"]) == (BYTES_MAX - len(KEY), KEY.decode())
    assert record["detail"] == detail[:DETAIL_CHARS_MAX]
    assert record["tenant_id"] == record["client_message_id"] == text[:ID_CHARS_MAX]


def test_of_a_payload_that_is_cut_the_size_and_the_hash_are_told() -> None:
    payload = b"x" * (BYTES_MAX + 7)
    record = made(payload, detail="y" * 1_000)
    assert record["detail"].startswith(f"payload cut from {len(payload)} to {BYTES_MAX} bytes, sha256 of the whole ")
    assert hashlib.sha256(payload).hexdigest() in record["detail"]
    assert len(record["detail"]) == DETAIL_CHARS_MAX


def test_it_has_the_fields_of_the_schema() -> None:
    assert [*made()] == [field["name"] for field in current_schema("dead_letters")["fields"]]


details = st.text(st.characters(exclude_categories=["Cs"]), max_size=3 * DETAIL_CHARS_MAX)


@given(st.binary(max_size=200), details)
def test_each_stage_makes_the_record_of_the_contract(payload: bytes, detail: str) -> None:
    assert _of_collector(payload, detail) == _fields("collector", payload, detail)
    assert _of_streams(payload, detail) == _fields("streams", payload, detail)
    assert _of_sinks(payload, detail) == _fields("sinks", payload, detail)


@pytest.mark.parametrize("of", ["streams", "sinks"])
def test_a_record_as_large_as_a_message_may_be_becomes_a_dead_letter(of: str) -> None:
    payload = b"\1" + b"x" * (MESSAGE_BYTES_MAX - 200)
    assert {"streams": _of_streams, "sinks": _of_sinks}[of](payload, "why") == _fields(of, payload, "why")


def _fields(stage: Any, payload: bytes, detail: str) -> dict[str, Any]:
    """What is of all stages alike, of the record that the contract makes."""
    record = dead_letter(
        UUID, stage, DeadReason.NOT_AVRO, detail, payload, owner=("", ""), first_seen_at=NOW_MS,
        place=Place("", 0, 0, KEY),
    )  # fmt: skip
    return {name: record[name] for name in ("stage", "reason", "detail", "payload")}


def _read(value: bytes) -> dict[str, Any]:
    assert len(value) + BROKER_BYTES <= MESSAGE_BYTES_MAX
    record = CODEC.decode(value)
    return {name: record[name] for name in ("stage", "reason", "detail", "payload")}


def _of_collector(payload: bytes, detail: str) -> dict[str, Any]:
    refused = refused_event(payload, arrival(), Refused(DeadReason.NOT_AVRO, detail), b"")
    return _read(HandEncoder(CODEC).encode(refused, PROJECT))


def _of_streams(payload: bytes, detail: str) -> dict[str, Any]:
    outputs = Outputs()
    letters = DeadLetters("raw_events", 1, EmbeddedIds(), lambda: NOW_MS)
    letters.add(outputs, Records([0], [0], [KEY], [payload]), Invalid(0, DeadReason.NOT_AVRO, detail))
    (record,) = outputs.records["dead_letters"]
    return _read(record["value"])


def _of_sinks(payload: bytes, detail: str) -> dict[str, Any]:
    encoder = DeadLetterEncoder("enriched_events", CODECS["enriched_events"], CODEC, 1, lambda: 0.0)
    return _read(encoder.encode(BadRecord(0, payload, KEY, DeadReason.NOT_AVRO, detail), 0)[1])
