"""Fetched records of one partition become batches: accumulated in offset order, cut by offset."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sinks.batching.batch import NO_TIMESTAMPS, BadRecord, Batch, Timestamps
from sinks.batching.commit_metadata import CommitMetadata
from sinks.batching.filter import Filtered, PendingError, RecordFilter
from sinks.batching.open_batch import Fetched, OpenBatch


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
        self._open: OpenBatch | None = None
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
        return (
            sum(batch.size for batch in self._full)
            + (self._open.size if self._open is not None else 0)
            + self._bad_size
        )

    @property
    def oldest_at(self) -> float | None:
        """The clock when the oldest record held came; None when nothing is held."""
        if self._full:
            return self._full[0].opened_at
        times = [self._open.opened_at if self._open is not None else None, self._bad_since]
        return min((time for time in times if time is not None), default=None)

    @property
    def oldest_timestamp(self) -> int:
        """Kafka's, ms since 1970, of the oldest record held; 0 when nothing is held, or Kafka has none."""
        if self._full:
            return self._full[0].timestamp
        times = [self._open.timestamp if self._open is not None else 0, self._bad[0].timestamp if self._bad else 0]
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
        records = Fetched(offsets, values, keys, timestamps)
        if self._planned_end is not None and offsets[-1] >= self._planned_end:
            inside = int(np.searchsorted(offsets, self._planned_end))
            self._add(records.part(0, inside), now)
            self._end_plan(now)
            records = records.part(inside, len(records))
        self._add(records, now)

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

    def _add(self, records: Fetched, now: float) -> None:
        if not len(records):
            return
        try:
            filtered = self._filter.apply(records.offsets, records.values, records.keys, self._mark, records.timestamps)
        except PendingError as error:
            self._add(records.part(0, error.index), now)
            raise
        self._bad += filtered.bad
        self._bad_size += sum(len(record.value) for record in filtered.bad)
        if filtered.bad and self._bad_since is None:
            self._bad_since = now
        self._replayed += filtered.replayed
        self._empty += filtered.empty
        self._fill(records, filtered, now)
        self._position = records.offsets[-1] + 1
        if self._planned_end is None and self._is_full():
            self._seal(self._position, now)

    def _fill(self, records: Fetched, filtered: Filtered, now: float) -> None:
        """Append the rows among the records, cutting where the tag changes or the rows are enough."""
        kept = filtered.kept
        tags, schema_ids, sources = filtered.tags, filtered.schema_ids, filtered.sources
        if not kept.all():
            records = records.where(kept)
            tags, schema_ids, sources = tags[kept], schema_ids[kept], sources[kept] if len(sources) else sources
        done, count = 0, len(records)
        changes = [*(np.flatnonzero(np.diff(tags)) + 1).tolist(), count]
        while done < count:
            tag = int(tags[done])
            if self._open is not None and (self._open.tag != tag or self._rows_left(self._open) <= 0):
                self._seal(self._open.offsets[-1] + 1, now)
            if self._open is None:
                self._open = OpenBatch(tag, int(schema_ids[done]), now)
            end = min(next(change for change in changes if change > done), done + self._rows_left(self._open))
            self._open.append(records.part(done, end), sources[done:end])
            done = end
        if len(sources):
            self._mark = int(sources[-1])

    def _is_full(self) -> bool:
        rows, size = (len(self._open), self._open.size) if self._open is not None else (0, 0)
        return rows >= self._limits.rows_max or size + self._bad_size >= self._limits.bytes_max

    def _rows_left(self, batch: OpenBatch) -> int:
        if self._planned_end is not None:  # its end was decided before, perhaps under other limits
            return 1 << 62
        return self._limits.rows_max - len(batch)

    def _end_plan(self, now: float) -> None:
        assert self._planned_end is not None
        end, self._planned_end = self._planned_end, None
        self._position = max(self._position, end)
        self._seal(end, now)

    def _seal(self, end: int, now: float) -> None:
        """Close the batch [start, end)."""
        filled = OpenBatch(0, 0, now) if self._open is None else self._open
        rows = filled.rows()
        bad = [record for record in self._bad if record.offset < end]
        self._bad = self._bad[len(bad) :]
        times = [filled.opened_at, self._bad_since if self._bad_since is not None else now]
        mark = int(rows.sources[-1]) if len(rows.sources) else self._start_mark
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
                rows=rows,
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
