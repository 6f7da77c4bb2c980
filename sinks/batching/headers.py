"""The first bytes of many records at once: schema id, and for events where each stands in raw_events.

One record at a time in Python would cost more than receiving it: the headers are laid side by side and read by column.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas import varint
from schemas.codec import HEADER_BYTES
from sinks.batching.watermark import GENERATION_END, OFFSET_BITS, OFFSET_END, Sources

_LINEAGE_BYTES: Final = 3 * varint.BYTES_MAX
NO_SCHEMA: Final = -1


@dataclass(frozen=True, slots=True)
class Headers:
    """By record: its schema id, NO_SCHEMA without a header. For events: packed source, and whether it can be right."""

    schema_ids: npt.NDArray[np.int64]
    sources: Sources | None = None
    plausible: npt.NDArray[np.bool_] | None = None


def read_headers(values: Sequence[bytes]) -> Headers:
    """The schema ids of framed records."""
    return Headers(_schema_ids(_columns(values, HEADER_BYTES)))


def read_lineage(values: Sequence[bytes], partition: int) -> Headers:
    """Schema ids and sources; plausible: a source of this partition, within the bounds of offset and generation."""
    columns = _columns(values, HEADER_BYTES + _LINEAGE_BYTES)
    offsets, rest = _varint(columns[:, HEADER_BYTES:])
    partitions, rest = _varint(rest)
    generations, _ = _varint(rest)
    plausible = (
        (partitions == partition)
        & (offsets >= 0)
        & (offsets < OFFSET_END)
        & (generations >= 0)
        & (generations < GENERATION_END)
    )
    sources = np.where(plausible, generations << OFFSET_BITS | offsets, 0)
    return Headers(_schema_ids(columns), sources, plausible)


def _columns(values: Sequence[bytes], width: int) -> npt.NDArray[np.uint8]:
    """The first `width` bytes of each value as a row; a short value is filled up with 0xFF, which ends no varint."""
    joined = b"".join([value[:width] for value in values])
    if len(joined) != len(values) * width:
        joined = b"".join([value[:width].ljust(width, b"\xff") for value in values])
    return np.frombuffer(joined, np.uint8).reshape(-1, width)


def _schema_ids(columns: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    ids = np.ascontiguousarray(columns[:, 1:HEADER_BYTES]).view(">u4").ravel().astype(np.int64)
    return np.where(columns[:, 0] == 0, ids, NO_SCHEMA)


def _varint(columns: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """The zig-zag varint that each row begins with (-1 when it does not end), and the columns after it."""
    ends = columns[:, : varint.BYTES_MAX] < 0x80
    lengths: npt.NDArray[Any] = ends.argmax(axis=1) + 1
    longest = int(lengths.max(initial=1))
    folded = np.zeros(len(columns), np.uint64)
    for index in range(longest):
        bits = (columns[:, index] & 0x7F).astype(np.uint64) << np.uint64(7 * index)
        folded |= bits if index == 0 else np.where(index < lengths, bits, np.uint64(0))
    unfolded = (folded >> np.uint64(1)).astype(np.int64) ^ -(folded & np.uint64(1)).astype(np.int64)
    values = np.where(ends.any(axis=1), unfolded, -1)
    if lengths.min(initial=longest) == longest:  # the ordinary case: neighbours have equally long offsets
        return values, columns[:, longest:]
    width = columns.shape[1] - varint.BYTES_MAX
    positions = lengths[:, None] + np.arange(width)
    return values, np.take_along_axis(columns, positions, axis=1)
