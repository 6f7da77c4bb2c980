"""The topic `projects`, the source of truth: read whole by each process that needs the projects, then followed."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from schemas.codec import Codec
from schemas.kafka import consumer_config
from schemas.registry import RegistryUnavailableError, SchemaIds
from schemas.settings import Settings

_log: Final = structlog.get_logger("schemas.projects_follower")
_POLL_S: Final = 0.1
_RECORDS_MAX: Final = 1000
_REGISTRY_PAUSE_S: Final = 2.0


class Directory(Protocol):
    """What a process keeps of the projects."""

    def apply(self, write_key: str, record: Mapping[str, Any] | None) -> None:
        """Add, change or (None) remove the project of a write key. Raises ValueError for a record it can't use."""


class Together:
    """Several directories as one. A record that one of them can't use is none of the others' concern."""

    def __init__(self, *directories: Directory) -> None:
        self._directories = directories

    def apply(self, write_key: str, record: Mapping[str, Any] | None) -> None:
        """Raises ValueError, once all have been told."""
        problems = []
        for directory in self._directories:
            try:
                directory.apply(write_key, record)
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("; ".join(dict.fromkeys(problems)))


class ProjectsFollower:
    """Keeps a directory up to date, from the event loop: nothing blocks, a thread is used only for the registry.

    `on_loaded` is called once, when the end of the topic has been reached. Until Kafka answers it keeps trying.
    """

    def __init__(self, settings: Settings, ids: SchemaIds, directory: Directory, on_loaded: Callable[[], None]) -> None:
        self._topic = settings.topic("projects")
        self._codec = Codec("projects", ids)
        self._directory = directory
        self._on_loaded = on_loaded
        self._is_loaded = False
        config = consumer_config(
            settings, f"projects-{uuid.uuid4()}", enable_partition_eof=True, reconnect_backoff_max_ms=1000
        )
        self._consumer = Consumer(config)
        self._consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            while messages := self._consumer.consume(_RECORDS_MAX, 0):
                for message in messages:
                    await self._take(message)
            await asyncio.sleep(_POLL_S)

    def close(self) -> None:
        """Leave Kafka."""
        self._consumer.close()

    async def _take(self, message: Message) -> None:
        error = message.error()
        if error is None:
            await self._apply(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            if not self._is_loaded:
                self._is_loaded = True
                self._on_loaded()
        else:
            _log.warning("projects cannot be read", topic=self._topic, error=error.str())

    async def _apply(self, message: Message) -> None:
        key = (message.key() or b"").decode(errors="replace")
        value = message.value()
        try:
            self._directory.apply(key, None if value is None else await self._decoded(value))
        except ValueError as error:
            _log.error("a project was ignored", offset=message.offset(), write_key=key, error=str(error))

    async def _decoded(self, value: bytes) -> dict[str, Any]:
        """The record; a schema not seen before is asked for on a thread, until the registry answers."""
        while True:
            try:
                if self._codec.knows(value):
                    return self._codec.decode(value)
                return await asyncio.to_thread(self._codec.decode, value)
            except RegistryUnavailableError as error:
                _log.warning("a project waits for its schema", error=str(error))
                await asyncio.sleep(_REGISTRY_PAUSE_S)
