"""One topic's way into its table.

    fetch ─▶ intake (drop repeats, cut) ─▶ plan (commit) ─▶ worker: INSERT ─▶ settle
                                              ▲                                  │
                                              └── the next plan's offset acknowledges it

Order is the promise: a batch's range and watermark are committed before its INSERT, and an offset is committed only
when everything below it is durable. A failed commit means: not planned, so not written.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Event
from typing import Final

import structlog
from confluent_kafka import Consumer, Message, TopicPartition

from sinks.batching.commit_metadata import Plan
from sinks.consume.assignment import Assignment
from sinks.consume.dispatch import Reception
from sinks.consume.partition import Holding
from sinks.consume.report import Report
from sinks.failpoints import Failpoint, nothing
from sinks.write.delivery import AbandonedError
from sinks.write.thread import Flight, Worker

log = structlog.get_logger()

_FETCH_RECORDS: Final = 4096
_FETCH_S: Final = 0.05
_BUSY_FETCH_S: Final = 0.005  # while a batch is under way: its landing should not wait for a slow topic
_AIRBORNE_MAX: Final = 2  # one being written, one to follow at once; later ones are better left to grow
_RETRY_COMMIT_S: Final = 0.2
_PENDING_S: Final = 2.0  # until a record that cannot be taken in yet is tried again
_PATIENCE_S: Final = 1.0  # how long a full buffer waits for the worker before consumption pauses


@dataclass(frozen=True, slots=True)
class Pace:
    """rows_max of one round of plans; settle_s: a partition idle for so long gets its last batch acknowledged."""

    rows_max: int
    buffer_bytes_max: int
    settle_s: float


class Lane:
    """Consumes one topic on one thread. Only this thread touches the consumer."""

    def __init__(
        self,
        consumer: Consumer,
        topic_name: str,
        assignment: Assignment,
        reception: Reception,
        worker: Worker,
        pace: Pace,
        report: Report,
        clock: Callable[[], float],
        failpoint: Failpoint = nothing,
    ) -> None:
        self._consumer = consumer
        self._topic_name = topic_name
        self._assignment = assignment
        self._reception = reception
        self._worker = worker
        self._pace = pace
        self._report = report
        self._clock = clock
        self._failpoint = failpoint
        self._commit_not_before = 0.0
        assignment.on_landed = self._land_one

    @property
    def _holdings(self) -> dict[int, Holding]:
        return self._assignment.holdings

    def run(self, stopping: Event) -> None:
        """Until `stopping` is set; then finishes what is under way and leaves the group."""
        self._assignment.subscribe()
        while not stopping.is_set():
            self.step()
        self._worker.close()
        self._consumer.close()  # calls the assignment's revocation, which waits for what is under way

    def step(self) -> None:
        """One round: fetch, cut, plan, settle."""
        messages = self._fetch()
        now = self._clock()
        if messages:
            self._reception.take(messages, now)
        self._hold_back(now)
        self._land(self._worker.landed())
        self._plan(now)
        self._settle(now)
        self._report.stepped(self._holdings, now)

    def _land(self, flights: Iterable[Flight]) -> None:
        for flight in flights:
            self._land_one(flight)

    def _land_one(self, flight: Flight) -> None:
        if flight.error is not None:
            if isinstance(flight.error, AbandonedError):
                return
            raise flight.error
        self._report.written(flight)
        holding = self._holdings.get(flight.batch.partition)
        if holding is not None and holding.flight is flight:
            holding.settle(flight.batch, self._clock())

    def _plan(self, now: float) -> None:
        """Commit the plans of the batches that are due, oldest first, and hand them to the worker."""
        if self._worker.airborne >= _AIRBORNE_MAX or now < self._commit_not_before:
            return
        chosen: list[Holding] = []
        rows = 0
        for holding in sorted(self._holdings.values(), key=lambda holding: holding.waiting_since or now):
            # Batches that are not chosen stay open and grow.
            if rows < self._pace.rows_max and (batch := holding.prepare(now, self._report.void)) is not None:
                rows += len(batch.rows)
                chosen.append(holding)
        if not chosen:
            return
        planned_at = self._clock()
        self._failpoint("before_plan")
        if self._commit({holding.partition: holding.plan() for holding in chosen}):
            self._failpoint("after_plan")
            for holding in chosen:
                assert holding.ready is not None
                holding.launch(self._worker.launch(holding.ready, planned_at))

    def _settle(self, now: float) -> None:
        """Acknowledge the last batch of partitions that have gone quiet."""
        if now < self._commit_not_before:
            return
        quiet = {
            holding.partition: settlement
            for holding in self._holdings.values()
            if now - holding.changed_at >= self._pace.settle_s
            and holding.ready is None
            and (settlement := holding.settlement()) is not None
        }
        if quiet:
            self._failpoint("before_commit")
            self._commit(quiet)

    def _commit(self, commits: dict[int, tuple[int, Plan]]) -> bool:
        """Whether Kafka has taken all of them. A consumer that is no longer a member fails here: it must not write."""
        committed = self._assignment.commit(commits)
        if not committed:
            self._commit_not_before = self._clock() + _RETRY_COMMIT_S
        return committed

    def _fetch(self) -> list[Message]:
        """The next messages, as long as there is room for them."""
        held = sum(holding.size for holding in self._holdings.values())
        if held < self._pace.buffer_bytes_max:
            if held < self._pace.buffer_bytes_max // 2:
                self._resume()
        elif not self._is_paused and (landed := self._worker.landed(_PATIENCE_S)):
            self._land(landed)
            return []
        else:
            self._pause()
        # Also when all is paused: this is what keeps the membership, and where partitions come and go.
        messages: list[Message] = self._consumer.consume(
            _FETCH_RECORDS, _BUSY_FETCH_S if self._worker.airborne else _FETCH_S
        )
        return messages

    def _hold_back(self, now: float) -> None:
        """Put off what cannot be taken in yet, and try again what was put off."""
        for holding in self._holdings.values():
            if holding.pending is None:
                continue
            place = TopicPartition(self._topic_name, holding.partition, holding.intake.position)
            if holding.pending_until is None:
                log.error("a partition waits", topic=self._topic_name, offset=place.offset, why=str(holding.pending))
                self._consumer.seek(place)
                self._consumer.pause([place])
                holding.pending_until = now + _PENDING_S
            elif now >= holding.pending_until:
                holding.pending = holding.pending_until = None
                if not holding.paused:
                    self._consumer.resume([place])

    @property
    def _is_paused(self) -> bool:
        return any(holding.paused for holding in self._holdings.values())

    def _pause(self) -> None:
        """Stop fetching; but a planned batch must be read to its end, or it could never be written."""
        running = [held for held in self._holdings.values() if not held.paused and not held.intake.is_redoing]
        if running:
            log.warning("consumption pauses: the buffer is full", topic=self._topic_name, partitions=len(running))
            self._consumer.pause([TopicPartition(self._topic_name, holding.partition) for holding in running])
        for holding in running:
            holding.paused = True

    def _resume(self) -> None:
        paused = [holding for holding in self._holdings.values() if holding.paused]
        if paused:
            log.info("consumption goes on", topic=self._topic_name, partitions=len(paused))
            readable = [holding for holding in paused if holding.pending is None]
            self._consumer.resume([TopicPartition(self._topic_name, holding.partition) for holding in readable])
        for holding in paused:
            holding.paused = False
