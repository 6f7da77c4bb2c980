"""Drop what was seen before: replays of this worker (by offset) and repeats of clients (by message id). Pure.

The loop runs over the distinct keys of a chunk; what is per event is columnar. In a chunk of busy traffic nearly every
event has a key of its own, so the body of that loop is the hot path of the whole worker.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from streams.sessions.state import SEEN_BYTES, SessionState, StateOf
from streams.uuids import hash_uuids

_HASH_BYTES: Final = 8
# From here on building a set costs less than searching: one hot key may be half of a chunk.
_SET_ROWS_MIN: Final = 16
_SET_BYTES_MIN: Final = 4096


@dataclass(frozen=True, slots=True)
class DedupRules:
    """window_s: how long an id is remembered at least; seen_ids_max: how many a key, newest kept."""

    window_s: int
    seen_ids_max: int


@dataclass(frozen=True, slots=True)
class Deduplicated:
    """The rows that stay, with `hash` and `state_index` added, and how many were dropped, by reason.

    keys, states: the distinct keys of each partition and their states; `state_index` is a row's place in them. counts:
    how many rows each had before any was dropped.
    forgotten: ids within the window that were dropped, of keys that had too many.
    """

    frame: pl.DataFrame
    keys: list[bytes]
    states: list[SessionState]
    counts: npt.NDArray[np.uint32]
    duplicates: int = 0
    replayed: int = 0
    forgotten: int = 0


def deduplicate(frame: pl.DataFrame, state_of: StateOf, rules: DedupRules) -> Deduplicated:
    """Keep the first of each (key, message_id) not seen within the window; raise each state's applied offset.

    `state_of(partition, key)` gives the state to be changed. A row at or below the applied offset of its state is a
    replay: its outputs are durable, since outputs are made durable before states.
    """
    hashes = hash_uuids(frame["message_id"])
    received_ms = frame["received_at"].cast(pl.Int64).to_numpy()
    partitions = frame["source_partition"].to_numpy()
    place_of_row, counts = _by_key(frame["key"], partitions)
    order = np.argsort(place_of_row, kind="stable")  # the rows key by key, in the frame's order within each
    ends = np.cumsum(counts)
    firsts = order[ends - counts]
    keys = frame["key"][pl.Series(firsts.astype(np.uint32))].to_list()
    states = list(map(state_of, partitions[firsts].tolist(), keys))
    rows, offsets = order.tolist(), frame["source_offset"].to_numpy()[order].tolist()
    newest = np.maximum.reduceat(received_ms[order], ends - counts)
    entries = _entries(hashes, received_ms)
    first_ms = received_ms[firsts].tolist()
    duplicates: list[int] = []
    replayed: list[int] = []
    horizon_bytes = rules.seen_ids_max * SEEN_BYTES
    end = forgotten = 0
    of_keys = zip(states, counts.tolist(), newest.tolist(), first_ms, strict=True)
    for state, count, newest_ms, received_first_ms in of_keys:
        start, end = end, end + count
        if offsets[end - 1] <= state.applied:
            replayed += rows[start:end]
            continue
        seen = state.seen
        if count == 1:
            entry = entries[rows[start]]
            if entry[:_HASH_BYTES] in seen:
                duplicates.append(rows[start])
            else:
                state.seen = seen = seen + entry
        else:
            _several(state, rows[start:end], offsets[start:end], entries, duplicates, replayed)
            seen = state.seen
        state.applied = offsets[end - 1]
        if newest_ms > state.active_ms:
            if not state.active_ms:
                state.born_ms = received_first_ms
            state.active_ms = newest_ms
        oldest_s = state.active_ms // 1000 - rules.window_s
        if len(seen) > horizon_bytes or int.from_bytes(seen[_HASH_BYTES:SEEN_BYTES]) < oldest_s:
            forgotten += _too_many(seen, oldest_s, horizon_bytes)
            state.seen = _forget(seen, oldest_s, horizon_bytes)
    frame = frame.hstack([pl.Series("hash", hashes), pl.Series("state_index", place_of_row.astype(np.uint32))])
    if duplicates or replayed:
        keep = np.ones(len(frame), dtype=bool)
        keep[duplicates + replayed] = False
        frame = frame[pl.Series(np.flatnonzero(keep).astype(np.uint32))]
    return Deduplicated(frame, keys, states, counts.astype(np.uint32), len(duplicates), len(replayed), forgotten)


def _by_key(
    keys: pl.Series, partitions: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """The number of each row's key (n,), in order of first appearance, and how many rows each has (k,)."""
    place_of_row = _numbered(keys.to_arrow(compat_level=pl.CompatLevel.oldest()))
    partition_of = np.zeros(len(place_of_row), dtype=np.int64)
    partition_of[place_of_row] = partitions
    if (partition_of[place_of_row] != partitions).any():
        # One key in two partitions: a producer with another partitioner.
        place_of_row = _numbered(pa.array(place_of_row.astype(np.int64) << 32 | partitions))
    return place_of_row, np.bincount(place_of_row)


def _numbered(values: pa.Array) -> npt.NDArray[np.int32]:
    numbers: npt.NDArray[np.int32] = values.dictionary_encode().indices.to_numpy()
    return numbers


def _several(
    state: SessionState,
    rows: list[int],
    offsets: list[int],
    entries: list[bytes],
    duplicates: list[int],
    replayed: list[int],
) -> None:
    """The rows of one key, which may repeat each other."""
    known = _known(state.seen, len(rows))
    fresh: dict[bytes, bytes] = {}
    for row, offset in zip(rows, offsets, strict=True):
        entry = entries[row]
        identity = entry[:_HASH_BYTES]
        if offset <= state.applied:
            replayed.append(row)
        elif identity in known or identity in fresh:
            duplicates.append(row)
        else:
            fresh[identity] = entry
    state.seen += b"".join(fresh.values())


def _known(seen: bytes, rows: int) -> bytes | set[bytes]:
    """Something that answers `hash in …`: the bytes themselves, or a set where many rows would search long bytes.

    A match of 8 bytes across two entries is no likelier than a collision of hashes.
    """
    if rows < _SET_ROWS_MIN or len(seen) < _SET_BYTES_MIN:
        return seen
    return {seen[start : start + _HASH_BYTES] for start in range(0, len(seen), SEEN_BYTES)}


def _entries(hashes: npt.NDArray[np.uint64], received_ms: npt.NDArray[np.int64]) -> list[bytes]:
    """`SEEN_BYTES` for each row: the hash, then received_at in seconds."""
    packed = np.empty(len(hashes), dtype=[("hash", "<u8"), ("seconds", ">u4")])
    packed["hash"] = hashes
    packed["seconds"] = received_ms // 1000
    listed: list[bytes] = packed.view(f"V{SEEN_BYTES}").tolist()
    return listed


def _too_many(seen: bytes, oldest_s: int, bytes_max: int) -> int:
    """How many entries not older than `oldest_s` are above the maximum."""
    above = range(0, len(seen) - bytes_max, SEEN_BYTES)
    return sum(int.from_bytes(seen[start + _HASH_BYTES : start + SEEN_BYTES]) >= oldest_s for start in above)


def _forget(seen: bytes, oldest_s: int, bytes_max: int) -> bytes:
    """Drop entries from before `oldest_s`, and the oldest above the maximum."""
    start = max(0, len(seen) - bytes_max)
    while start < len(seen) and int.from_bytes(seen[start + _HASH_BYTES : start + SEEN_BYTES]) < oldest_s:
        start += SEEN_BYTES
    return seen[start:] if start else seen
