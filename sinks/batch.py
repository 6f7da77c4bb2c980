"""A batch: what is written at once, a range of offsets of one partition.

The range, the watermark at its start and the topic decide the batch: who reads the same range again with the same
watermark builds the same batch, byte for byte, under the same token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from schemas.outcomes import DeadReason
from sinks import watermark
from sinks.watermark import Sources

NO_SOURCES: Final[Sources] = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that cannot become a row, with its bytes."""

    offset: int
    value: bytes
    key: bytes | None
    reason: DeadReason
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Framed records of one schema in offset order, with their Kafka keys. Sources only on exactly-once topics."""

    schema_id: int
    offsets: Sequence[int]
    values: Sequence[bytes]
    keys: Sequence[bytes | None]
    sources: Sources = field(default_factory=lambda: NO_SOURCES)

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
        )

    def pick(self, indexes: Sequence[int]) -> "Rows":
        """The rows at these indexes."""
        return Rows(
            self.schema_id,
            [self.offsets[index] for index in indexes],
            [self.values[index] for index in indexes],
            [self.keys[index] for index in indexes],
            self.sources[list(indexes)] if len(self.sources) else NO_SOURCES,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Offsets [start, end) of a partition and what remained of them.

    `doubtful`: some of it may be in the table already, from an earlier owner. `size`: bytes held. `opened_at`: the
    clock when its first record came.
    """

    topic: str
    partition: int
    start: int
    end: int
    watermark: int
    watermark_after: int
    rows: Rows
    bad: Sequence[Bad]
    replayed: int
    empty: int
    size: int
    opened_at: float
    doubtful: bool

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
        """The deduplication token. The sources are in it lest a recreated topic repeat a name for other rows."""
        sources = self.rows.sources
        span = f"{sources[0]}-{sources[-1]}" if len(sources) else "-"
        return f"{self.topic}/{self.partition}/{self.generation}/{self.start}-{self.end}/{span}"
