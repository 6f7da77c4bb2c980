"""The admin side of `projects`: read all of them, write one."""

import json
import secrets
import string
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from collector.projects.directory import Project, ProjectDirectory
from schemas.codec import Codec
from schemas.kafka import consumer_config, producer_config
from schemas.settings import Settings

NAME_CHARS_MAX: Final = 100
WRITE_KEY_CHARS_MAX: Final = 100
# 190 bits, and nothing that a command line, a URL or a double click takes for something else.
_KEY_ALPHABET: Final = string.ascii_letters + string.digits
_KEY_CHARS: Final = 32
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


def project_record(
    existing: Project | None,
    now_ms: int,
    *,
    name: str | None = None,
    write_key: str | None = None,
    tenant_id: str | None = None,
    allowed_origins: Sequence[str] | None = None,
    settings: str | None = None,
    is_disabled: bool | None = None,
) -> dict[str, Any]:
    """The record of a new project, or of `existing` with what is given changed. Raises ValueError naming the option.

    What is disabled stays so unless `is_disabled` says otherwise: a new name must not let its events in again.
    """
    before = project_record_of(existing) if existing is not None else _new_record(now_ms)
    given = {
        "name": name,
        "write_key": write_key,
        "tenant_id": tenant_id,
        "allowed_origins": None if allowed_origins is None else list(allowed_origins),
        "settings": settings,
    }
    record = before | {field: value for field, value in given.items() if value is not None}
    # Never behind the record it replaces, whatever the clock of this machine says: the largest updated_at wins.
    record["updated_at"] = max(now_ms, before["updated_at"] + 1)
    if is_disabled is not None:
        record["is_disabled"] = is_disabled
    _check(record)
    return record


def _new_record(now_ms: int) -> dict[str, Any]:
    return {
        "project_id": str(uuid.uuid4()),
        "tenant_id": str(uuid.uuid4()),
        "name": "",
        "write_key": "".join(secrets.choice(_KEY_ALPHABET) for _ in range(_KEY_CHARS)),
        "allowed_origins": [],
        "settings": "{}",
        "created_at": now_ms,
        "updated_at": now_ms - 1,
        "is_disabled": False,
    }


def project_record_of(project: Project) -> dict[str, Any]:
    """The record a project was read from."""
    return {
        "project_id": project.project_id,
        "tenant_id": project.tenant_id,
        "name": project.name,
        "write_key": project.write_key,
        "allowed_origins": list(project.allowed_origins),
        "settings": project.settings,
        "created_at": project.created_at,
        "updated_at": project.updated_at,
        "is_disabled": project.is_disabled,
    }


def _check(record: dict[str, Any]) -> None:
    if not 0 < len(record["name"]) <= NAME_CHARS_MAX:
        raise ValueError(f"--name: 1 to {NAME_CHARS_MAX} characters")
    key = record["write_key"]
    if (
        not 0 < len(key) <= WRITE_KEY_CHARS_MAX
        or not key.isascii()
        or not key.isprintable()
        or set(key) & set(": /?#&")
    ):
        raise ValueError(f"--write-key: 1 to {WRITE_KEY_CHARS_MAX} printable ASCII characters without space : / ? # &")
    try:
        record["tenant_id"] = str(uuid.UUID(record["tenant_id"]))
    except ValueError:
        raise ValueError(f"--tenant: {record['tenant_id']!r} is no UUID") from None
    try:
        is_object = isinstance(json.loads(record["settings"]), dict)
    except ValueError:
        is_object = False
    if not is_object:
        raise ValueError("--settings: not a JSON object")
