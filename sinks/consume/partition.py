"""What a consumer knows of one partition it owns."""

from collections.abc import Callable

from sinks.batching.batch import Batch
from sinks.batching.batcher import Batcher, Resumption
from sinks.batching.commit_metadata import CommitMetadata
from sinks.batching.filter import PendingError
from sinks.write.thread import InFlightWrite


class PartitionState:
    """One partition: what comes in, the next batch, the batch under way, what is written and what is committed.

    At most one batch is planned or in flight. `durable_end`: everything below this offset is durable. `committed`:
    offset and metadata as Kafka has them, as far as is known.
    """

    def __init__(self, partition: int, batcher: Batcher, resumption: Resumption, now: float) -> None:
        self.partition = partition
        self.batcher = batcher
        self.committed = (resumption.offset, resumption.metadata) if resumption.committed else None
        self.ready: Batch | None = None
        self.in_flight: InFlightWrite | None = None
        self.durable_end = resumption.offset
        self.changed_at = now
        self.paused = False
        self.doubted_gap: int | None = None  # the position at which records were missing and looked for again
        self.gap_end = 0  # up to here, missing records are counted
        self.pending: PendingError | None = None  # why the record at the position cannot be taken in yet
        self.pending_until: float | None = None  # when it is tried again; None: it was not put off yet
        self.stopped_by: PendingError | None = None  # the same, and kept while it is tried again: for the metrics
        self._mark = resumption.metadata.watermark
        self._doubt_end = resumption.metadata.doubt_end

    @property
    def waiting_since(self) -> float | None:
        """The clock when the oldest record came that is not on its way; None when none waits."""
        return self.ready.opened_at if self.ready is not None else self.batcher.oldest_at

    @property
    def oldest_timestamp(self) -> int:
        """Kafka's of the oldest record that is not durable; 0 when there is none, or Kafka has none."""
        for batch in (self.in_flight.batch if self.in_flight else None, self.ready):
            if batch is not None and batch.timestamp:
                return batch.timestamp
        return self.batcher.oldest_timestamp or (self.stopped_by.timestamp if self.stopped_by else 0)

    def prepare(self, now: float, age_s_max: float, on_void: Callable[[Batch], None]) -> Batch | None:
        """The batch to be planned now, if one is due and none is under way. Void ones are done with on the way."""
        while self.in_flight is None and self.ready is None and self.batcher.due(now, age_s_max):
            batch = self.batcher.take(now)
            if batch.is_void:
                self.written(batch, now)
                on_void(batch)
            else:
                self.ready = batch
        return self.ready if self.in_flight is None else None

    def commit_before_write(self) -> tuple[int, CommitMetadata]:
        """What is to be committed before `ready` is written."""
        assert self.ready is not None
        return self.ready.start, CommitMetadata(self.ready.end, self.ready.watermark, self._doubt_end)

    def started(self, write: InFlightWrite) -> None:
        """`ready` is on its way."""
        self.ready, self.in_flight = None, write

    def written(self, batch: Batch, now: float) -> None:
        """The batch is durable."""
        self.in_flight = None
        self.durable_end, self._mark = batch.end, batch.watermark_after
        self.changed_at = now

    def acknowledgement(self) -> tuple[int, CommitMetadata] | None:
        """What is to be committed when nothing is under way; None when nothing is, or nothing may be.

        A plan that stands at that offset is never taken back: its rows may be in the table already, and only the plan
        tells the next owner where the batch ended.
        """
        due = (self.durable_end, CommitMetadata(None, self._mark, self._doubt_end))
        if self.in_flight is not None or due == self.committed:
            return None
        if self.committed is not None and self.committed[0] == self.durable_end and self.committed[1].end is not None:
            return None
        return due

    @property
    def size(self) -> int:
        """Bytes held."""
        ready = self.ready.size if self.ready else 0
        return self.batcher.size + ready + (self.in_flight.batch.size if self.in_flight else 0)
