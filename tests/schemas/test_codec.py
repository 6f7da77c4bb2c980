"""The bytes of a record, and each way in which they can be wrong."""

import io
from collections.abc import Mapping
from typing import Any

import fastavro
import pytest

from schemas.codec import HEADER_BYTES, RecordInvalidError
from schemas.column_codec import ColumnCodec
from schemas.outcomes import DeadReason
from schemas.registry import EmbeddedIds, SchemaUnknownError, current_schema
from tests.schemas.records import CODECS, LAST_MS, dated, record

SESSIONS = CODECS["sessions"]
GOOD = SESSIONS.encode(record("sessions"))


class TwoVersions:
    """Sessions as id 2 today; id 1 was written before some fields were there, one of them an int still."""

    def __init__(self, *, lacking: set[str]) -> None:
        self._fields = [dict(field) for field in current_schema("sessions")["fields"] if field["name"] not in lacking]
        for field in self._fields:
            if field["name"] == "version":
                field["type"] = "int"

    def schema_id(self, topic: str) -> int:
        return {"sessions": 2, "identities": 3}[topic]

    def schema(self, schema_id: int) -> Mapping[str, Any]:
        if schema_id == 1:
            return {**current_schema("sessions"), "fields": self._fields}
        if schema_id in (2, 3):
            return current_schema("sessions" if schema_id == 2 else "identities")
        raise SchemaUnknownError(schema_id)


class OldWriter(TwoVersions):
    """The process that still writes id 1."""

    def encode(self, made: Mapping[str, Any]) -> bytes:
        out = io.BytesIO(b"\0\0\0\0\1")
        out.seek(HEADER_BYTES)
        fastavro.schemaless_writer(out, fastavro.parse_schema(dict(self.schema(1))), made)
        return out.getvalue()


def reason(codec: ColumnCodec, value: bytes) -> DeadReason:
    """Why it is no record, said the same one by one and in a chunk."""
    with pytest.raises(RecordInvalidError) as caught:
        codec.decode(value)
    _, indexes, (bad,) = codec.decode_columns([value])
    assert indexes == []
    assert bad.reason == caught.value.reason
    return caught.value.reason


def test_a_record_is_zero_then_the_id_in_four_bytes_then_avro() -> None:
    value = CODECS["identities"].encode(
        record("identities", tenant_id="t", anonymous_id="a", user_id="u", linked_at=1, first_linked_at=-1)
    )
    assert value == b"\0\0\0\0\6\2t\2a\2u\2\2x\2x\0\1"


@pytest.mark.parametrize("topic", CODECS)
def test_the_header_carries_the_committed_id(topic: str) -> None:
    assert CODECS[topic].encode(record(topic))[:HEADER_BYTES] == b"\0" + EmbeddedIds().schema_id(topic).to_bytes(4)


@pytest.mark.parametrize("length", range(HEADER_BYTES))
def test_bytes_shorter_than_the_header_are_not_avro(length: int) -> None:
    assert reason(SESSIONS, GOOD[:length]) is DeadReason.NOT_AVRO


def test_another_first_byte_than_zero_is_not_avro() -> None:
    assert reason(SESSIONS, b"{" + GOOD[1:]) is DeadReason.NOT_AVRO


@pytest.mark.parametrize("length", range(HEADER_BYTES, len(GOOD)))
def test_a_record_cut_anywhere_is_not_avro(length: int) -> None:
    assert reason(SESSIONS, GOOD[:length]) is DeadReason.NOT_AVRO


def test_an_id_nobody_gave_is_unknown() -> None:
    assert reason(SESSIONS, b"\0\0\0\x12\x67" + GOOD[HEADER_BYTES:]) is DeadReason.SCHEMA_ID_UNKNOWN


def test_a_record_of_another_topic_is_a_mismatch() -> None:
    assert reason(SESSIONS, CODECS["identities"].encode(record("identities"))) is DeadReason.SCHEMA_MISMATCH


def test_invalid_utf8_is_told_from_other_damage() -> None:
    value = SESSIONS.encode(record("sessions", entry_page="/abcdef"))
    assert reason(SESSIONS, value.replace(b"/abcdef", b"/abc\xffef")) is DeadReason.INVALID_UTF8


def test_a_time_that_is_no_date_stays_a_number_in_columns() -> None:
    later = CODECS["identities"].encode(record("identities", linked_at=LAST_MS + 1))
    with pytest.raises(RecordInvalidError) as caught:
        CODECS["identities"].decode(later)
    assert caught.value.reason is DeadReason.FIELD_INVALID
    batch, _, invalid = CODECS["identities"].decode_columns([later])
    assert invalid == []
    assert batch.column("linked_at").cast("int64").to_pylist() == [LAST_MS + 1]


def test_bytes_after_the_record_are_ignored_both_ways() -> None:
    assert SESSIONS.decode(GOOD + b"more") == SESSIONS.decode(GOOD)
    assert SESSIONS.decode_columns([GOOD + b"more"])[0].equals(SESSIONS.decode_columns([GOOD])[0])


