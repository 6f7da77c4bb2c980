"""Headers read by column equal headers read one record at a time."""

import io
import struct

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.batching.headers import NO_SCHEMA, read_headers, read_lineage
from tests.sinks.records import codec, framed

LINEAGE = fastavro.parse_schema(
    {
        "type": "record",
        "name": "Lineage",
        "fields": [{"name": name, "type": "long"} for name in ("offset", "partition", "generation")],
    }
)
longs = st.integers(-(1 << 63), (1 << 63) - 1)
offsets = st.one_of(st.integers(0, 1 << 20), longs)
partitions = st.one_of(st.integers(0, 200), longs)
generations = st.one_of(st.integers(0, 300), longs)


def record(schema_id: int, offset: int, partition: int, generation: int) -> bytes:
    out = io.BytesIO()
    fields = {"offset": offset, "partition": partition, "generation": generation}
    fastavro.schemaless_writer(out, LINEAGE, fields)
    return struct.pack(">bI", 0, schema_id) + out.getvalue()


@given(st.lists(st.tuples(st.integers(0, (1 << 32) - 1), offsets, partitions, generations), min_size=1))
def test_reads_the_three_first_fields_of_every_record(sources: list[tuple[int, int, int, int]]) -> None:
    partition = sources[0][2]
    headers = read_lineage([record(*source) for source in sources], partition)
    assert headers.schema_ids.tolist() == [source[0] for source in sources]
    assert headers.plausible is not None
    assert headers.sources is not None
    expected = [
        where == partition and 0 <= offset < 281_474_976_710_656 and 0 <= generation < 32_768
        for _, offset, where, generation in sources
    ]
    assert headers.plausible.tolist() == expected
    found = headers.sources[headers.plausible].tolist()
    assert found == [
        generation * 281_474_976_710_656 + offset
        for (_, offset, _, generation), right in zip(sources, expected, strict=True)
        if right
    ]


@pytest.mark.parametrize(
    ("value", "source"),
    [
        # schema 3; offset, partition, generation as zig-zag varints
        (b"\x00\x00\x00\x00\x03" + b"\x00" + b"\x0a" + b"\x00", 0),
        (b"\x00\x00\x00\x00\x03" + b"\x9a\x01" + b"\x0a" + b"\x04", 562_949_953_421_389),  # 77 in generation 2
        (b"\x00\x00\x00\x00\x03" + b"\xfe\xff\xff\xff\xff\xff\x7f" + b"\x0a" + b"\xfe\xff\x03", 2**63 - 1),
        (b"\x00\x00\x00\x00\x03" + b"\x80\x80\x80\x80\x80\x80\x80\x01" + b"\x0a" + b"\x00", None),  # offset 2^48
        (b"\x00\x00\x00\x00\x03" + b"\x00" + b"\x0a" + b"\x80\x80\x04", None),  # generation 2^15
        (b"\x00\x00\x00\x00\x03" + b"\x01" + b"\x0a" + b"\x00", None),  # offset -1
        (b"\x00\x00\x00\x00\x03" + b"\x00" + b"\x0c" + b"\x00", None),  # partition 6
    ],
)
def test_a_source_is_the_generation_times_2_to_the_48th_and_the_offset(value: bytes, source: int | None) -> None:
    headers = read_lineage([value], 5)
    assert headers.plausible is not None
    assert headers.sources is not None
    assert headers.sources[headers.plausible].tolist() == ([] if source is None else [source])


@given(st.lists(st.binary(max_size=60), min_size=1))
def test_any_bytes_are_read_without_an_error(values: list[bytes]) -> None:
    headers = read_lineage(values, 0)
    ids = read_headers(values).schema_ids.tolist()
    assert ids == headers.schema_ids.tolist()
    assert ids == [
        struct.unpack(">I", value[1:5].ljust(4, b"\xff"))[0] if value[:1] == b"\x00" else NO_SCHEMA for value in values
    ]


def test_a_record_cut_within_its_first_fields_is_not_plausible() -> None:
    whole = record(3, 1 << 40, 1 << 20, 1 << 10)
    for length in range(5, len(whole)):
        headers = read_lineage([whole[:length], whole], 1 << 20)
        assert headers.plausible is not None
        assert headers.plausible.tolist() == [False, True]


def test_reads_records_as_the_codec_writes_them() -> None:
    headers = read_lineage([framed(77, 5, 2), framed(300_000, 5, 2)], 5)
    assert headers.sources is not None
    assert headers.sources.tolist() == [562_949_953_421_389, 562_949_953_721_312]
    assert set(headers.schema_ids.tolist()) == {codec("enriched_events").schema_id}
