"""Fetched records of one partition become batches: accumulated in offset order, cut by offset."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress

import numpy as np

from sinks.batching.batch import NO_SOURCES, NO_TIMESTAMPS, BadRecord, Batch, Rows, Timestamps
from sinks.batching.commit_metadata import CommitMetadata
from sinks.batching.filter import Filtered, PendingError, RecordFilter
from sinks.batching.watermark import Sources


@dataclass(frozen=True, slots=True)
class Limits:
    """When a batch is full. Bytes are looked at after each fetch, rows exactly."""

    rows_max: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where a partition goes on. `committed`: Kafka has offset and metadata, they are not assumed."""

    offset: int
    metadata: CommitMetadata
    committed: bool = True


@dataclass(slots=True)
class _Open:
    """The batch that is being filled."""

    tag: int
    schema_id: int
    opened_at: float
    offsets: list[int] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    sources: list[Sources] = field(default_factory=list)
    timestamps: list[Timestamps] = field(default_factory=list)
    size: int = 0

    @property
    def timestamp(self) -> int:
        """Kafka's, of the first record; 0 when it has none."""
        return int(self.timestamps[0][0]) if self.timestamps else 0


class Batcher:
    """One partition from its resumption on.

    Invariants: batches are contiguous, each starts where the one before ended; a planned end is an end; rows of one
    batch have one schema and one generation.
    """

    def __init__(
        self, topic: str, partition: int, record_filter: RecordFilter, limits: Limits, resumption: Resumption
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._filter = record_filter
        self._limits = limits
        self._planned_end = resumption.metadata.end
        self._doubt_end = max(resumption.metadata.doubt_end, resumption.metadata.end or 0)
        self._foreign_end = resumption.metadata.doubt_end  # below it rows may stand that were written as other batches
        self._start = resumption.offset
        self._start_mark = resumption.metadata.watermark
        self._position = resumption.offset
        self._mark = resumption.metadata.watermark
        self._open: _Open | None = None
        self._bad: list[BadRecord] = []
        self._bad_since: float | None = None
        self._bad_size = 0
        self._replayed = 0
        self._empty = 0
        self._full: deque[Batch] = deque()

    @property
    def position(self) -> int:
        """The offset after the last record seen."""
        return self._position

    @property
    def is_redoing(self) -> bool:
        """Whether it waits for the rest of a planned batch."""
        return self._planned_end is not None

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(batch.size for batch in self._full) + (self._open.size if self._open else 0) + self._bad_size

    @property
    def oldest_at(self) -> float | None:
        """The clock when the oldest record held came; None when nothing is held."""
        if self._full:
            return self._full[0].opened_at
        times = [self._open.opened_at if self._open else None, self._bad_since]
        return min((time for time in times if time is not None), default=None)

    @property
    def oldest_timestamp(self) -> int:
        """Kafka's, ms since 1970, of the oldest record held; 0 when nothing is held, or Kafka has none."""
        if self._full:
            return self._full[0].timestamp
        times = [self._open.timestamp if self._open else 0, self._bad[0].timestamp if self._bad else 0]
        return min(filter(None, times), default=0)

    def add(
        self,
        offsets: Sequence[int],
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None],
        now: float,
        timestamps: Timestamps = NO_TIMESTAMPS,
    ) -> None:
        """Take the next records of the partition in. Raises PendingError; then the position says how far it came."""
        if self._planned_end is not None and offsets[-1] >= self._planned_end:
            inside = int(np.searchsorted(offsets, self._planned_end))
            if inside:
                self._add(offsets[:inside], values[:inside], keys[:inside], now, timestamps[:inside])
            self._end_plan(now)
            offsets, values, keys = offsets[inside:], values[inside:], keys[inside:]
            timestamps = timestamps[inside:]
        self._add(offsets, values, keys, now, timestamps)

    def reached(self, offset: int, now: float) -> None:
        """The log has nothing below `offset` that was not given to `add`."""
        if self._planned_end is not None and offset >= self._planned_end:
            self._end_plan(now)

    def restart(self, offset: int, now: float) -> None:
        """The log begins again at an offset below the position: the topic was recreated. A plan for it is void."""
        self._planned_end = None
        if self._start < self._position:
            self._seal(self._position, now)
        self._start = self._position = offset

    def due(self, now: float, age_s_max: float) -> bool:
        """Whether a batch is to be written now: full, or so old. A planned one never is before its end is reached."""
        if self._full:
            return True
        if self._planned_end is not None:
            return False
        oldest = self.oldest_at
        if oldest is None:
            return self._replayed + self._empty > 0
        return now - oldest >= age_s_max

    def take(self, now: float) -> Batch:
        """The next batch: a full one, else all that is held, ending at the position."""
        if not self._full:
            self._seal(self._position, now)
        return self._full.popleft()

    def _add(
        self,
        offsets: Sequence[int],
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None],
        now: float,
        timestamps: Timestamps,
    ) -> None:
        if not offsets:
            return
        try:
            filtered = self._filter.apply(offsets, values, keys, self._mark, timestamps)
        except PendingError as error:
            stop = error.index
            self._add(offsets[:stop], values[:stop], keys[:stop], now, timestamps[:stop])
            raise
        self._bad += filtered.bad
        self._bad_size += sum(len(record.value) for record in filtered.bad)
        if filtered.bad and self._bad_since is None:
            self._bad_since = now
        self._replayed += filtered.replayed
        self._empty += filtered.empty
        self._fill(offsets, values, keys, filtered, now, timestamps)
        self._position = offsets[-1] + 1
        if self._planned_end is None and self._is_full():
            self._seal(self._position, now)

    def _fill(
        self,
        offsets: Sequence[int],
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None],
        filtered: Filtered,
        now: float,
        timestamps: Timestamps,
    ) -> None:
        """Append the rows among the records, cutting where the tag changes or the rows are enough."""
        kept = filtered.kept
        tags, schema_ids, sources = filtered.tags, filtered.schema_ids, filtered.sources
        if not kept.all():
            offsets, values = list(compress(offsets, kept)), list(compress(values, kept))
            keys = list(compress(keys, kept))
            tags, schema_ids, sources = tags[kept], schema_ids[kept], sources[kept] if len(sources) else sources
            timestamps = timestamps[kept] if len(timestamps) else timestamps
        done, count = 0, len(offsets)
        changes = [*(np.flatnonzero(np.diff(tags)) + 1).tolist(), count]
        while done < count:
            tag = int(tags[done])
            if self._open is not None and (self._open.tag != tag or self._rows_left() <= 0):
                self._seal(self._open.offsets[-1] + 1, now)
            if self._open is None:
                self._open = _Open(tag, int(schema_ids[done]), now)
            end = min(next(change for change in changes if change > done), done + self._rows_left())
            place = slice(done, end)
            self._append(offsets[place], values[place], keys[place], sources[place], timestamps[place])
            done = end

    def _append(
        self,
        offsets: Sequence[int],
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None],
        sources: Sources,
        timestamps: Timestamps,
    ) -> None:
        assert self._open is not None
        rows: Sequence[bytes] = values  # type: ignore[assignment]  # the filter keeps no record without a value
        self._open.offsets += offsets
        self._open.values += rows
        self._open.keys += keys
        self._open.size += sum(map(len, rows))
        if len(timestamps):
            self._open.timestamps.append(timestamps)
        if len(sources):
            self._open.sources.append(sources)
            self._mark = int(sources[-1])

    def _is_full(self) -> bool:
        rows, size = (len(self._open.values), self._open.size) if self._open is not None else (0, 0)
        return rows >= self._limits.rows_max or size + self._bad_size >= self._limits.bytes_max

    def _rows_left(self) -> int:
        assert self._open is not None
        if self._planned_end is not None:  # its end was decided before, perhaps under other limits
            return 1 << 62
        return self._limits.rows_max - len(self._open.values)

    def _end_plan(self, now: float) -> None:
        assert self._planned_end is not None
        end, self._planned_end = self._planned_end, None
        self._position = max(self._position, end)
        self._seal(end, now)

    def _seal(self, end: int, now: float) -> None:
        """Close the batch [start, end)."""
        filled = self._open or _Open(0, 0, now)
        bad = [record for record in self._bad if record.offset < end]
        self._bad = self._bad[len(bad) :]
        times = [filled.opened_at, self._bad_since if self._bad_since is not None else now]
        sources = np.concatenate(filled.sources) if filled.sources else NO_SOURCES
        mark = int(sources[-1]) if len(sources) else self._start_mark
        timestamps = np.concatenate(filled.timestamps) if filled.timestamps else NO_TIMESTAMPS
        oldest = min(filter(None, [filled.timestamp, bad[0].timestamp if bad else 0]), default=0)
        bad_size = sum(len(record.value) for record in bad)
        self._full.append(
            Batch(
                topic=self._topic,
                partition=self._partition,
                start=self._start,
                end=end,
                watermark=self._start_mark,
                watermark_after=mark,
                rows=Rows(filled.schema_id, filled.offsets, filled.values, filled.keys, sources, timestamps),
                bad=bad,
                replayed=self._replayed,
                empty=self._empty,
                size=filled.size + bad_size,
                opened_at=min(times),
                doubtful=self._start < self._doubt_end,
                repeatable=self._start >= self._foreign_end,
                timestamp=oldest,
            )
        )
        self._open = None
        self._bad_since = now if self._bad else None
        self._bad_size -= bad_size
        self._replayed = self._empty = 0
        self._start, self._start_mark = end, mark
