"""What a lane tells the metrics, once a batch and once a round."""

from collections.abc import Callable, Mapping
from typing import Final

from schemas.metrics import SinksMetrics
from schemas.outcomes import DropReason, Outcome
from sinks.batch import Batch
from sinks.holding import Holding
from sinks.worker import Flight

_LAG_EVERY_S: Final = 1.0


class Report:
    """The figures of one topic. `since`: the time of a framed record from which latency counts, or None.

    `log_end` answers the end of a partition's log as far as it is known.
    """

    def __init__(
        self,
        topic: str,
        metrics: SinksMetrics,
        since: Callable[[bytes], float | None],
        log_end: Callable[[int], int | None],
        wall_clock: Callable[[], float],
    ) -> None:
        self._topic = topic
        self._metrics = metrics
        self._since = since
        self._log_end = log_end
        self._wall_clock = wall_clock
        self._lag_at = float("-inf")
        self._lag_of: set[int] = set()
        self.stepped_at = float("-inf")

    def written(self, flight: Flight) -> None:
        """A batch is durable."""
        batch, receipt = flight.batch, flight.receipt
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
        self._metrics.flush_seconds.labels(topic).observe(flight.seconds)
        if not batch.doubtful and len(batch.rows) and (since := self._since(batch.rows.values[0])) is not None:
            self._metrics.latency_seconds.labels(topic).observe(max(0.0, self._wall_clock() - since))

    def void(self, batch: Batch) -> None:
        """Count the records of a batch that are no rows."""
        records, topic = self._metrics.records_total, self._topic
        if batch.replayed:
            records.labels(topic, Outcome.DROP, DropReason.REPLAYED).inc(batch.replayed)
        if batch.empty:
            records.labels(topic, Outcome.DROP, "tombstone").inc(batch.empty)

    def stepped(self, holdings: Mapping[int, Holding], now: float) -> None:
        """A round is over."""
        self.stepped_at = now
        if now - self._lag_at < _LAG_EVERY_S:
            return
        self._lag_at = now
        waiting = [oldest for holding in holdings.values() if (oldest := _oldest_at(holding)) is not None]
        self._metrics.lag_seconds.labels(self._topic).set(now - min(waiting) if waiting else 0)
        for partition in self._lag_of - holdings.keys():
            self._metrics.lag_records.remove(self._topic, partition)
        self._lag_of = set()
        for partition, holding in holdings.items():
            if (end := self._log_end(partition)) is not None:
                self._metrics.lag_records.labels(self._topic, partition).set(max(0, end - holding.settled))
                self._lag_of.add(partition)


def _oldest_at(holding: Holding) -> float | None:
    return holding.flight.batch.opened_at if holding.flight is not None else holding.waiting_since
