"""UUIDs made of names, and 64-bit hashes of UUID texts, a whole column at once. Pure.

Hashes are kept in state for a week and compared with later ones, so the function must be the same in every version
and on every machine; polars' and Python's own hashes promise neither.
"""

import hashlib
import uuid
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

_NAMESPACE: Final = uuid.UUID("6e3c6f6a-70d3-5a3c-9d26-7461696c7921").bytes
_UUID_BYTES: Final = 36
_WORDS: Final = 5  # 36 bytes and 4 of padding
# Odd constants of SplitMix64 and xxHash64 (public domain and BSD), one for each word.
_FACTORS: Final = np.array(
    [0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9],
    dtype=np.uint64,
)

# Of each byte: 1 for a lower-case hexadecimal digit, 2 for a dash, 0 for all else; and what stands where in a UUID.
_CLASS_OF: Final = np.array([1 if char in b"0123456789abcdef" else 2 * (char == ord("-")) for char in range(256)], "u1")
_CLASSES: Final = _CLASS_OF[np.frombuffer(str(uuid.UUID(int=0)).encode(), dtype=np.uint8)]


def hash_uuids(texts: pl.Series) -> npt.NDArray[np.uint64]:
    """Hash a column of 36-character texts: (n,) str → (n,) uint64. Raises ValueError for other lengths or nulls."""
    chars = _chars(texts)
    if chars is None:
        raise ValueError("every text must be a UUID of 36 characters")
    padded = np.zeros((len(texts), _WORDS * 8), dtype=np.uint8)
    padded[:, :_UUID_BYTES] = chars
    words = padded.view("<u8")
    mixed = words * _FACTORS
    mixed ^= mixed >> np.uint64(29)
    hashes = mixed[:, 0].copy()
    for column in range(1, _WORDS):
        hashes = (hashes ^ mixed[:, column]) * _FACTORS[column]
        hashes ^= hashes >> np.uint64(32)
    return hashes


def are_uuids(texts: pl.Series) -> bool:
    """Whether all are canonical UUIDs (`schemas.message_ids.CANONICAL_UUID`)."""
    chars = _chars(texts)
    return chars is not None and bool((_CLASS_OF.take(chars) == _CLASSES).all())


def _chars(texts: pl.Series) -> npt.NDArray[np.uint8] | None:
    """The bytes of texts: (n,) str → (n, 36); None when one has not 36 of them."""
    if not len(texts):
        return np.empty((0, _UUID_BYTES), dtype=np.uint8)
    arrow = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = arrow.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[arrow.offset : arrow.offset + len(texts) + 1]
    if arrow.null_count or data is None or (np.diff(ends) != _UUID_BYTES).any():
        return None
    return np.frombuffer(data, dtype=np.uint8)[ends[0] : ends[-1]].reshape(-1, _UUID_BYTES)


def named_uuid(name: str) -> str:
    """UUIDv5 text of a name in Tally's namespace."""
    digest = hashlib.sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest()[:16]
    return str(uuid.UUID(bytes=digest, version=5))
