"""Frames → records of enriched_events and identity_claims: a column at a time, into Avro. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl
import pyarrow as pa

from schemas.column_codec import ColumnCodec
from streams.runtime.operator import OUTPUT_BYTES_MAX, BadRecordsError, Outgoing, too_large

_OLDEST: Final = pl.CompatLevel.oldest()


def encode_enriched(frame: pl.DataFrame, codec: ColumnCodec, generation: int, now_ms: int) -> Iterable[Outgoing]:
    """Enriched events: each in the partition number of its raw event. `now_ms` becomes processed_at.

    Raises BadRecordsError for those that no message could hold; the column `index` names their records.
    """
    processed_at = _constant("processed_at", now_ms, pl.Int64, len(frame)).cast(pl.Datetime("ms"))
    frame = frame.hstack([_constant("source_generation", generation, pl.Int32, len(frame)), processed_at])
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
    frame = frame.hstack([_constant("source_generation", generation, pl.Int32, len(frame))])
    values = codec.encode_columns(to_arrow(frame, codec.arrow_schema))
    keys = frame["key"].to_list()
    _refuse_too_large(frame["index"], [key.encode() for key in keys], values, "identity claim")
    return ({"value": value, "key": key} for value, key in zip(values, keys, strict=True))


def _constant(name: str, value: int, dtype: type[pl.DataType], count: int) -> pl.Series:
    return pl.Series(name, [value], dtype=dtype).new_from_index(0, count)


def _refuse_too_large(indexes: pl.Series, keys: Sequence[bytes], values: Sequence[bytes], what: str) -> None:
    # What comes of a collector's events has half of this: one look at all of them is enough.
    if max(map(len, values)) + max(map(len, keys)) <= OUTPUT_BYTES_MAX:
        return
    sizes = [len(key) + len(value) for key, value in zip(keys, values, strict=True)]
    bad = [too_large(index, size, what) for index, size in zip(indexes, sizes, strict=True) if size > OUTPUT_BYTES_MAX]
    if bad:
        raise BadRecordsError(bad)


def to_arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    """The frame's columns that the schema names, in its order and types. Raises ValueError for a null without a place.

    A column at a time: the query engine and a table's `cast` cost a small chunk more than the copying.
    """
    columns = []
    for field in schema:
        column = frame[field.name].to_arrow(compat_level=_OLDEST)
        if column.null_count and not field.nullable:
            raise ValueError(f"{field.name} may not be null")
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)
