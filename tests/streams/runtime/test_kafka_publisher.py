"""KafkaPublisher and its queue, on a real Kafka: what only it can do wrong. What it promises is in test_publishers."""

from collections.abc import Iterator

import pytest

from docker.local.kafka import KafkaServer
from docker.local.process import HOST, free_port
from schemas.kafka import producer_config
from schemas.settings import Settings
from streams.runtime.operator import Outgoing
from streams.runtime.publisher import KafkaPublisher, PublishError
from tests.kafka import Kafka


@pytest.fixture
def kafka(kafka_server: KafkaServer, topic_prefix: str) -> Iterator[Kafka]:
    """With one topic, `topic`."""
    kafka = Kafka(settings_of(kafka_server.bootstrap, topic_prefix))
    kafka.create("topic", 2)
    yield kafka
    kafka.close()


def settings_of(bootstrap: str, prefix: str) -> Settings:
    return Settings.model_validate({"kafka_bootstrap": bootstrap, "topic_prefix": prefix})


def publisher(bootstrap: str, flush_timeout_s: float = 60.0, **config: int) -> KafkaPublisher:
    own = producer_config(settings_of(bootstrap, ""), log_level=0, linger_ms=0, **config)
    return KafkaPublisher(own, flush_timeout_s=flush_timeout_s)


async def test_a_full_queue_delays_and_neither_loses_nor_reorders(
    kafka_server: KafkaServer, kafka: Kafka, topic_prefix: str
) -> None:
    full = publisher(kafka_server.bootstrap, queue_buffering_max_messages=50)
    values = [b"%d" % number for number in range(5_000)]
    records: list[Outgoing] = [
        {"key": b"k", "value": value, "partition": index % 2} for index, value in enumerate(values)
    ]
    full.publish(f"{topic_prefix}topic", records)
    await full.flush()
    stored = kafka.read("topic")
    assert [[record.value for record in stored if record.partition == one] for one in (0, 1)] == [
        values[0::2],
        values[1::2],
    ]


async def test_a_record_too_large_is_refused_beside_a_full_queue(
    kafka_server: KafkaServer, kafka: Kafka, topic_prefix: str
) -> None:
    full = publisher(kafka_server.bootstrap, queue_buffering_max_messages=50)
    topic = f"{topic_prefix}topic"
    records: list[Outgoing] = [{"key": b"k", "value": bytes(10)} for _ in range(500)]
    records[-3] = {"key": b"k", "value": bytes(3 * 2**20)}
    with pytest.raises(PublishError, match=topic):
        full.publish(topic, records, partition=0)


async def test_a_broker_that_is_away_fails_the_flush() -> None:
    nowhere = publisher(f"{HOST}:{free_port()}", flush_timeout_s=1.0)
    nowhere.publish("anything", [{"key": b"k", "value": b"v"}])
    with pytest.raises(PublishError):
        await nowhere.flush()
