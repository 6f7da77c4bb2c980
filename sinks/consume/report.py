"""What a consumer loop tells the metrics, once a batch and once a round."""

from collections.abc import Callable, Mapping
from typing import Final

from schemas.metrics import SinksMetrics
from schemas.outcomes import DropReason, Outcome
from sinks.batching.batch import Batch
from sinks.consume.partition import PartitionState
from sinks.write.report import Stops
from sinks.write.thread import InFlightWrite

_LAG_EVERY_S: Final = 1.0
READING_CAUSES: Final = ("schema_id_unknown", "registry_away")


class Report:
    """The figures of one topic. `since`: the time of a framed record from which latency counts, or None.

    `log_end` answers the end of a partition's log as far as it is known. Lag is counted in Kafka's time: a record that
    was fetched a moment ago may be hours old.
    """

    def __init__(
        self,
        topic: str,
        metrics: SinksMetrics,
        since: Callable[[bytes], float | None],
        log_end: Callable[[int], int | None],
        wall_clock: Callable[[], float],
        stops: Stops | None = None,
    ) -> None:
        self._topic = topic
        self._metrics = metrics
        self._since = since
        self._log_end = log_end
        self._wall_clock = wall_clock
        self._stops = stops or Stops(topic, metrics)
        metrics.expired_records_total.labels(topic)
        self._lag_at = float("-inf")
        self._lag_of: set[int] = set()
        self.stepped_at = float("-inf")

    def written(self, write: InFlightWrite) -> None:
        """A batch is durable."""
        batch, receipt = write.batch, write.receipt
        assert receipt is not None
        records, topic = self._metrics.records_total, self._topic
        records.labels(topic, Outcome.KEEP, "").inc(receipt.stored)
        for bad in receipt.dead:
            records.labels(topic, Outcome.DEAD, bad.reason).inc()
        if receipt.superseded:
            records.labels(topic, Outcome.DROP, "superseded").inc(receipt.superseded)
        self.void(batch)
        outcome = "already_there" if receipt.found else "written"
        self._metrics.batches_total.labels(topic, outcome).inc()
        if receipt.tries > 1:
            self._metrics.batches_total.labels(topic, "retried").inc(receipt.tries - 1)
        self._metrics.batch_rows.labels(topic).observe(receipt.stored)
        self._metrics.flush_seconds.labels(topic).observe(write.seconds)
        if not batch.doubtful and len(batch.rows) and (since := self._since(batch.rows.values[0])) is not None:
            self._metrics.latency_seconds.labels(topic).observe(max(0.0, self._wall_clock() - since))

    def void(self, batch: Batch) -> None:
        """Count the records of a batch that are no rows."""
        records, topic = self._metrics.records_total, self._topic
        if batch.replayed:
            records.labels(topic, Outcome.DROP, DropReason.REPLAYED).inc(batch.replayed)
        if batch.empty:
            records.labels(topic, Outcome.DROP, "tombstone").inc(batch.empty)

    def stepped(self, states: Mapping[int, PartitionState], now: float) -> None:
        """A round is over."""
        self.stepped_at = now
        if now - self._lag_at < _LAG_EVERY_S:
            return
        self._lag_at = now
        ages = [self._age(state, now) for state in states.values()]
        self._metrics.lag_seconds.labels(self._topic).set(max(ages, default=0.0))
        self._stops.set(
            READING_CAUSES, [held.stopped_by.stopped for held in states.values() if held.stopped_by is not None]
        )
        for partition in self._lag_of - states.keys():
            self._metrics.lag_records.remove(self._topic, partition)
        self._lag_of = set()
        for partition, state in states.items():
            if (end := self._log_end(partition)) is not None:
                self._metrics.lag_records.labels(self._topic, partition).set(max(0, end - state.durable_end))
                self._lag_of.add(partition)

    def expired(self, count: int) -> None:
        """Records were deleted before they were read."""
        self._metrics.expired_records_total.labels(self._topic).inc(count)

    def _age(self, state: PartitionState, now: float) -> float:
        """Of the oldest record that is not durable, in seconds."""
        if timestamp := state.oldest_timestamp:
            return max(0.0, self._wall_clock() - timestamp / 1000)
        oldest = state.in_flight.batch.opened_at if state.in_flight is not None else state.waiting_since
        return 0.0 if oldest is None else now - oldest
