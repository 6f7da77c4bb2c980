"""The object container is what fastavro reads and would have been given one by one."""

import io
import json

import fastavro
from hypothesis import given
from hypothesis import strategies as st

from schemas.registry import current_schema, without_docs
from sinks.clickhouse.avro_container import container
from tests.sinks.records import codec, event, framed

SCHEMA = json.dumps(without_docs(current_schema("enriched_events"))).encode()


@given(st.lists(st.integers(0, 5_000), max_size=20))
def test_a_reader_finds_the_records_that_went_in(offsets: list[int]) -> None:
    data = b"".join(container(SCHEMA, [framed(offset) for offset in offsets]))
    assert list(fastavro.reader(io.BytesIO(data))) == [event(offset) for offset in offsets]


def test_the_same_records_make_the_same_bytes() -> None:
    values = [framed(1), framed(2)]
    assert container(SCHEMA, values) == container(SCHEMA, list(values))


def test_a_container_holds_one_block() -> None:
    blocks = list(fastavro.block_reader(io.BytesIO(b"".join(container(SCHEMA, [framed(n) for n in range(500)])))))
    assert [block.num_records for block in blocks] == [500]


def test_a_schema_id_is_no_part_of_the_body() -> None:
    value = framed(9)
    assert container(SCHEMA, [value])[1] == value[len(codec("enriched_events").header) :]
