"""One Kafka as tests see it: topics made and deleted, records written and read back, what groups have committed.

Topic names here are those of `schemas.topics`; the prefix of the settings is put before them.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.kafka import producer_config
from schemas.settings import Settings
from schemas.whole_topic import Record
from tests.waiting import wait_until

ANY_PARTITION: Final = -1
_TIMEOUT_S: Final = 60.0
_Answer = TypeVar("_Answer")
# A broker that has just elected itself, or loads a group, says so, and librdkafka asks again only for some requests.
# One that was suspended may name no leader for a while: librdkafka then knows no partition of which it was just told.
_NOT_YET: Final = frozenset({
    KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._WAIT_COORD,
    KafkaError._UNKNOWN_PARTITION,
})  # fmt: skip
# A fetch that waits for records would hold up every other request of the same connection.
_READING: Final[dict[str, str | int | bool]] = {
    "fetch.wait.max.ms": 10,
    "enable.partition.eof": True,
    "enable.auto.commit": False,
    "log_level": 0,
}


def answered(ask: Callable[[], _Answer], timeout_s: float = _TIMEOUT_S) -> _Answer:
    """The answer to a request that changes nothing, asked again while the broker says: not yet. Raises KafkaException
    with any other error, and with that one after `timeout_s`."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _NOT_YET or time.monotonic() > give_up_at:
                raise
        time.sleep(0.05)