def test_a_record_without_a_value_is_invalid_alone() -> None:
    batch, indexes, (bad,) = SESSIONS.decode_columns([GOOD, None, GOOD])
    assert (batch.num_rows, indexes, bad.index, bad.reason) == (2, [0, 2], 1, DeadReason.NOT_AVRO)


def test_truncated_records_are_named_and_the_rest_of_a_large_chunk_stands() -> None:
    chunk: list[bytes | None] = [SESSIONS.encode(record("sessions", event_count=number)) for number in range(1000)]
    cut = {0, 1, 499, 500, 999}
    for index in cut:
        chunk[index] = GOOD[:20]
    batch, indexes, invalid = SESSIONS.decode_columns(chunk)
    assert {bad.index for bad in invalid} == cut
    assert indexes == [number for number in range(1000) if number not in cut]
    assert batch.column("event_count").to_pylist() == indexes


@pytest.mark.parametrize("wrong", [{"event_count": "many"}, {"tenant_id": None}])
def test_a_record_that_does_not_fit_is_not_encoded(wrong: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        SESSIONS.encode(record("sessions") | wrong)


def test_a_number_beyond_its_bits_is_invalid_and_not_cut_to_what_fits() -> None:
    codec = CODECS["sessions"]
    # A varint with the sign folded in: 70 is 35, and 2**32 + 70 has the same last 32 bits.
    at = bytes([70]), bytes([0b11000110, 0b10000000, 0b10000000, 0b10000000, 0b00010000])
    value = codec.encode(record("sessions", page_count=35)).replace(*at)
    with pytest.raises(RecordInvalidError, match=f"page_count is {2**31 + 35}, more than 32 bits") as caught:
        codec.decode(value)
    assert caught.value.reason is DeadReason.FIELD_INVALID


def test_a_number_beyond_its_bits_in_an_older_version_is_invalid_alone() -> None:
    writer = OldWriter(lacking={"user_id"})
    codec = ColumnCodec("sessions", writer)
    value = writer.encode(record("sessions", page_count=35))
    wide = value.replace(bytes([70]), bytes([0b11000110, 0b10000000, 0b10000000, 0b10000000, 0b00010000]))
    _, indexes, (bad,) = codec.decode_columns([value, wide, value])
    assert (indexes, bad.index, bad.reason) == ([0, 2], 1, DeadReason.FIELD_INVALID)


def test_an_older_version_is_read_with_the_defaults_of_what_it_lacks() -> None:
    lacking = {"user_id", "utm_source"}
    codec = ColumnCodec("sessions", TwoVersions(lacking=lacking))
    made = record("sessions", user_id="u", utm_source="s", version=7)
    value = OldWriter(lacking=lacking).encode(made)
    expected = dated("sessions", made | {"user_id": None, "utm_source": None})
    assert codec.decode(value) == expected
    batch, indexes, invalid = codec.decode_columns([codec.encode(made), value, codec.encode(made)])
    assert (indexes, invalid) == ([0, 1, 2], [])
    assert batch.column("user_id").to_pylist() == ["u", None, "u"]
    assert batch.column("version").to_pylist() == [7, 7, 7]


def test_an_older_version_keeps_times_that_are_no_dates() -> None:
    writer = OldWriter(lacking={"user_id"})
    value = writer.encode(record("sessions", started_at=LAST_MS + 1))
    batch, _, invalid = ColumnCodec("sessions", writer).decode_columns([value])
    assert invalid == []
    assert batch.column("started_at").cast("int64").to_pylist() == [LAST_MS + 1]


def test_an_older_version_that_lacks_a_field_without_default_is_not_avro() -> None:
    writer = OldWriter(lacking={"exit_page"})
    assert reason(ColumnCodec("sessions", writer), writer.encode(record("sessions"))) is DeadReason.NOT_AVRO


def test_a_truncated_older_version_is_invalid_alone() -> None:
    writer = OldWriter(lacking={"user_id"})
    codec = ColumnCodec("sessions", writer)
    value = writer.encode(record("sessions"))
    _, indexes, (bad,) = codec.decode_columns([value, value[:-9], value])
    assert (indexes, bad.index, bad.reason) == ([0, 2], 1, DeadReason.NOT_AVRO)


@pytest.mark.parametrize(("schema_id", "lacks"), [(7, ["source_key", "arrival"]), (8, ["arrival"])])
def test_dead_letters_of_earlier_versions_are_read_today(schema_id: int, lacks: list[str]) -> None:
    """Records of the committed ids lie in topics: without what came later, which has defaults."""
    names = {field["name"] for field in EmbeddedIds().schema(schema_id)["fields"]}
    assert [field["name"] for field in current_schema("dead_letters")["fields"] if field["name"] not in names] == lacks
    plain = record("dead_letters", source_key="", arrival="")
    today = CODECS["dead_letters"].encode(plain)
    earlier = b"\0" + schema_id.to_bytes(4) + today[HEADER_BYTES : -len(lacks)]
    assert CODECS["dead_letters"].decode(earlier) == dated("dead_letters", plain)
