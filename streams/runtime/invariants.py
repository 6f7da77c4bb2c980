"""What must hold in every chunk and epoch, looked at while they run. Pure.

    contiguous   the records of an epoch go on, in each partition, where those of the one before ended; none is missing
    in order     of each partition, the enriched events leave in the order of their offsets, so those of each key do
    not ahead    no state has records of which the outputs are not durable

All three follow from how chunks, steps and epochs are made; tests say so of what they try, and this of what happens.
Nothing here is asked of a single event: a chunk is two columns, a table's states are one.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import numpy as np

from streams.runtime.operator import Integers

Place = tuple[str, int]  # a source, by the broker's name, and a partition
_NOTHING: Final = -1


class Invariant(StrEnum):
    """The label of `tally_streams_invariants_broken_total`."""

    CONTIGUOUS = "contiguous"
    IN_ORDER = "in_order"
    NOT_AHEAD = "not_ahead"


class BrokenInvariantError(RuntimeError):
    """Going on would lose records, or states would say what is not so. Nothing of the epoch may be committed."""

    def __init__(self, invariant: Invariant, detail: str) -> None:
        self.invariant = invariant
        super().__init__(f"{invariant}: {detail}")


class Invariants:
    """Of one generation of the group: how far each partition was read, left and is durable. Offsets, exclusive."""

    def __init__(self) -> None:
        self._taken: dict[Place, int] = {}
        self._left: dict[Place, int] = {}
        self._durable: dict[Place, int] = {}

    def take(self, place: Place, start: int, end: int, committed: int) -> None:
        """Records from start to before end, which are processed. What was read again is no gap."""
        due = self._taken.get(place, committed)
        if start > due:
            raise BrokenInvariantError(Invariant.CONTIGUOUS, f"{place}: {start} follows {due}")
        self._taken[place] = max(due, end)

    def leave(self, topic: str, partitions: Integers, offsets: Integers) -> None:
        """Enriched events of these records are published, in this order."""
        for partition in np.unique(partitions).tolist():
            mine = offsets[partitions == partition]
            last = self._left.get((topic, partition), _NOTHING)
            if mine[0] <= last or (mine[1:] <= mine[:-1]).any():
                raise BrokenInvariantError(Invariant.IN_ORDER, f"{topic}/{partition}: after {last} come {mine[:20]}")
            self._left[topic, partition] = int(mine[-1])

    def repeat(self, topic: str) -> None:
        """What comes now of a topic may have left before: an epoch is processed again, without its bad records."""
        self._left = {place: last for place, last in self._left.items() if place[0] != topic}

    def outputs_durable(self, queued: int) -> None:
        """All that was taken is durable, but for what is queued still."""
        if queued:
            raise BrokenInvariantError(Invariant.NOT_AHEAD, f"{queued} outputs are not durable and states would be")
        self._durable = dict(self._taken)

    def write(self, topic: str, applied: Mapping[int, int]) -> None:
        """States are written; the highest offset applied to those of each partition that were changed."""
        for partition, highest in applied.items():
            if highest >= self._durable.get((topic, partition), 0):
                raise BrokenInvariantError(Invariant.NOT_AHEAD, f"{topic}/{partition}: a state has {highest}")
