"""What is encoded is decoded again, one by one and in columns, and any bytes are a record or invalid."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import RecordInvalidError
from schemas.outcomes import DeadReason
from schemas.topics import TOPICS
from tests.schemas.records import CODECS, COLUMNAR, dated, record, records, spoiled, utc

INVALID = {
    DeadReason.NOT_AVRO,
    DeadReason.INVALID_UTF8,
    DeadReason.SCHEMA_ID_UNKNOWN,
    DeadReason.SCHEMA_MISMATCH,
    DeadReason.FIELD_INVALID,
}


def decoded(topic: str, value: bytes) -> dict[str, Any] | DeadReason:
    """The record, or why there is none."""
    try:
        return CODECS[topic].decode(value)
    except RecordInvalidError as error:
        return error.reason


@pytest.mark.parametrize("topic", TOPICS)
def test_a_decoded_record_is_the_encoded_one(topic: str) -> None:
    @given(records(topic))
    def law(made: dict[str, Any]) -> None:
        assert CODECS[topic].decode(CODECS[topic].encode(made)) == dated(topic, made)

    law()


@pytest.mark.parametrize("topic", COLUMNAR)
def test_columns_hold_what_one_by_one_decoding_gives(topic: str) -> None:
    codec = CODECS[topic]

    @given(st.lists(records(topic), max_size=6))
    def law(made: list[dict[str, Any]]) -> None:
        values = [codec.encode(each) for each in made]
        batch, indexes, invalid = codec.decode_columns(values)
        assert [utc(row) for row in batch.to_pylist()] == [codec.decode(value) for value in values]
        assert indexes == list(range(len(made)))
        assert invalid == []
        assert batch.schema == codec.arrow_schema

    law()


@pytest.mark.parametrize("topic", COLUMNAR)
def test_columns_are_encoded_to_the_bytes_of_one_by_one_encoding(topic: str) -> None:
    codec = CODECS[topic]

    @given(st.lists(records(topic), max_size=6))
    def law(made: list[dict[str, Any]]) -> None:
        values = [codec.encode(each) for each in made]
        assert codec.encode_columns(codec.decode_columns(values)[0]) == values

    law()


@pytest.mark.parametrize("topic", TOPICS)
def test_any_bytes_are_a_record_or_invalid_with_a_reason(topic: str) -> None:
    fields = set(record(topic))

    @given(spoiled(topic))
    def law(value: bytes) -> None:
        found = decoded(topic, value)
        assert found in INVALID if isinstance(found, DeadReason) else set(found) == fields

    law()


@pytest.mark.parametrize("topic", COLUMNAR)
def test_bad_records_cost_their_neighbours_nothing(topic: str) -> None:
    codec = CODECS[topic]
    values = st.one_of(records(topic).map(codec.encode), spoiled(topic), st.none())

    @given(st.lists(values, max_size=12))
    def law(chunk: list[bytes | None]) -> None:
        batch, indexes, invalid = codec.decode_columns(chunk)
        assert sorted([*indexes, *(bad.index for bad in invalid)]) == list(range(len(chunk)))
        assert indexes == sorted(indexes)
        assert batch.num_rows == len(indexes)
        for row, index in enumerate(indexes):
            alone, (here,), _ = codec.decode_columns([chunk[index]])
            assert here == 0
            assert batch.slice(row, 1).equals(alone)
        for bad in invalid:
            alone, _, (same,) = codec.decode_columns([chunk[bad.index]])
            assert alone.num_rows == 0
            assert (same.reason, same.detail) == (bad.reason, bad.detail)
            assert bad.reason in INVALID

    law()


@pytest.mark.parametrize("topic", COLUMNAR)
def test_what_columns_accept_one_by_one_decoding_reads_as_the_same(topic: str) -> None:
    codec = CODECS[topic]

    @given(spoiled(topic))
    def law(value: bytes) -> None:
        batch, accepted, _ = codec.decode_columns([value])
        one = decoded(topic, value)
        if (
            accepted and one is not DeadReason.FIELD_INVALID
        ):  # no date for Python is a number for Arrow, as is an int of more bits
            assert [utc(row) for row in batch.to_pylist()] == [one]

    law()


def test_an_empty_chunk_has_the_columns_of_the_topic() -> None:
    batch, indexes, invalid = CODECS["sessions"].decode_columns([])
    assert (batch.schema, batch.num_rows) == (CODECS["sessions"].arrow_schema, 0)
    assert (indexes, invalid) == ([], [])
    assert isinstance(batch, pa.RecordBatch)
