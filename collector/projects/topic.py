"""The topic `projects` as the commands use it: read all of it, write one record and wait for the acknowledgement."""

from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from collector.projects.directory import ProjectDirectory
from schemas.codec import Codec
from schemas.kafka import producer_config
from schemas.settings import Settings
from schemas.whole_topic import TopicUnreadableError, read_whole

_WAIT_S_MAX: Final = 10.0


class ProjectsUnavailableError(RuntimeError):
    """The topic cannot be read or written; the message says why."""


def read_projects(settings: Settings, codec: Codec) -> ProjectDirectory:
    """All projects as the topic has them now. Raises ProjectsUnavailableError."""
    directory = ProjectDirectory()
    try:
        for record in read_whole(settings, "projects", _WAIT_S_MAX):
            value = None if record.value is None else codec.decode(record.value)
            directory.apply((record.key or b"").decode(), value)
    except TopicUnreadableError as error:
        raise ProjectsUnavailableError(str(error)) from None
    return directory


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
