"""Avro's longs are written and read alike by hand, by column, in the database, and by fastavro."""

import io
import random
import uuid
from datetime import UTC, datetime
from typing import Final

import fastavro
import numpy as np
import pytest
from clickhouse_driver import Client
from hypothesis import given
from hypothesis import strategies as st

from collector.kafka.encode import _millis
from docker.local.clickhouse import ClickHouseServer
from schemas import varint
from schemas.apply.tables import statement
from sinks.batching.headers import _varint

LONG: Final = fastavro.parse_schema("long")
# Each of its own length, on both sides of where the length changes.
EDGES: Final = sorted(
    {sign * (1 << bits) + near for bits in range(6, 63, 7) for sign in (1, -1) for near in (-1, 0, 1)}
    | {0, 1, -1, (1 << 63) - 1, -(1 << 63)}
)

longs = st.sampled_from(EDGES) | st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(1_500_000_000_000, 2**42)


def of_fastavro(number: int) -> bytes:
    file = io.BytesIO()
    fastavro.schemaless_writer(file, LONG, number)
    return file.getvalue()


@given(longs)
def test_a_long_is_written_as_fastavro_writes_it(number: int) -> None:
    written = of_fastavro(number)
    assert varint.encode(number) == _millis(number) == written
    assert len(written) <= varint.BYTES_MAX


@given(st.binary(max_size=4), longs, st.binary(max_size=4))
def test_a_long_is_read_where_it_stands(before: bytes, number: int, after: bytes) -> None:
    written = of_fastavro(number)
    assert varint.decode(before + written + after, len(before)) == (number, len(before + written))


@given(longs)
def test_a_long_without_its_last_byte_is_none(number: int) -> None:
    with pytest.raises(IndexError):
        varint.decode(varint.encode(number)[:-1])


@given(st.lists(st.tuples(longs, st.binary(min_size=2, max_size=2)), min_size=1))
def test_a_column_of_longs_is_read_as_one_after_another(pairs: list[tuple[int, bytes]]) -> None:
    width = varint.BYTES_MAX + 2
    rows = [(varint.encode(number) + rest).ljust(width, b"\xff") for number, rest in pairs]
    numbers, others = _varint(np.frombuffer(b"".join(rows), np.uint8).reshape(-1, width))
    assert numbers.tolist() == [number for number, _ in pairs]
    assert [bytes(row[:2]) for row in others] == [rest for _, rest in pairs]


def test_the_database_reads_the_lineage_of_a_dead_letter(
    clickhouse_server: ClickHouseServer, clickhouse_database: str
) -> None:
    chance = random.Random(7)
    sources = [(number, 5, chance.choice(EDGES)) for number in EDGES]
    sources += [(chance.getrandbits(chance.randrange(1, 63)), chance.randrange(8), 3) for _ in range(300)]
    payloads = [b"\0\0\0\0\3" + b"".join(map(varint.encode, source)) + b"\1\2" for source in sources]
    client = Client(clickhouse_server.host, clickhouse_server.tcp_port, database=clickhouse_database)
    now = datetime.now(UTC)  # rows without a time are of 1970, and leave at the first merge
    try:
        client.execute(statement("dead_letters"))
        client.execute(
            "INSERT INTO dead_letters (dead_letter_id, first_seen_at, stage, payload, source_partition, source_offset) "
            "VALUES",
            [(uuid.UUID(int=at), now, b"sinks", payload, 5, at) for at, payload in enumerate(payloads)],
            settings={"strings_as_bytes": True},
        )
        read = client.execute("SELECT lineage, raw_offset FROM dead_letters ORDER BY source_offset")
    finally:
        client.disconnect()
    folded = [[number << 1 ^ number >> 63 for number in source] for source in sources]
    offsets = [offset if offset >= 0 and partition == 5 else -1 for offset, partition, _ in sources]
    assert read == list(zip(folded, offsets, strict=True))
