"""A group of sinks over a broker and a table in memory, every step decided by a seeded dice.

What real servers do once in a million runs happens here in each: a commit that times out and was made, a consumer that
learns late that it lost its partitions, a request that arrives after its sender's death.
"""

import random
from collections.abc import Callable
from threading import Event

from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, Message, TopicPartition
from prometheus_client import CollectorRegistry

from schemas.metrics import SinksMetrics
from sinks.batching.batch import Batch
from sinks.batching.batcher import Batcher, Limits, Resumption
from sinks.batching.filter import RecordFilter
from sinks.consume.assignment import Assignment
from sinks.consume.consumer import PartitionsMoved
from sinks.consume.dispatch import Dispatcher
from sinks.consume.flush_age import FlushAge
from sinks.consume.loop import ConsumerLoop, Pace
from sinks.consume.report import Report
from sinks.routes import ROUTES
from sinks.write.attempts import Way
from sinks.write.delivery import Delivery, Receipt
from sinks.write.healing import Healing
from sinks.write.thread import InFlightWrite
from tests.sinks.memory import MemoryDeadLetters, MemoryReport, MemoryWriter

TOPIC = "enriched_events"
Record = tuple[int, bytes]


class MemoryBroker:
    """Logs, commits and one group. A commit from a consumer that is no member is refused.

    calm: every commit of a member succeeds, and is known to.
    """

    def __init__(self, dice: random.Random, logs: dict[int, list[Record]], calm: bool = False) -> None:
        self.dice = dice
        self.calm = calm
        self.logs = logs
        self.commits: dict[int, tuple[int, str]] = {}
        self.owners: dict[int, SimConsumer] = {}
        self.members: list[SimConsumer] = []

    def start(self, partition: int) -> int:
        """The offset of the first record."""
        log = self.logs[partition]
        return log[0][0] if log else 0

    def end(self, partition: int) -> int:
        """The offset after the last record."""
        log = self.logs[partition]
        return log[-1][0] + 1 if log else 0

    def rebalance(self) -> None:
        """Spread the partitions over the members anew; they learn of it when they next consume."""
        for partition in self.logs:
            owner = self.owners.get(partition)
            heir = self.dice.choice(self.members) if self.members else None
            if owner is heir:
                continue
            if owner is not None and owner in self.members:
                owner.hand_over(partition)
            elif owner is not None:
                owner.lost.add(partition)
            self.owners.pop(partition, None)
            if heir is not None:
                self.owners[partition] = heir
                heir.coming.add(partition)

    def expel(self, consumer: "SimConsumer") -> None:
        """Its session timed out: it is a member no more, whether it knows or not."""
        self.members.remove(consumer)
        self.rebalance()


