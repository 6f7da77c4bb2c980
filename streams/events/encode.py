"""Frames → records of enriched_events and identity_claims: a column at a time, into Avro. Pure."""

from collections.abc import Iterable

import polars as pl
import pyarrow as pa

from schemas.column_codec import ColumnCodec
from streams.runtime.operator import Outgoing


def encode_enriched(frame: pl.DataFrame, codec: ColumnCodec, generation: int, now_ms: int) -> Iterable[Outgoing]:
    """Enriched events: each in the partition number of its raw event. `now_ms` becomes processed_at."""
    frame = frame.with_columns(
        source_generation=pl.lit(generation, dtype=pl.Int32),
        processed_at=pl.lit(now_ms, dtype=pl.Int64).cast(pl.Datetime("ms")),
    )
    values = codec.encode_columns(to_arrow(frame, codec.arrow_schema))
    partitions, keys = frame["source_partition"].to_list(), frame["key"].to_list()
    return (
        {"value": value, "key": key, "partition": partition}
        for value, key, partition in zip(values, keys, partitions, strict=True)
    )


def encode_claims(frame: pl.DataFrame, codec: ColumnCodec, generation: int) -> Iterable[Outgoing]:
    """Identity claims, each under the key it names."""
    if frame.is_empty():
        return ()
    frame = frame.with_columns(source_generation=pl.lit(generation, dtype=pl.Int32))
    values = codec.encode_columns(to_arrow(frame, codec.arrow_schema))
    return ({"value": value, "key": key} for value, key in zip(values, frame["key"].to_list(), strict=True))


def to_arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    """The frame's columns that the schema names, in its order and types."""
    table = frame.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema)
