"""The keys that most records come from: a summary of bounded size, after Misra and Gries. Pure.

A key is handled by one worker, one record after the other: one that has a large share of them is what more workers do
not help. Counting all keys would need memory for each. Of a chunk the most frequent ones are added to those known, and
then as much is taken off all counters as leaves only so many; so is what a chunk's other keys may have had.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

KEYS_MAX: Final = 100
RECORDS_MAX: Final = 1_000_000  # so many later, what was counted is worth half


class HotKey(NamedTuple):
    """A key, and its share of the last records."""

    key: bytes
    share: float


class HotKeys:
    """A key with more than one in `KEYS_MAX` of the last records is among them; its share is that much too low at most.

    The last records are about `RECORDS_MAX`: what is older counts less and less.
    """

    def __init__(self, keys_max: int = KEYS_MAX, records_max: int = RECORDS_MAX) -> None:
        self._keys_max = keys_max
        self._records_max = records_max
        self._counts: dict[bytes, int] = {}
        self._records = 0

    def note(self, keys: Sequence[bytes], counts: npt.NDArray[np.unsignedinteger]) -> None:
        """Add the distinct keys (n,) of a chunk, with the number of its records that each has (n,)."""
        self._records += int(counts.sum())
        above = self._cut(counts)
        for place in np.flatnonzero(counts > above).tolist():
            key = keys[place]
            self._counts[key] = self._counts.get(key, 0) + int(counts[place]) - above
        if len(self._counts) > self._keys_max:
            self._lower(self._cut(np.fromiter(self._counts.values(), dtype=np.uint64)))
        while self._records > self._records_max:
            self._records //= 2
            self._counts = {key: count // 2 for key, count in self._counts.items() if count > 1}

    def top(self, count: int) -> list[HotKey]:
        """So many keys at most, the hottest first."""
        hottest = sorted(self._counts.items(), key=lambda one: (-one[1], one[0]))[:count]
        return [HotKey(key, counted / self._records) for key, counted in hottest]

    def _cut(self, counts: npt.NDArray[np.unsignedinteger]) -> int:
        """The largest count that is one too many to keep; 0 when all may be kept."""
        surplus = len(counts) - self._keys_max
        return int(np.partition(counts, surplus - 1)[surplus - 1]) if surplus > 0 else 0

    def _lower(self, by: int) -> None:
        self._counts = {key: count - by for key, count in self._counts.items() if count > by}
