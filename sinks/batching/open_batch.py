"""What a batch is filled from and with, until its end is known."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress

import numpy as np
import numpy.typing as npt

from sinks.batching.batch import NO_SOURCES, NO_TIMESTAMPS, Rows, Timestamps
from sinks.batching.watermark import Sources


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """Records of one partition in offset order. `timestamps`: Kafka's, ms since 1970; none where it has none."""

    offsets: Sequence[int]
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    timestamps: Timestamps = field(default_factory=lambda: NO_TIMESTAMPS)

    def __len__(self) -> int:
        return len(self.offsets)

    def part(self, start: int, stop: int) -> "Fetched":
        """The records from index `start` up to `stop`."""
        if start == 0 and stop >= len(self):
            return self
        place = slice(start, stop)
        return Fetched(self.offsets[place], self.values[place], self.keys[place], self.timestamps[place])

    def where(self, kept: npt.NDArray[np.bool_]) -> "Fetched":
        """The records for which `kept` is true."""
        return Fetched(
            list(compress(self.offsets, kept)),
            list(compress(self.values, kept)),
            list(compress(self.keys, kept)),
            self.timestamps[kept] if len(self.timestamps) else self.timestamps,
        )


@dataclass(slots=True, eq=False)
class OpenBatch:
    """Rows of one schema and generation, alike in `tag`. `size`: bytes of the records."""

    tag: int
    schema_id: int
    opened_at: float
    offsets: list[int] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    size: int = 0
    _sources: list[Sources] = field(default_factory=list)
    _timestamps: list[Timestamps] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def timestamp(self) -> int:
        """Kafka's, of the first record; 0 when it has none."""
        return int(self._timestamps[0][0]) if self._timestamps else 0

    def append(self, records: Fetched, sources: Sources) -> None:
        """Take rows in; `sources` only on exactly-once topics."""
        rows: Sequence[bytes] = records.values  # type: ignore[assignment]  # the filter keeps none without a value
        self.offsets += records.offsets
        self.values += rows
        self.keys += records.keys
        self.size += sum(map(len, rows))
        if len(records.timestamps):
            self._timestamps.append(records.timestamps)
        if len(sources):
            self._sources.append(sources)

    def rows(self) -> Rows:
        """All that was taken in."""
        sources = np.concatenate(self._sources) if self._sources else NO_SOURCES
        timestamps = np.concatenate(self._timestamps) if self._timestamps else NO_TIMESTAMPS
        return Rows(self.schema_id, self.offsets, self.values, self.keys, sources, timestamps)
