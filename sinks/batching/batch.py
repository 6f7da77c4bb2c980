"""A batch: what is written at once, a range of offsets of one partition.

The range, the watermark at its start and the topic decide the batch: who reads the same range again with the same
watermark builds the same batch, byte for byte, under the same token.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.outcomes import DeadReason
from sinks.batching import watermark
from sinks.batching.watermark import Sources

Timestamps = npt.NDArray[np.int64]
NO_SOURCES: Final[Sources] = np.empty(0, np.int64)
NO_TIMESTAMPS: Final[Timestamps] = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that cannot become a row, with its bytes. `timestamp`: Kafka's, ms since 1970; 0: Kafka has none."""

    offset: int
    value: bytes
    key: bytes | None
    reason: DeadReason
    detail: str
    timestamp: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Framed records of one schema in offset order, with their Kafka keys and timestamps (ms since 1970).

    Sources only on exactly-once topics.
    """

    schema_id: int
    offsets: Sequence[int]
    values: Sequence[bytes]
    keys: Sequence[bytes | None]
    sources: Sources = field(default_factory=lambda: NO_SOURCES)
    timestamps: Timestamps = field(default_factory=lambda: NO_TIMESTAMPS)

    def __len__(self) -> int:
        return len(self.values)

    def part(self, start: int, stop: int) -> "Rows":
        """The rows from index `start` up to `stop`."""
        return Rows(
            self.schema_id,
            self.offsets[start:stop],
            self.values[start:stop],
            self.keys[start:stop],
            self.sources[start:stop],
            self.timestamps[start:stop],
        )

    def without(self, sources: Set[int]) -> "Rows":
        """The rows whose source is not among these."""
        if not sources:
            return self
        return self.pick([index for index, source in enumerate(self.sources.tolist()) if source not in sources])

    def without_offsets(self, offsets: Set[int]) -> "Rows":
        """The rows whose offset is not among these."""
        if not offsets:
            return self
        return self.pick([index for index, offset in enumerate(self.offsets) if offset not in offsets])

    def pick(self, indexes: Sequence[int]) -> "Rows":
        """The rows at these indexes."""
        return Rows(
            self.schema_id,
            [self.offsets[index] for index in indexes],
            [self.values[index] for index in indexes],
            [self.keys[index] for index in indexes],
            self.sources[list(indexes)] if len(self.sources) else NO_SOURCES,
            self.timestamps[list(indexes)] if len(self.timestamps) else NO_TIMESTAMPS,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Offsets [start, end) of a partition and what remained of them.

    `doubtful`: some of it may be in the table already, from an earlier owner. `repeatable`: whatever of it is there
    was written as this very batch, under its tokens. `size`: bytes held. `opened_at`: the clock when its first record
    came; `timestamp`: Kafka's of that record, 0 when it has none.
    """

    topic: str
    partition: int
    start: int
    end: int
    watermark: int
    watermark_after: int
    rows: Rows
    bad: Sequence[BadRecord]
    replayed: int
    empty: int
    size: int
    opened_at: float
    doubtful: bool
    repeatable: bool = False
    timestamp: int = 0

    @property
    def is_void(self) -> bool:
        """Nothing is to be written for it."""
        return not self.rows.values and not self.bad

    @property
    def generation(self) -> int:
        """Of its rows, all alike; 0 on topics without sources."""
        return watermark.generation_of(int(self.rows.sources[0])) if len(self.rows.sources) else 0

    @property
    def token(self) -> str:
        """The deduplication token. The sources are in it: a recreated topic would repeat a name for other rows."""
        sources = self.rows.sources
        span = f"{sources[0]}-{sources[-1]}" if len(sources) else "-"
        return f"{self.topic}/{self.partition}/{self.generation}/{self.start}-{self.end}/{span}"
