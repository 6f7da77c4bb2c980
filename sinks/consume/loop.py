"""One topic's way into its table.

    fetch ─▶ dispatch ─▶ batcher: drop repeats, cut ─▶ plan: commit ─▶ write thread: INSERT
                                                          ▲                     │
                                                          └─ the next plan's offset acknowledges it

Order is the promise: a batch's range and watermark are committed before its INSERT, and an offset is committed only
when everything below it is durable. A failed commit means: not planned, so not written.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Event
from typing import Final

import structlog
from confluent_kafka import Message, TopicPartition

from sinks.batching.commit_metadata import CommitMetadata
from sinks.consume.assignment import Assignment
from sinks.consume.consumer import Consumer
from sinks.consume.dispatch import Dispatcher
from sinks.consume.flush_age import FlushAge
from sinks.consume.partition import PartitionState
from sinks.consume.report import Report
from sinks.failpoints import Failpoint, nothing
from sinks.write.delivery import AbandonedError
from sinks.write.thread import InFlightWrite, InFlightWrites

log = structlog.get_logger()

_FETCH_RECORDS: Final = 4096
_FETCH_S: Final = 0.05
_BUSY_FETCH_S: Final = 0.005  # while a batch is in flight: its end should not wait for a slow topic
_IN_FLIGHT_MAX: Final = 2  # one being written, one to follow at once; later ones are better left to grow
_RETRY_COMMIT_S: Final = 0.2
_PENDING_S: Final = 2.0  # until a record that cannot be taken in yet is tried again
_PATIENCE_S: Final = 1.0  # how long a full buffer waits for the write thread before consumption pauses


@dataclass(frozen=True, slots=True)
class Pace:
    """rows_max of one round of plans; quiet_s: a partition idle for so long gets its last batch acknowledged."""

    rows_max: int
    buffer_bytes_max: int
    quiet_s: float
    age: FlushAge


class ConsumerLoop:
    """Consumes one topic on one thread. Only this thread touches the consumer."""

    def __init__(
        self,
        consumer: Consumer,
        topic_name: str,
        assignment: Assignment,
        dispatcher: Dispatcher,
        write_thread: InFlightWrites,
        pace: Pace,
        report: Report,
        clock: Callable[[], float],
        failpoint: Failpoint = nothing,
    ) -> None:
        self._consumer = consumer
        self._topic_name = topic_name
        self._assignment = assignment
        self._dispatcher = dispatcher
        self._write_thread = write_thread
        self._pace = pace
        self._report = report
        self._clock = clock
        self._failpoint = failpoint
        self._commit_not_before = 0.0
        assignment.on_finished = self._finish_one

    @property
    def _states(self) -> dict[int, PartitionState]:
        return self._assignment.states

    def run(self, stopping: Event) -> None:
        """Until `stopping` is set; then finishes what is under way and leaves the group."""
        self._assignment.subscribe()
        while not stopping.is_set():
            self.step()
        self._write_thread.close()
        self._consumer.close()  # calls the assignment's revocation, which waits for what is under way

    def step(self) -> None:
        """One round: fetch, dispatch, plan, acknowledge."""
        messages = self._fetch()
        now = self._clock()
        if messages:
            self._dispatcher.dispatch(messages, now)
        self._hold_back(now)
        self._finish(self._write_thread.finished())
        self._plan(now)
        self._acknowledge(now)
        self._report.stepped(self._states, now)

    def _finish(self, writes: Iterable[InFlightWrite]) -> None:
        for write in writes:
            self._finish_one(write)

    def _finish_one(self, write: InFlightWrite) -> None:
        if write.error is not None:
            if isinstance(write.error, AbandonedError):
                return
            raise write.error
        self._report.written(write)
        self._pace.age.wrote(write.seconds)
        state = self._states.get(write.batch.partition)
        if state is not None and state.in_flight is write:
            state.written(write.batch, self._clock())

    def _plan(self, now: float) -> None:
        """Commit where the batches that are due end, oldest first, and hand them to the write thread."""
        if self._write_thread.in_flight >= _IN_FLIGHT_MAX or now < self._commit_not_before:
            return
        chosen: list[PartitionState] = []
        rows = 0
        age_s_max = self._pace.age.seconds(len(self._states))
        for state in sorted(self._states.values(), key=lambda state: state.waiting_since or now):
            # Batches that are not chosen stay open and grow.
            if rows < self._pace.rows_max and (batch := state.prepare(now, age_s_max, self._report.void)) is not None:
                rows += len(batch.rows)
                chosen.append(state)
        if not chosen:
            return
        planned_at = self._clock()
        self._failpoint("before_plan")
        if self._commit({state.partition: state.commit_before_write() for state in chosen}):
            self._failpoint("after_plan")
            for state in chosen:
                assert state.ready is not None
                state.started(self._write_thread.start(state.ready, planned_at))

    def _acknowledge(self, now: float) -> None:
        """Acknowledge the last batch of partitions that have gone quiet."""
        if now < self._commit_not_before:
            return
        quiet = {
            state.partition: commit
            for state in self._states.values()
            if now - state.changed_at >= self._pace.quiet_s
            and state.ready is None
            and (commit := state.acknowledgement()) is not None
        }
        if quiet:
            self._failpoint("before_commit")
            self._commit(quiet)

    def _commit(self, commits: dict[int, tuple[int, CommitMetadata]]) -> bool:
        """Whether Kafka has taken all of them. A consumer that is no longer a member fails here: it must not write."""
        committed = self._assignment.commit(commits)
        if not committed:
            self._commit_not_before = self._clock() + _RETRY_COMMIT_S
        return committed

    def _fetch(self) -> list[Message]:
        """The next messages, as long as there is room for them."""
        held = sum(state.size for state in self._states.values())
        if held < self._pace.buffer_bytes_max:
            if held < self._pace.buffer_bytes_max // 2:
                self._resume()
        elif not self._is_paused and (finished := self._write_thread.finished(_PATIENCE_S)):
            self._finish(finished)
            return []
        else:
            self._pause()
        # Also when all is paused: this is what keeps the membership, and where partitions come and go.
        return self._consumer.consume(_FETCH_RECORDS, _BUSY_FETCH_S if self._write_thread.in_flight else _FETCH_S)

    def _hold_back(self, now: float) -> None:
        """Put off what cannot be taken in yet, and try again what was put off."""
        for state in self._states.values():
            if state.pending is None:
                continue
            place = TopicPartition(self._topic_name, state.partition, state.batcher.position)
            if state.pending_until is None:
                log.error("a partition waits", topic=self._topic_name, offset=place.offset, why=str(state.pending))
                self._consumer.seek(place)
                self._consumer.pause([place])
                state.pending_until = now + _PENDING_S
            elif now >= state.pending_until:
                state.pending = state.pending_until = None
                if not state.paused:
                    self._consumer.resume([place])

    @property
    def _is_paused(self) -> bool:
        return any(state.paused for state in self._states.values())

    def _pause(self) -> None:
        """Stop fetching; but a planned batch must be read to its end, or it could never be written."""
        running = [held for held in self._states.values() if not held.paused and not held.batcher.is_redoing]
        if running:
            log.warning("consumption pauses: the buffer is full", topic=self._topic_name, partitions=len(running))
            self._consumer.pause([TopicPartition(self._topic_name, state.partition) for state in running])
        for state in running:
            state.paused = True

    def _resume(self) -> None:
        paused = [state for state in self._states.values() if state.paused]
        if paused:
            log.info("consumption goes on", topic=self._topic_name, partitions=len(paused))
            readable = [state for state in paused if state.pending is None]
            self._consumer.resume([TopicPartition(self._topic_name, state.partition) for state in readable])
        for state in paused:
            state.paused = False
