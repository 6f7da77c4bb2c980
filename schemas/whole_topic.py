"""A topic read from its beginning to its present end, for commands. Commits nothing."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.kafka import consumer_config
from schemas.settings import Settings

_TIMEOUT_S: Final = 10.0
_FETCH_RECORDS: Final = 10_000


class TopicUnreadableError(RuntimeError):
    """Kafka does not answer, or has no such topic; the message says which."""


class Record(NamedTuple):
    """A record as it stands in a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def read_whole(settings: Settings, topic: str, timeout_s: float = _TIMEOUT_S) -> Iterator[Record]:
    """The records of a topic, by its name in the contract; each partition's in their order.

    timeout_s: how long each answer of Kafka is waited for. Raises TopicUnreadableError.
    """
    name = settings.topic(topic)
    consumer = Consumer(consumer_config(settings, "whole-topic", log_level=0, enable_partition_eof=True))
    try:
        known = consumer.list_topics(name, timeout=timeout_s).topics[name]
        if known.error is not None:
            raise TopicUnreadableError(f"topic {name}: {known.error.str()}; run `python -m schemas apply`")
        yield from _read(consumer, name, sorted(known.partitions), timeout_s)
    except KafkaException as error:
        where = settings.kafka_bootstrap
        raise TopicUnreadableError(f"Kafka at {where} cannot be read: {error.args[0].str()}") from None
    finally:
        consumer.close()


def _read(consumer: Consumer, name: str, partitions: list[int], timeout_s: float) -> Iterator[Record]:
    places = [TopicPartition(name, partition) for partition in partitions]
    ends = {place.partition: consumer.get_watermark_offsets(place, timeout=timeout_s)[1] for place in places}
    consumer.assign([TopicPartition(name, partition, 0) for partition in partitions])
    unread = set(partitions)
    while unread:
        # `consume` would wait for its timeout when there are fewer; what has come already it gives at once.
        first = consumer.poll(timeout_s)
        if first is None:
            raise TopicUnreadableError(f"topic {name}: nothing came of partitions {sorted(unread)} for {timeout_s:g} s")
        for message in (first, *consumer.consume(_FETCH_RECORDS, timeout=0)):
            partition, offset, error = message.partition(), message.offset(), message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                unread.discard(partition)
                continue
            if offset < ends[partition]:
                yield Record(partition, offset, message.key(), message.value(), message.headers() or ())
            # An end is only told where nothing more comes at once, which may be never; it is for ends without a record.
            if offset + 1 >= ends[partition]:
                unread.discard(partition)
