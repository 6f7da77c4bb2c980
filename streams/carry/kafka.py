"""What carrying states asks of Kafka: members, commits, records of one partition. Writes only what it is told to."""

import time
from collections.abc import Iterator, Mapping
from typing import Final

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from schemas.apply.findings import UnreachableError
from schemas.kafka import consumer_config
from schemas.settings import Settings
from schemas.topics import STATE_TABLES, streams_group
from streams.carry.moves import Found

_TIMEOUT_S: Final = 15.0
_FETCH_RECORDS: Final = 10_000
_NO_GROUP: Final = frozenset({KafkaError.GROUP_ID_NOT_FOUND, KafkaError.INVALID_GROUP_ID})
# A broker answers so while it takes over the groups of another, or those of a cluster in which none was before.
_NO_COORDINATOR_YET: Final = frozenset(
    {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE}
)
_PAUSE_S: Final = 0.2


class Kafka:
    """The topics and groups of one prefix. Raises KafkaException, and UnreachableError when records do not come."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
        # One partition is read after the other: a fetch that waits at the end of one would hold up the next.
        own = {"log_level": 0, "enable_partition_eof": True, "fetch_wait_max_ms": 10}
        self._consumer = Consumer(consumer_config(settings, "carry", **own))

    def close(self) -> None:
        """Leave Kafka."""
        self._consumer.close()

    def partitions(self, topic: str) -> int:
        """How many a topic has; 0 when there is no such topic."""
        found = self._consumer.list_topics(timeout=_TIMEOUT_S).topics.get(self._settings.topic(topic))
        return 0 if found is None else len(found.partitions)

    def members(self, settings: Settings) -> int:
        """How many workers a generation has now."""
        group = settings.topic(streams_group(settings))
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            try:
                described = self._admin.describe_consumer_groups([group])[group].result(_TIMEOUT_S)
                return len(described.members)
            except KafkaException as error:
                if error.args[0].code() in _NO_GROUP:
                    return 0
                if error.args[0].code() not in _NO_COORDINATOR_YET or time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE_S)

    def committed(self, settings: Settings, partitions: Mapping[str, int]) -> dict[tuple[str, int], int]:
        """What a generation has committed, by source and partition; no entry where it has not."""
        consumer = Consumer(consumer_config(settings, streams_group(settings), log_level=0))
        try:
            names = {settings.topic(source): source for source in STATE_TABLES}
            asked = [TopicPartition(name, one) for name, source in names.items() for one in range(partitions[source])]
            answers = consumer.committed(asked, timeout=_TIMEOUT_S)
        finally:
            consumer.close()
        for one in answers:
            if one.error is not None:
                raise KafkaException(one.error)
        return {(names[one.topic], one.partition): one.offset for one in answers if one.offset >= 0}

    def commit(self, settings: Settings, offsets: Mapping[tuple[str, int], int]) -> None:
        """Have a generation that has no workers start there."""
        places = [
            TopicPartition(settings.topic(source), partition, offset)
            for (source, partition), offset in sorted(offsets.items())
        ]
        request = ConsumerGroupTopicPartitions(settings.topic(streams_group(settings)), places)
        (done,) = self._admin.alter_consumer_group_offsets([request]).values()
        for place in done.result(_TIMEOUT_S).topic_partitions:
            if place.error is not None:
                raise KafkaException(place.error)

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The first and the next offset of a partition."""
        place = TopicPartition(self._settings.topic(topic), partition)
        low, high = self._consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)
        return int(low), int(high)

    def read(self, topic: str, partition: int, start: int = 0) -> Iterator[Found]:
        """The records of a partition that have a key, from an offset to where it ends now."""
        name = self._settings.topic(topic)
        low, end = self.bounds(topic, partition)
        if max(low, start) >= end:
            return
        self._consumer.assign([TopicPartition(name, partition, max(low, start))])
        while True:
            first = self._consumer.poll(_TIMEOUT_S)
            if first is None:
                raise UnreachableError(f"topic {name}: nothing came of partition {partition} for {_TIMEOUT_S:.0f} s")
            for message in (first, *self._consumer.consume(_FETCH_RECORDS, timeout=0)):
                if _is_end(message) or (message.offset() or 0) >= end:
                    return
                if (key := message.key()) is not None:
                    yield Found(message.offset() or 0, key, message.value(), message.headers() or ())


def _is_end(message: Message) -> bool:
    error = message.error()
    if error is None:
        return False
    if error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)
    return True


def last_value(kafka: Kafka, topic: str, partition: int) -> bytes | None:
    """The value of a partition's last record; None when it is empty."""
    _, end = kafka.bounds(topic, partition)
    found = list(kafka.read(topic, partition, max(0, end - 1)))
    return found[-1].value if found else None
