"""Frames → records of enriched_events and identity_claims: a column at a time, into Avro. Pure."""

from collections.abc import Iterable, Sequence

import polars as pl
import pyarrow as pa

from schemas.column_codec import ColumnCodec
from streams.runtime.operator import OUTPUT_BYTES_MAX, BadRecordsError, Outgoing, too_large


def encode_enriched(frame: pl.DataFrame, codec: ColumnCodec, generation: int, now_ms: int) -> Iterable[Outgoing]:
    """Enriched events: each in the partition number of its raw event. `now_ms` becomes processed_at.

    Raises BadRecordsError for those that no message could hold; the column `index` names their records.
    """
    frame = frame.with_columns(
        source_generation=pl.lit(generation, dtype=pl.Int32),
        processed_at=pl.lit(now_ms, dtype=pl.Int64).cast(pl.Datetime("ms")),
    )
    values = codec.encode_columns(to_arrow(frame, codec.arrow_schema))
    partitions, keys = frame["source_partition"].to_list(), frame["key"].to_list()
    _refuse_too_large(frame["index"], keys, values, "enriched event")
    return (
        {"value": value, "key": key, "partition": partition}
        for value, key, partition in zip(values, keys, partitions, strict=True)
    )


def encode_claims(frame: pl.DataFrame, codec: ColumnCodec, generation: int) -> Iterable[Outgoing]:
    """Identity claims, each under the key it names. Raises BadRecordsError as `encode_enriched` does."""
    if frame.is_empty():
        return ()
    frame = frame.with_columns(source_generation=pl.lit(generation, dtype=pl.Int32))
    values = codec.encode_columns(to_arrow(frame, codec.arrow_schema))
    keys = frame["key"].to_list()
    _refuse_too_large(frame["index"], [key.encode() for key in keys], values, "identity claim")
    return ({"value": value, "key": key} for value, key in zip(values, keys, strict=True))


def _refuse_too_large(indexes: pl.Series, keys: Sequence[bytes], values: Sequence[bytes], what: str) -> None:
    # What comes of a collector's events has half of this: one look at all of them is enough.
    if max(map(len, values)) + max(map(len, keys)) <= OUTPUT_BYTES_MAX:
        return
    sizes = [len(key) + len(value) for key, value in zip(keys, values, strict=True)]
    bad = [too_large(index, size, what) for index, size in zip(indexes, sizes, strict=True) if size > OUTPUT_BYTES_MAX]
    if bad:
        raise BadRecordsError(bad)


def to_arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    """The frame's columns that the schema names, in its order and types."""
    table = frame.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema)
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema)