class SimConsumer:
    """A consumer of the group in memory: it passes the same tests as librdkafka's."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.coming: set[int] = set()
        self.lost: set[int] = set()
        self.positions: dict[int, int] = {}
        self._paused: set[int] = set()
        self._told_ends: dict[int, int] = {}
        self._on_assign: PartitionsMoved = lambda *_: None
        self._on_revoke: PartitionsMoved = lambda *_: None
        self._on_lost: PartitionsMoved = lambda *_: None

    @property
    def is_bare(self) -> bool:
        """It holds nothing, and has nothing more to learn about what it held."""
        return not (self.positions or self.coming or self.lost)

    def subscribe(
        self, topics: list[str], *, on_assign: PartitionsMoved, on_revoke: PartitionsMoved, on_lost: PartitionsMoved
    ) -> None:
        assert topics == [TOPIC]
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost
        self.broker.members.append(self)
        self.broker.rebalance()

    def hand_over(self, partition: int) -> None:
        """The broker waits for this: revocation is acknowledged before the heir is told."""
        if partition in self.positions:
            self._on_revoke(self, [TopicPartition(TOPIC, partition)])
            del self.positions[partition]
        self.coming.discard(partition)

    def consume(self, records_max: int, timeout_s: float) -> list[Message]:
        if self.lost and self.broker.dice.random() < 0.3:
            self._learn_of_loss()
        if self.coming:
            coming, self.coming = sorted(self.coming), set()
            self._on_assign(self, [TopicPartition(TOPIC, partition) for partition in coming])
        messages: list[Message] = []
        for partition in self.positions.keys() - self._paused:
            messages += self._fetch(partition, self.broker.dice.randint(0, min(records_max, 12)))
        return messages

    def _learn_of_loss(self) -> None:
        if gone := [TopicPartition(TOPIC, partition) for partition in self.lost & self.positions.keys()]:
            self._on_lost(self, gone)
        for partition in self.lost:
            self.positions.pop(partition, None)
            self.coming.discard(partition)
        self.lost = set()

    def _fetch(self, partition: int, count: int) -> list[Message]:
        log = self.broker.logs[partition]
        found = [record for record in log if record[0] >= self.positions[partition]][:count]
        messages = [Message(topic=TOPIC, partition=partition, offset=offset, value=value) for offset, value in found]
        if found:
            self.positions[partition] = found[-1][0] + 1
        position = self.positions[partition]
        if position >= self.broker.end(partition) and self._told_ends.get(partition) != position:
            self._told_ends[partition] = position
            end = KafkaError(KafkaError._PARTITION_EOF)
            messages.append(Message(topic=TOPIC, partition=partition, offset=position, error=end))
        return messages

    def incremental_assign(self, starts: list[TopicPartition]) -> None:
        for start in starts:
            self.seek(start)

    def committed(self, partitions: list[TopicPartition], *, timeout: float) -> list[TopicPartition]:
        nothing = (OFFSET_INVALID,)
        return [
            TopicPartition(TOPIC, asked.partition, *self.broker.commits.get(asked.partition, nothing))
            for asked in partitions
        ]

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        assert not asynchronous
        if self not in self.broker.members:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID))
        fate = 0.0 if self.broker.calm else self.broker.dice.random()
        if fate < 0.9 or fate > 0.95:
            for commit in offsets:
                self.broker.commits[commit.partition] = (commit.offset, commit.metadata)
        if fate >= 0.9:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return offsets

    def get_watermark_offsets(self, partition: TopicPartition, *, timeout: float) -> tuple[int, int]:
        return self.broker.start(partition.partition), self.broker.end(partition.partition)

    def seek(self, place: TopicPartition) -> None:
        self.positions[place.partition] = max(0, place.offset)
        self._told_ends.pop(place.partition, None)

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._paused |= {paused.partition for paused in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        for resumed in partitions:
            self._paused.discard(resumed.partition)
            self._told_ends.pop(resumed.partition, None)

    def close(self) -> None:
        if self.lost:
            self._learn_of_loss()
        for partition in sorted(self.positions):
            self.hand_over(partition)
        if self in self.broker.members:
            self.broker.expel(self)


class SimWriteThread:
    """Delivers on the caller's thread, when the dice says so: it passes the same tests as the thread."""

    def __init__(self, dice: random.Random, deliver: Callable[[Batch, float, Event], Receipt]) -> None:
        self._dice = dice
        self._deliver = deliver
        self.waiting: list[InFlightWrite] = []
        self._finished: list[InFlightWrite] = []

    @property
    def in_flight(self) -> int:
        return len(self.waiting) + len(self._finished)

    def start(self, batch: Batch, planned_at: float) -> InFlightWrite:
        write = InFlightWrite(batch, planned_at)
        self.waiting.append(write)
        return write

    def work(self) -> None:
        """Deliver the next batch; the loop does not know yet."""
        if self.waiting:
            write = self.waiting.pop(0)
            try:
                write.receipt = self._deliver(write.batch, write.planned_at, write.abandoned)
            except Exception as error:
                write.error = error
            self._finished.append(write)

    def finished(self, timeout_s: float = 0.0) -> list[InFlightWrite]:
        if not self._finished and (timeout_s or self._dice.random() < 0.5):
            self.work()
        finished, self._finished = self._finished, []
        return finished

    def close(self) -> None:
        while self.waiting:
            self.work()


class SimSink:
    """One process."""

    def __init__(
        self, broker: MemoryBroker, writer: MemoryWriter, clock: Callable[[], float], rows_max: int, trust_s: float
    ) -> None:
        self.writer = writer
        self.consumer = SimConsumer(broker)
        self.report = MemoryReport()
        self.dead_letters = MemoryDeadLetters()
        healing = Healing(writer, self.report, 1 << 20, 5.0, clock)
        way = Way(ROUTES[TOPIC], writer, self.dead_letters, healing)
        self.delivery = Delivery(way, lambda _: [], 0.0001, trust_s, clock, self.report)
        self.write_thread = SimWriteThread(broker.dice, self.delivery.deliver)
        limits = Limits(rows_max, 1 << 20)

        def open_batcher(partition: int, resumption: Resumption) -> Batcher:
            return Batcher(TOPIC, partition, RecordFilter(partition, True, lambda _id: None), limits, resumption)

        assignment = Assignment(self.consumer, TOPIC, open_batcher, self.write_thread, clock, 0.5)
        report = Report(TOPIC, SinksMetrics(CollectorRegistry()), lambda _: None, lambda _: None, clock)
        dispatcher = Dispatcher(TOPIC, assignment.states, self.consumer.seek, gapless=True)
        pace = Pace(rows_max, 4_000, 1.0, FlushAge(0.5, 1.0))
        self.loop = ConsumerLoop(self.consumer, TOPIC, assignment, dispatcher, self.write_thread, pace, report, clock)
        assignment.subscribe()
