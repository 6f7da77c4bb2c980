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


def hash_uuids(texts: pl.Series) -> npt.NDArray[np.uint64]:
    """Hash a column of 36-character texts: (n,) str → (n,) uint64. Raises ValueError for other lengths or nulls."""
    joined = "".join(texts.to_list()).encode()
    if len(joined) != _UUID_BYTES * len(texts):
        raise ValueError("every text must be a UUID of 36 characters")
    padded = np.zeros((len(texts), _WORDS * 8), dtype=np.uint8)
    padded[:, :_UUID_BYTES] = np.frombuffer(joined, dtype=np.uint8).reshape(-1, _UUID_BYTES)
    words = padded.view("<u8")
    mixed = words * _FACTORS
    mixed ^= mixed >> np.uint64(29)
    hashes = mixed[:, 0].copy()
    for column in range(1, _WORDS):
        hashes = (hashes ^ mixed[:, column]) * _FACTORS[column]
        hashes ^= hashes >> np.uint64(32)
    return hashes


def named_uuid(name: str) -> str:
    """UUIDv5 text of a name in Tally's namespace."""
    digest = hashlib.sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest()[:16]
    return str(uuid.UUID(bytes=digest, version=5))
