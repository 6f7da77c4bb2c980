"""KafkaPublisher on a real Kafka: nothing lost, nothing moved, every failure raised."""

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from faust.types import TP

from docker.local.kafka import KafkaServer
from docker.local.process import HOST, free_port
from schemas.kafka import producer_config
from schemas.settings import Settings
from streams.runtime.publisher import KafkaPublisher, PublishError

PARTITIONS = 2


@pytest.fixture
def topic(kafka_server: KafkaServer, unique_name: str) -> Iterator[str]:
    admin = AdminClient({"bootstrap.servers": kafka_server.bootstrap})
    admin.create_topics([NewTopic(unique_name, PARTITIONS)])[unique_name].result(60)
    yield unique_name
    admin.delete_topics([unique_name])[unique_name].result(60)


def publisher(bootstrap: str, *, offsets: bool = False, flush_timeout_s: float = 60.0, **config: Any) -> KafkaPublisher:
    settings = Settings.model_validate({"kafka_bootstrap": bootstrap})
    return KafkaPublisher(producer_config(settings, log_level=0, **config), offsets, flush_timeout_s)


def stored(bootstrap: str, topic: str) -> list[list[bytes]]:
    """The values in each partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader"})
    found = []
    for partition in range(PARTITIONS):
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=60)
        consumer.assign([TopicPartition(topic, partition, low)])
        values: list[bytes] = []
        while len(values) < high - low:
            values += [message.value() for message in consumer.consume(high - low - len(values), timeout=60)]
        found.append(values)
    consumer.close()
    return found


async def test_a_full_queue_delays_and_neither_loses_nor_reorders(kafka_server: KafkaServer, topic: str) -> None:
    kafka = publisher(kafka_server.bootstrap, queue_buffering_max_messages=50, linger_ms=0)
    values = [b"%d" % number for number in range(5_000)]
    kafka.publish(topic, [{"key": b"k", "value": value, "partition": index % 2} for index, value in enumerate(values)])
    await kafka.flush()
    assert stored(kafka_server.bootstrap, topic) == [values[0::2], values[1::2]]


async def test_the_offsets_reached_are_told_once(kafka_server: KafkaServer, topic: str) -> None:
    kafka = publisher(kafka_server.bootstrap, offsets=True)
    kafka.publish(topic, [{"key": b"k", "value": b"v"}] * 3, partition=1)
    kafka.publish(topic, [{"key": b"k", "value": None}], partition=0)
    assert await kafka.flush() == {TP(topic, 1): 2, TP(topic, 0): 0}
    assert await kafka.flush() == {}


async def test_a_record_too_large_is_refused_in_words(kafka_server: KafkaServer, topic: str) -> None:
    kafka = publisher(kafka_server.bootstrap)
    records = [{"key": b"k", "value": bytes(size)} for size in (10, 3 * 2**20, 10)]
    with pytest.raises(PublishError, match=topic):
        kafka.publish(topic, records, partition=0)


async def test_a_record_too_large_is_refused_beside_a_full_queue(kafka_server: KafkaServer, topic: str) -> None:
    kafka = publisher(kafka_server.bootstrap, queue_buffering_max_messages=50, linger_ms=0)
    records = [{"key": b"k", "value": bytes(10)} for _ in range(500)]
    records[-3] = {"key": b"k", "value": bytes(3 * 2**20)}
    with pytest.raises(PublishError, match=topic):
        kafka.publish(topic, records, partition=0)


async def test_a_topic_that_is_not_there_fails_the_flush(kafka_server: KafkaServer, topic: str) -> None:
    kafka = publisher(kafka_server.bootstrap, flush_timeout_s=2.0)
    kafka.publish(f"{topic}-not-there", [{"key": b"k", "value": b"v"}])
    with pytest.raises(PublishError):
        await kafka.flush()


async def test_a_broker_that_is_away_fails_the_flush() -> None:
    kafka = publisher(f"{HOST}:{free_port()}", flush_timeout_s=1.0)
    kafka.publish("anything", [{"key": b"k", "value": b"v"}])
    with pytest.raises(PublishError):
        await kafka.flush()
