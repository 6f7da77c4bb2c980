"""A dead letter fits whatever the record's size, and is the same however often it is made."""

import hashlib
import time
import uuid
from datetime import UTC, datetime

import pytest

from schemas.outcomes import DeadReason
from schemas.settings import MESSAGE_BYTES_MAX, SettingsError, load
from schemas.topics import TOPICS
from sinks.batching.batch import BadRecord
from sinks.write.dead_letters import DeadLetterEncoder
from tests.sinks.records import PROJECT, TENANT, codec, framed
from tests.sinks.rig import SinkRig

BROKER_BYTES = 1_000  # that a batch of one record needs besides key and value, and more


def encoder(now: float = 0.0) -> DeadLetterEncoder:
    return DeadLetterEncoder("enriched_events", codec("enriched_events"), codec("dead_letters"), 1, lambda: now)


@pytest.mark.parametrize("size", [0, 100, MESSAGE_BYTES_MAX - 100_000, MESSAGE_BYTES_MAX - 60, 3 * MESSAGE_BYTES_MAX])
def test_a_dead_letter_fits_into_a_message_whatever_its_record_is(size: int) -> None:
    payload = b"\0\0\0\0\3" + b"x" * size
    key, value = encoder().encode(BadRecord(7, payload, b"k" * size, DeadReason.NOT_AVRO, "ü" * 5_000), 0)
    assert len(key) + len(value) + BROKER_BYTES <= MESSAGE_BYTES_MAX
    record = codec("dead_letters").decode(value)
    if record["payload"] == payload:
        return
    assert payload.startswith(record["payload"])
    assert size > MESSAGE_BYTES_MAX // 2
    assert f"from {len(payload)} " in record["detail"]
    assert hashlib.sha256(payload).hexdigest() in record["detail"]


def test_what_a_record_says_of_its_owner_is_bounded_in_its_dead_letter() -> None:
    long = "x" * (MESSAGE_BYTES_MAX // 3)
    value = framed(0, tenant_id=long, project_id=long, client_message_id=long)
    key, dead_letter = encoder().encode(BadRecord(0, value, None, DeadReason.ROW_REFUSED, ""), 0)
    assert len(key) + len(dead_letter) + BROKER_BYTES <= MESSAGE_BYTES_MAX


def test_a_dead_letter_was_first_seen_when_kafka_took_its_record() -> None:
    bad = BadRecord(7, b"x", None, DeadReason.NOT_AVRO, "", timestamp=1_793_577_599_000)
    first, again = encoder(1.0).encode(bad, 0), encoder(9e9).encode(bad, 0)
    assert first == again
    moment = codec("dead_letters").decode(first[1])["first_seen_at"]
    assert moment == datetime.fromtimestamp(1_793_577_599, UTC)


@pytest.mark.parametrize("name", ["TALLY_COLLECTOR_BODY_BYTES_MAX", "TALLY_COLLECTOR_EVENT_BYTES_MAX"])
def test_what_kafka_would_refuse_is_refused_as_a_setting(name: str) -> None:
    load({name: "500000"})
    with pytest.raises(SettingsError, match=name):
        load({name: str(8 * 2**20)})


def test_every_topic_takes_what_producers_send() -> None:
    settings = load({})
    assert {topic.broker_config(settings)["max.message.bytes"] for topic in TOPICS.values()} == {str(MESSAGE_BYTES_MAX)}


def test_a_record_as_large_as_a_message_may_be_becomes_a_dead_letter_and_blocks_nobody(rig: SinkRig) -> None:
    rig.found_group()
    largest = b"\1" + b"x" * (MESSAGE_BYTES_MAX - 200)
    rig.produce("enriched_events", [framed(0), largest, framed(2)])
    produced_at = time.time()
    rig.sink().start()
    rig.wait_for_acknowledgement([3, 0])
    (dead_letter,) = rig.consume("dead_letters")
    assert hashlib.sha256(largest).hexdigest() in dead_letter["detail"]
    assert rig.sources() == [(1, 0, 0), (1, 0, 2)]
    assert dead_letter["first_seen_at"].timestamp() <= produced_at  # before there was a sink


def made(bad: BadRecord, generation: int = 1, partition: int = 2) -> dict[str, object]:
    maker = DeadLetterEncoder(
        "p_enriched_events", codec("enriched_events"), codec("dead_letters"), generation, lambda: 1e9
    )
    return codec("dead_letters").decode(maker.encode(bad, partition)[1])


def test_the_same_record_makes_the_same_dead_letter() -> None:
    bad = BadRecord(7, framed(1), b"k", DeadReason.ROW_REFUSED, "x" * 1000)
    first = made(bad)
    assert made(bad) == first
    assert uuid.UUID(str(first["dead_letter_id"])).version == 5
    assert (first["tenant_id"], first["project_id"]) == (TENANT, PROJECT)
    assert len(str(first["detail"])) == 500
    others = [made(bad, generation=2), made(bad, partition=3), made(BadRecord(8, b"", None, bad.reason, ""))]
    assert len({str(found["dead_letter_id"]) for found in [first, *others]}) == 4


def test_an_unreadable_record_with_an_unreadable_key_belongs_to_nobody() -> None:
    found = made(BadRecord(7, b"junk", b"\xff", DeadReason.NOT_AVRO, ""))
    assert (found["tenant_id"], found["project_id"], found["payload"]) == ("", "", b"junk")
