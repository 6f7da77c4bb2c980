"""The few records that are decoded: those whose version decides, and one a batch for its latency."""

from collections.abc import Callable, Sequence
from datetime import datetime

import pyarrow as pa

from schemas.codec import Codec, RecordInvalidError
from schemas.column_codec import ColumnCodec
from schemas.registry import RegistryUnavailableError


def version_reader(codec: ColumnCodec, field: str | None) -> Callable[[Sequence[bytes]], list[int | None]]:
    """Reads the field of framed records as an integer; None for a record that cannot be decoded."""

    def versions(values: Sequence[bytes]) -> list[int | None]:
        batch, indexes, _ = codec.decode_columns(values)
        found: list[int | None] = [None] * len(values)
        column = batch.column(batch.schema.get_field_index(field)).cast(pa.int64())
        for index, version in zip(indexes, column.to_pylist(), strict=True):
            found[index] = version
        return found

    return versions


def time_reader(codec: Codec, field: str | None) -> Callable[[bytes], float | None]:
    """Reads the time of a framed record in seconds since 1970; None when there is none."""

    def since(value: bytes) -> float | None:
        if field is None:
            return None
        try:
            moment: datetime = codec.decode(value)[field]
        except (RecordInvalidError, RegistryUnavailableError):
            return None
        return moment.timestamp()

    return since
