"""What a consumer knows of one partition it owns."""

from collections.abc import Callable

from sinks.batching.batch import Batch
from sinks.batching.batcher import Intake, Resumption
from sinks.batching.commit_metadata import Plan
from sinks.batching.filter import PendingError
from sinks.write.thread import Flight


class Holding:
    """One partition: what comes in, the next batch, the batch under way, what is written and what is committed.

    At most one batch is planned or under way. `settled`: everything below this offset is durable. `committed`: offset
    and plan as Kafka has them, as far as is known.
    """

    def __init__(self, partition: int, intake: Intake, resumption: Resumption, now: float) -> None:
        self.partition = partition
        self.intake = intake
        self.committed = (resumption.offset, resumption.plan) if resumption.committed else None
        self.ready: Batch | None = None
        self.flight: Flight | None = None
        self.settled = resumption.offset
        self.changed_at = now
        self.paused = False
        self.doubted_gap: int | None = None  # the position at which records lacked and were looked for again
        self.gap_end = 0  # up to here, records that lack are counted
        self.pending: PendingError | None = None  # why the record at the position cannot be taken in yet
        self.pending_until: float | None = None  # when it is tried again; None: it was not put off yet
        self.stopped_by: PendingError | None = None  # the same, and kept while it is tried again: for the metrics
        self._mark = resumption.plan.watermark
        self._doubt_end = resumption.plan.doubt_end

    @property
    def waiting_since(self) -> float | None:
        """The clock when the oldest record came that is not on its way; None when none waits."""
        return self.ready.opened_at if self.ready is not None else self.intake.oldest_at

    @property
    def oldest_timestamp(self) -> int:
        """Kafka's of the oldest record that is not durable; 0 when there is none, or Kafka has none."""
        for batch in (self.flight.batch if self.flight else None, self.ready):
            if batch is not None and batch.timestamp:
                return batch.timestamp
        return self.intake.oldest_timestamp or (self.stopped_by.timestamp if self.stopped_by else 0)

    def prepare(self, now: float, on_void: Callable[[Batch], None]) -> Batch | None:
        """The batch to be planned now, if one is due and none is under way. Void ones are settled on the way."""
        while self.flight is None and self.ready is None and self.intake.due(now):
            batch = self.intake.take(now)
            if batch.is_void:
                self.settle(batch, now)
                on_void(batch)
            else:
                self.ready = batch
        return self.ready if self.flight is None else None

    def plan(self) -> tuple[int, Plan]:
        """What is to be committed before `ready` is written."""
        assert self.ready is not None
        return self.ready.start, Plan(self.ready.end, self.ready.watermark, self._doubt_end)

    def launch(self, flight: Flight) -> None:
        """`ready` is on its way."""
        self.ready, self.flight = None, flight

    def settle(self, batch: Batch, now: float) -> None:
        """The batch is durable."""
        self.flight = None
        self.settled, self._mark = batch.end, batch.watermark_after
        self.changed_at = now

    def settlement(self) -> tuple[int, Plan] | None:
        """What is to be committed when nothing is under way; None when nothing is, or nothing may be.

        A plan that stands at the settled offset is never taken back: its rows may be in the table already, and only
        the plan tells the next owner where the batch ended.
        """
        due = (self.settled, Plan(None, self._mark, self._doubt_end))
        if self.flight is not None or due == self.committed:
            return None
        if self.committed is not None and self.committed[0] == self.settled and self.committed[1].end is not None:
            return None
        return due

    @property
    def size(self) -> int:
        """Bytes held."""
        ready = self.ready.size if self.ready else 0
        return self.intake.size + ready + (self.flight.batch.size if self.flight else 0)
