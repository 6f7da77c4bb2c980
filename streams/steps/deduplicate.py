"""Drop what was seen before: replays of this worker (by offset) and repeats of clients (by message id). Pure.

The loop runs over the distinct keys of a chunk; what is per event is columnar.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.hashes import hash_uuids
from streams.state import SEEN_BYTES, SessionState

_HASH_BYTES: Final = 8
# From here on building a set costs less than searching: one hot key may be half of a chunk.
_SET_ROWS_MIN: Final = 16
_SET_BYTES_MIN: Final = 4096


@dataclass(frozen=True, slots=True)
class DedupRules:
    """window_s: how long an id is remembered; seen_ids_max: how many a key, newest kept."""

    window_s: int
    seen_ids_max: int


@dataclass(frozen=True, slots=True)
class Deduplicated:
    """The rows that stay (with `hash` added), and how many were dropped, by reason."""

    frame: pl.DataFrame
    duplicates: int
    replayed: int


StateOf = Callable[[int, bytes], SessionState]


def deduplicate(frame: pl.DataFrame, state_of: StateOf, rules: DedupRules) -> Deduplicated:
    """Keep the first of each (key, message_id) not seen within the window; raise each state's applied offset.

    `state_of(partition, key)` gives the state to be changed. A row at or below the applied offset of its state is a
    replay: its outputs are durable, since outputs are made durable before states.
    """
    if frame.is_empty():
        return Deduplicated(frame.with_columns(pl.lit(0, dtype=pl.UInt64).alias("hash")), 0, 0)
    hashes = hash_uuids(frame["message_id"])
    frame = frame.with_columns(pl.Series("hash", hashes), pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))
    groups = frame.group_by("key", maintain_order=True).agg(
        pl.col("source_partition").first(),
        pl.col("row"),
        pl.col("source_offset"),
        (pl.col("received_at").cast(pl.Int64).max()).alias("received_ms"),
    )
    entries = _entries(hashes, frame["received_at"].cast(pl.Int64).to_numpy())
    keep = np.ones(len(frame), dtype=bool)
    duplicates = replayed = 0
    for key, partition, rows, offsets, received_ms in zip(
        *(groups[name].to_list() for name in groups.columns), strict=True
    ):
        state = state_of(partition, key)
        known = _known(state.seen, len(rows))
        fresh: dict[bytes, bytes] = {}
        for row, offset in zip(rows, offsets, strict=True):
            entry = entries[row * SEEN_BYTES : (row + 1) * SEEN_BYTES]
            identity = entry[:_HASH_BYTES]
            if offset <= state.applied:
                keep[row] = False
                replayed += 1
            elif identity in known or identity in fresh:
                keep[row] = False
                duplicates += 1
            else:
                fresh[identity] = entry
        state.seen += b"".join(fresh.values())
        if offsets[-1] > state.applied:
            state.applied = offsets[-1]
            if received_ms > state.touched_ms:
                state.touched_ms = received_ms
            state.seen = _forget(state.seen, state.touched_ms // 1000, rules)
    if duplicates or replayed:
        frame = frame.filter(pl.Series(keep))
    return Deduplicated(frame.drop("row"), duplicates, replayed)


def _known(seen: bytes, rows: int) -> bytes | set[bytes]:
    """Something that answers `hash in …`: the bytes themselves, or a set where many rows would search long bytes.

    A match of 8 bytes across two entries is no likelier than a collision of hashes.
    """
    if rows < _SET_ROWS_MIN or len(seen) < _SET_BYTES_MIN:
        return seen
    return {seen[start : start + _HASH_BYTES] for start in range(0, len(seen), SEEN_BYTES)}


def _entries(hashes: npt.NDArray[np.uint64], received_ms: npt.NDArray[np.int64]) -> bytes:
    """`SEEN_BYTES` for each row: the hash, then received_at in seconds."""
    packed = np.empty(len(hashes), dtype=[("hash", "<u8"), ("seconds", ">u4")])
    packed["hash"] = hashes
    packed["seconds"] = received_ms // 1000
    return packed.tobytes()


def _forget(seen: bytes, now_s: int, rules: DedupRules) -> bytes:
    """Drop entries older than the window, and the oldest above the maximum."""
    start = max(0, len(seen) - rules.seen_ids_max * SEEN_BYTES)
    while start < len(seen):
        seconds = int.from_bytes(seen[start + _HASH_BYTES : start + SEEN_BYTES])
        if now_s - seconds <= rules.window_s:
            break
        start += SEEN_BYTES
    return seen[start:] if start else seen
