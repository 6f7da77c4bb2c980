"""The topic `projects` as the commands use it: read all of it, write one record and wait for the acknowledgement."""

import uuid
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from collector.projects.directory import ProjectDirectory
from schemas.codec import Codec
from schemas.kafka import consumer_config, producer_config
from schemas.settings import Settings

_WAIT_S_MAX: Final = 10.0


class ProjectsUnavailableError(RuntimeError):
    """The topic cannot be read or written; the message says why."""


def read_projects(settings: Settings, codec: Codec) -> ProjectDirectory:
    """All projects as the topic has them now. Raises ProjectsUnavailableError."""
    directory = ProjectDirectory()
    topic = settings.topic("projects")
    config = consumer_config(settings, f"projects-{uuid.uuid4()}", enable_partition_eof=True)
    consumer = Consumer(config)
    try:
        if consumer.list_topics(topic, _WAIT_S_MAX).topics[topic].error is not None:
            raise ProjectsUnavailableError(f"there is no topic {topic}: run `python -m schemas apply` first")
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        while (message := consumer.poll(_WAIT_S_MAX)) is not None:
            error = message.error()
            if error is None:
                value = message.value()
                directory.apply((message.key() or b"").decode(), None if value is None else codec.decode(value))
            elif error.code() == KafkaError._PARTITION_EOF:
                return directory
        raise ProjectsUnavailableError(f"Kafka at {settings.kafka_bootstrap} did not answer")
    except KafkaException as error:
        reason = error.args[0].str()
        raise ProjectsUnavailableError(f"Kafka at {settings.kafka_bootstrap} cannot be reached: {reason}") from None
    finally:
        consumer.close()


def write_project(settings: Settings, codec: Codec, record: Mapping[str, Any]) -> None:
    """Publish a project and wait for the acknowledgement. Raises ProjectsUnavailableError."""
    failures: list[str] = []
    producer = Producer(producer_config(settings, message_timeout_ms=int(_WAIT_S_MAX * 1000)))
    try:
        producer.produce(
            settings.topic("projects"),
            codec.encode(record),
            record["write_key"].encode(),
            on_delivery=lambda error, _: failures.append(error.str()) if error else None,
        )
    except KafkaException as error:
        raise ProjectsUnavailableError(error.args[0].str()) from None
    if producer.flush(_WAIT_S_MAX) or failures:
        raise ProjectsUnavailableError(failures[0] if failures else "Kafka did not acknowledge the project in time")
