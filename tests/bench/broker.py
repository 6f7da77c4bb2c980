"""Kafka as the benchmarks see it: fill a topic, at once or at a rate, see how far others are, read everything back."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from schemas.kafka import consumer_config, producer_config
from schemas.settings import Settings
from tests.bench.lines import require

Record = Mapping[str, Any]  # key, value
_SLICE: Final = 10_000
_TIMEOUT_S: Final = 30.0
_PACED_S: Final = 0.02  # a paced topic gets its records in slices of so long
POLL_S: Final = 0.02


class Broker:
    """One Kafka, with the settings of one topic prefix. Topic names here are the broker's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic that keeps what it gets."""
        config = {"max.message.bytes": str(2 * 2**20)}
        self._admin.create_topics([NewTopic(topic, partitions, 1, config=config)])[topic].result(_TIMEOUT_S)

    def delete(self, topics: Sequence[str]) -> None:
        """Forget topics."""
        for done in self._admin.delete_topics(list(topics)).values():
            done.result(_TIMEOUT_S)

    def produce(self, topic: str, records: Sequence[Record]) -> None:
        """Append records where their keys belong, and wait until all are durable. Raises WrongOutputError."""
        self._produce(topic, {-1: records})

    def produce_to(self, topic: str, records: Mapping[int, Sequence[Record]]) -> None:
        """Append records to the partitions given, likewise."""
        self._produce(topic, records)

    def _produce(self, topic: str, records: Mapping[int, Sequence[Record]]) -> None:
        appending = Appending(self._settings, topic)
        # The partition is the call's: produce_batch takes one in a record too, and ignores it.
        for partition, some in records.items():
            for start in range(0, len(some), _SLICE):
                appending.append(some[start : start + _SLICE], partition)
        appending.finish()

    def pace(self, topic: str, records: Sequence[Record], per_s: float) -> None:
        """Append records at a rate, each slice when it is due, and wait until all are durable. Raises WrongOutputError.

        Records that Kafka has no room for yet keep their order, and delay those after them.
        """
        appending = Appending(self._settings, topic)
        size = max(1, round(per_s * _PACED_S))
        started = time.monotonic()
        for start in range(0, len(records), size):
            time.sleep(max(0.0, started + start / per_s - time.monotonic()))
            appending.append(records[start : start + size])
        appending.finish()

    def ends(self, topic: str) -> dict[int, int]:
        """The offset that comes next in each partition."""
        partitions = self._admin.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
        asked = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in partitions}
        answers = self._admin.list_offsets(asked, request_timeout=_TIMEOUT_S)
        return {at.partition: answer.result(_TIMEOUT_S).offset for at, answer in answers.items()}

    def count(self, topic: str) -> int:
        """How many records the topic has ever got; right for topics without transactions."""
        return sum(self.ends(topic).values())

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """A group's committed offset in each partition that has one."""
        asked = ConsumerGroupTopicPartitions(group)
        answer = self._admin.list_consumer_group_offsets([asked], request_timeout=_TIMEOUT_S)[group].result(_TIMEOUT_S)
        return {at.partition: at.offset for at in answer.topic_partitions if at.topic == topic and at.offset >= 0}

    def is_done(self, group: str, topic: str) -> bool:
        """Whether the group has committed all of the topic."""
        committed = self.committed(group, topic)
        return all(committed.get(partition, 0) == end for partition, end in self.ends(topic).items())

    def read(self, topic: str, starts: Mapping[int, int] | None = None) -> Iterator[Message]:
        """Every record from the offsets `starts` (the beginning where there is none) up to the present ends."""
        ends = self.ends(topic)
        starts = {partition: (starts or {}).get(partition, 0) for partition in ends}
        wanted = sum(ends[partition] - start for partition, start in starts.items())
        consumer = Consumer(consumer_config(self._settings, "bench-reader"))
        consumer.assign([TopicPartition(topic, partition, start) for partition, start in starts.items()])
        try:
            give_up_at = time.monotonic() + _TIMEOUT_S
            while wanted > 0:
                messages = consumer.consume(min(_SLICE, wanted), 1.0)
                require(time.monotonic() < give_up_at, f"{topic}: {wanted} records are not to be had")
                for message in messages:
                    require(message.error() is None, f"{topic}: {message.error()}")
                    give_up_at = time.monotonic() + _TIMEOUT_S
                wanted -= len(messages)
                yield from messages
        finally:
            consumer.close()

    def digest(self, topic: str) -> dict[int, str]:
        """A digest of each partition's keys and values, in their order: equal where two topics hold the same bytes."""
        digests = {partition: hashlib.blake2b() for partition in self.ends(topic)}
        for message in self.read(topic):
            for part in (message.key() or b"", message.value() or b""):
                digests[message.partition() or 0].update(len(part).to_bytes(8, "big") + part)
        return {partition: digest.hexdigest() for partition, digest in digests.items()}


class Appending:
    """Records on their way to one topic."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._topic = topic
        self._failed: list[str] = []
        # An empty queue does not tell that all was delivered. Only failures are reported: a report for each record
        # would cost the generator what the measured process should have. Of the log only errors: a broker that has
        # just started answers the first request with "retry".
        reports = {"delivery.report.only.error": True, "on_delivery": self._note}
        own = producer_config(settings, linger_ms=5, batch_size=2**20, log_level=3)
        self._producer = Producer(own | reports)

    def append(self, records: Sequence[Record], partition: int = -1) -> None:
        """Queue records, waiting for room."""
        part = [dict(record) for record in records]
        while part:
            part = part[self._producer.produce_batch(self._topic, part, partition=partition) :]
            self._producer.poll(0.01 if part else 0)

    def finish(self) -> None:
        """Wait until all are durable. Raises WrongOutputError."""
        left = self._producer.flush(_TIMEOUT_S)
        require(left == 0 and not self._failed, f"{self._topic}: Kafka did not take all records: {self._failed[:1]}")

    def _note(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failed.append(error.str())


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float, poll_s: float = POLL_S) -> None:
    """Return once the condition holds. Raises WrongOutputError after `timeout_s`."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        require(time.monotonic() < give_up_at, f"after {timeout_s:.0f} s still waiting for {what}")
        time.sleep(poll_s)
