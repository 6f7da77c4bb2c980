"""The publisher and its queue on a real Kafka; what every publisher promises is in test_publishers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from confluent_kafka import KafkaError

from collector.kafka import publisher as publisher_module
from collector.kafka.publisher import KafkaPublisher, Record
from docker.local.kafka import KafkaServer
from docker.local.process import free_port
from schemas.apply.topics import apply_topics
from schemas.settings import Settings
from tests.collector.made import codec
from tests.collector.running import read_topic


def settings_for(kafka: KafkaServer, prefix: str, **overrides: Any) -> Settings:
    own = {"kafka_bootstrap": kafka.bootstrap, "topic_prefix": prefix, "partitions": 2}
    settings = Settings.model_validate(own | overrides)
    apply_topics(settings)
    return settings


def dead_letter(name: str, size: int = 0) -> Record:
    """A record that `read_topic` can read; its client_message_id is the name."""
    fields = dict.fromkeys(
        ("dead_letter_id", "tenant_id", "project_id", "stage", "reason", "detail", "source_topic"), ""
    )
    numbers = dict.fromkeys(("source_partition", "source_offset", "first_seen_at"), 0)
    value = codec("dead_letters").encode(fields | numbers | {"client_message_id": name, "payload": b"x" * size})
    return {"key": name.encode(), "value": value}


@pytest.fixture
async def fatal() -> list[str]:
    """What the publishers of the test gave up for."""
    return []


async def publish(publisher: KafkaPublisher, topic: str, *names: str) -> bool:
    records = [dead_letter(name) for name in names]
    return await publisher.publish([(topic, records)], 100 * len(names))


@pytest.fixture
async def settings(kafka_server: KafkaServer, topic_prefix: str) -> Settings:
    return settings_for(kafka_server, topic_prefix)


@pytest.fixture
async def publisher(settings: Settings, fatal: list[str]) -> AsyncIterator[KafkaPublisher]:
    made = KafkaPublisher(settings, fatal.append)
    yield made
    made.close(10)


async def test_few_and_many_records_are_durable_once_the_future_says_so(
    publisher: KafkaPublisher, settings: Settings
) -> None:
    topic = settings.topic("dead_letters")
    requests = [[f"{number}-{index}" for index in range(number)] for number in range(1, 40)]
    assert all(await asyncio.gather(*(publish(publisher, topic, *names) for names in requests)))
    found = [stored.value["client_message_id"] for stored in read_topic(settings, "dead_letters")]
    assert sorted(found) == sorted(name for names in requests for name in names)
    assert publisher.inflight_bytes == 0


@pytest.mark.parametrize("names", [("a", "b", "c"), tuple(f"n{number}" for number in range(30))])
async def test_records_that_do_not_fit_in_the_queue_are_not_durable(
    kafka_server: KafkaServer,
    topic_prefix: str,
    fatal: list[str],
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
) -> None:
    monkeypatch.setattr(publisher_module, "_QUEUE_RECORDS_MAX", 2)
    settings = settings_for(kafka_server, topic_prefix)
    publisher = KafkaPublisher(settings, fatal.append)
    topic = settings.topic("dead_letters")
    assert not await publish(publisher, topic, *names)
    assert publisher.inflight_bytes == 0
    assert await publish(publisher, topic, "last")
    publisher.close(10)


async def test_without_kafka_the_wait_ends_and_close_tells_what_is_left(fatal: list[str]) -> None:
    nowhere = {"kafka_bootstrap": f"127.0.0.1:{free_port()}", "collector_ack_wait_ms_max": 300}
    settings = Settings.model_validate(nowhere)
    publisher = KafkaPublisher(settings, fatal.append)
    assert not await publish(publisher, "anything", "a")
    waiting = publisher.publish([("anything", [dead_letter("b")])], 10)
    assert publisher.close(0.0) >= 1  # librdkafka may not have given up the first yet
    assert not waiting.done()
    assert fatal == []


async def test_a_fatal_error_is_passed_on(publisher: KafkaPublisher, fatal: list[str]) -> None:
    publisher._on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert fatal == []
    publisher._on_error(KafkaError(KafkaError._FATAL, "out of sequence", fatal=True))
    assert fatal == ["out of sequence"]
