"""Heads read by column equal heads read one record at a time."""

import io
import struct

import fastavro
from hypothesis import given
from hypothesis import strategies as st

from sinks import watermark
from sinks.heads import NO_SCHEMA, read_heads, read_lineage
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
    heads = read_lineage([record(*source) for source in sources], partition)
    assert heads.schema_ids.tolist() == [source[0] for source in sources]
    assert heads.plausible is not None
    assert heads.sources is not None
    expected = [
        (where == partition and 0 <= offset < watermark.OFFSET_END and 0 <= generation < watermark.GENERATION_END)
        for _, offset, where, generation in sources
    ]
    assert heads.plausible.tolist() == expected
    found = heads.sources[heads.plausible].tolist()
    assert found == [
        watermark.pack(generation, offset)
        for (_, offset, _, generation), right in zip(sources, expected, strict=True)
        if right
    ]


@given(st.lists(st.binary(max_size=60), min_size=1))
def test_any_bytes_are_read_without_an_error(values: list[bytes]) -> None:
    heads = read_lineage(values, 0)
    ids = read_heads(values).schema_ids.tolist()
    assert ids == heads.schema_ids.tolist()
    assert ids == [
        struct.unpack(">I", value[1:5].ljust(4, b"\xff"))[0] if value[:1] == b"\x00" else NO_SCHEMA for value in values
    ]


def test_a_record_cut_within_its_first_fields_is_not_plausible() -> None:
    whole = record(3, 1 << 40, 1 << 20, 1 << 10)
    for length in range(5, len(whole)):
        heads = read_lineage([whole[:length], whole], 1 << 20)
        assert heads.plausible is not None
        assert heads.plausible.tolist() == [False, True]


def test_reads_records_as_the_codec_writes_them() -> None:
    heads = read_lineage([framed(77, 5, 2), framed(300_000, 5, 2)], 5)
    assert heads.sources is not None
    assert heads.sources.tolist() == [watermark.pack(2, 77), watermark.pack(2, 300_000)]
    assert set(heads.schema_ids.tolist()) == {codec("enriched_events").schema_id}
