"""Records of a topic that somebody looks for, read from its beginning to its present end. Commits nothing."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.apply.findings import UnreachableError
from schemas.kafka import consumer_config
from schemas.settings import Settings

_TIMEOUT_S: Final = 15.0
_FETCH_RECORDS: Final = 10_000


class Found(NamedTuple):
    """A record as it stands in a topic."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def find(settings: Settings, topic: str, wanted: Callable[[bytes, bytes | None], bool]) -> list[Found]:
    """The records of a topic, by its name in the contract, whose key and value are wanted; in order by partition.

    Raises UnreachableError when Kafka does not answer, or has no such topic.
    """
    name = settings.topic(topic)
    consumer = Consumer(consumer_config(settings, "inspection", log_level=0, enable_partition_eof=True))
    try:
        known = consumer.list_topics(name, timeout=_TIMEOUT_S).topics[name]
        if known.error is not None:
            raise UnreachableError(f"topic {name}: {known.error.str()}; run `python -m schemas apply`")
        return _read(consumer, name, sorted(known.partitions), wanted)
    except KafkaException as error:
        raise UnreachableError(f"Kafka at {settings.kafka_bootstrap}: {error.args[0].str()}") from None
    finally:
        consumer.close()


def _read(
    consumer: Consumer, name: str, partitions: list[int], wanted: Callable[[bytes, bytes | None], bool]
) -> list[Found]:
    places = [TopicPartition(name, partition) for partition in partitions]
    ends = {place.partition: consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)[1] for place in places}
    consumer.assign([TopicPartition(name, partition, 0) for partition in partitions])
    unread, found = set(partitions), []
    while unread:
        # `consume` would wait for its timeout when there are fewer; what has come already it gives at once.
        first = consumer.poll(_TIMEOUT_S)
        if first is None:
            raise UnreachableError(f"topic {name}: nothing came of partitions {sorted(unread)} for {_TIMEOUT_S:.0f} s")
        for message in (first, *consumer.consume(_FETCH_RECORDS, timeout=0)):
            partition, offset, key, error = message.partition(), message.offset(), message.key(), message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                unread.discard(partition)
            elif offset < ends[partition] and key is not None and wanted(key, message.value()):
                found.append(Found(partition, offset, key, message.value(), message.headers() or ()))
    return sorted(found, key=lambda one: (one.partition, one.offset))