class Kafka:
    """The topics of one prefix. Every call returns when it is done, or raises."""

    def __init__(self, settings: Settings, timeout_s: float = _TIMEOUT_S) -> None:
        self._settings = settings
        self._timeout_s = timeout_s  # of what only asks
        self._consumers: dict[str, Consumer] = {}
        self.admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
        self._producer = Producer(producer_config(settings, linger_ms=5) | {"log_level": 0})

    def create(self, topic: str, partitions: int) -> None:
        """One topic, without compaction, so that nothing vanishes during a test."""
        name = self._settings.topic(topic)
        self.admin.create_topics([NewTopic(name, partitions)])[name].result(_TIMEOUT_S)

    def recreate(self, topic: str, partitions: int) -> None:
        """Delete a topic and make it anew, empty; records that are produced after this are safe.

        The broker answers before the deletion has reached its log: for a moment the dying log takes records, and
        acknowledges them, which then are gone. It is over when the new topic says that it begins and ends at 0.
        """
        name = self._settings.topic(topic)
        self.admin.delete_topics([name])[name].result(_TIMEOUT_S)
        wait_until(lambda: name not in self._names(), lambda: f"{name} is still there")
        self.create(topic, partitions)
        wait_until(lambda: self._is_empty(topic, partitions), lambda: f"{name} has {self.bounds(topic)}")
        self.forget_places()

    def forget_places(self) -> None:
        """From here on produce like somebody who has not heard of how many partitions topics had, and where."""
        self._producer = Producer(producer_config(self._settings, linger_ms=5) | {"log_level": 0})

    def _is_empty(self, topic: str, partitions: int) -> bool:
        try:
            return self.bounds(topic) == [(0, 0)] * partitions
        except KafkaException:  # no leader yet
            return False

    def produce(
        self, topic: str, records: Iterable[tuple[bytes | str | None, bytes | None]], partition: int = ANY_PARTITION
    ) -> list[tuple[int, int]]:
        """Append keys and values; partition and offset of each, in their order, once Kafka has acknowledged all.

        Raises KafkaException when one is not delivered. That the producer's queue is empty would not tell: it is empty
        too when it has given up.
        """
        name = self._settings.topic(topic)
        places: dict[int, tuple[int, int]] = {}
        failed: list[KafkaError] = []

        def report(number: int) -> Callable[[KafkaError | None, Message], None]:
            def delivered(error: KafkaError | None, message: Message) -> None:
                if error is not None:
                    failed.append(error)
                else:
                    places[number] = message.partition(), message.offset()

            return delivered

        count = 0
        for key, value in records:
            self._append(name, key, value, partition, report(count))
            count += 1
        self._producer.flush(_TIMEOUT_S)
        if failed:
            raise KafkaException(failed[0])
        if len(places) != count:
            raise TimeoutError(f"{name}: only {len(places)} of {count} records are acknowledged")
        return [places[number] for number in range(count)]

    def _append(
        self,
        name: str,
        key: bytes | str | None,
        value: bytes | None,
        partition: int,
        report: Callable[[KafkaError | None, Message], None],
    ) -> None:
        while True:
            try:
                self._producer.produce(name, value, key, partition=partition, on_delivery=report)
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return

    def bounds(self, topic: str) -> list[tuple[int, int]]:
        """The first and the next offset of each partition."""
        consumer = self._consumer("reader")
        name = self._settings.topic(topic)
        partitions = sorted(consumer.list_topics(name, timeout=self._timeout_s).topics[name].partitions)
        return [
            self._ask(partial(consumer.get_watermark_offsets, TopicPartition(name, number))) for number in partitions
        ]

    def _ask(self, ask: Callable[..., _Answer]) -> _Answer:
        return answered(partial(ask, timeout=self._timeout_s), self._timeout_s)

    def ends(self, topic: str) -> list[int]:
        """The offset that comes next in each partition."""
        return [end for _, end in self.bounds(topic)]

    def read(self, topic: str) -> list[Record]:
        """Every record up to the present ends, partition by partition, in order."""
        consumer = self._consumer("reader")
        name = self._settings.topic(topic)
        ends = self.ends(topic)
        unread = set(range(len(ends)))
        found: list[list[Record]] = [[] for _ in ends]
        consumer.assign([TopicPartition(name, partition, 0) for partition in unread])
        try:
            while unread:
                # `consume` would wait for its timeout when there are fewer; what has come already it gives at once.
                first = consumer.poll(_TIMEOUT_S)
                assert first is not None, f"{name}: partitions {unread} cannot be read to {ends}"
                for message in (first, *consumer.consume(10_000, timeout=0)):
                    partition, offset, error = message.partition(), message.offset(), message.error()
                    if error is not None and error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    if error is None and offset < ends[partition]:
                        found[partition].append(
                            Record(partition, offset, message.key(), message.value(), message.headers() or ())
                        )
                    if error is not None or offset + 1 >= ends[partition]:
                        unread.discard(partition)
        finally:
            consumer.unassign()
        return [record for records in found for record in records]

    def committed(self, group: str, topic: str, partitions: int) -> list[TopicPartition]:
        """What a group has committed of each partition; offset -1001 where it has nothing."""
        asked = [TopicPartition(self._settings.topic(topic), partition) for partition in range(partitions)]
        answers: list[TopicPartition] = self._ask(partial(self._consumer(group).committed, asked))
        return answers

    def lag(self, group: str, topic: str) -> int:
        """How many records of a topic a group has not committed yet."""
        bounds = self.bounds(topic)
        committed = self.committed(group, topic, len(bounds))
        return sum(high - max(low, place.offset) for (low, high), place in zip(bounds, committed, strict=True))

    def commit(self, group: str, topic: str, offsets: Sequence[int], metadata: str = "") -> None:
        """Commit for a group that has no members: one offset for each of the first partitions."""
        self.commit_places(group, [(topic, number, offset) for number, offset in enumerate(offsets)], metadata)

    def commit_places(self, group: str, places: Iterable[tuple[str, int, int]], metadata: str = "") -> None:
        """Likewise: topic, partition and offset."""
        name = self._settings.topic
        starts = [TopicPartition(name(topic), partition, offset, metadata) for topic, partition, offset in places]
        consumer = self._consumer(group)
        # To commit the same once more changes nothing: the group has no members.
        for answer in answered(lambda: consumer.commit(offsets=starts, asynchronous=False)) or ():
            if answer.error is not None:
                raise KafkaException(answer.error)

    def disconnect(self) -> None:
        """Let go of the connections."""
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers.clear()

    def close(self) -> None:
        """Let go of the connections; delete the topics of the prefix."""
        self.disconnect()
        prefix = self._settings.topic_prefix
        assert prefix, "without a prefix the topics are not this test's alone"
        topics = [name for name in self._names() if name.startswith(prefix)]
        for done in self.admin.delete_topics(topics).values() if topics else ():
            done.result(_TIMEOUT_S)

    def _names(self) -> list[str]:
        return list(self.admin.list_topics(timeout=_TIMEOUT_S).topics)

    def _consumer(self, group: str) -> Consumer:
        if group not in self._consumers:
            own = {"bootstrap.servers": self._settings.kafka_bootstrap, "group.id": group}
            self._consumers[group] = Consumer(own | _READING)
        return self._consumers[group]
