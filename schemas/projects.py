"""The projects, as every process knows them: read from the compacted topic `projects`, then followed.

The topic is the source of truth; the tables of the databases mirror it.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from schemas.codec import Codec, RecordInvalidError
from schemas.kafka import consumer_config
from schemas.registry import SchemaIds
from schemas.settings import Settings

_POLL_S: Final = 0.2
log = structlog.get_logger("schemas.projects")


@dataclass(frozen=True, slots=True)
class Project:
    """One project. `settings` is its JSON object, parsed; `conversion_events` the names read from it."""

    project_id: str
    tenant_id: str
    name: str
    write_key: str
    allowed_origins: tuple[str, ...]
    settings: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    is_disabled: bool

    @property
    def conversion_events(self) -> frozenset[str]:
        """Names of the events that make a session converted."""
        names = self.settings.get("conversion_events")
        return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Project":
        """From a decoded record of the topic. Raises ValueError when its settings are no JSON object."""
        settings = json.loads(record["settings"] or "{}")
        if not isinstance(settings, dict):
            raise ValueError("settings is not a JSON object")
        return cls(**{**record, "allowed_origins": tuple(record["allowed_origins"]), "settings": settings})

    def to_record(self) -> dict[str, Any]:
        """The inverse of `from_record`."""
        return {
            "project_id": self.project_id,
            "tenant_id": self.tenant_id,
            "name": self.name,
            "write_key": self.write_key,
            "allowed_origins": list(self.allowed_origins),
            "settings": json.dumps(dict(self.settings), sort_keys=True),
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "is_disabled": self.is_disabled,
        }


class ProjectDirectory:
    """The projects by write key; replaced whole on a change, so readers need no lock."""

    def __init__(self) -> None:
        self.by_write_key: Mapping[str, Project] = {}
        self.conversions: Mapping[str, frozenset[str]] = {}

    def apply(self, write_key: str, project: Project | None) -> None:
        """Add, change or (None) remove the project of a write key."""
        projects = dict(self.by_write_key)
        if project is None:
            projects.pop(write_key, None)
        else:
            projects[write_key] = project
        self.by_write_key = projects
        conversions: dict[str, frozenset[str]] = {}
        for known in projects.values():
            if known.conversion_events:
                conversions[known.project_id] = known.conversion_events | conversions.get(known.project_id, frozenset())
        self.conversions = conversions


class ProjectsFollower:
    """A thread that reads the topic from its beginning and follows it.

    `caught_up` is set once the end that the topic had at the start is reached. Kafka being away delays, never fails.
    """

    def __init__(
        self,
        settings: Settings,
        ids: SchemaIds,
        directory: ProjectDirectory,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self.directory = directory
        self.caught_up = threading.Event()
        self._settings = settings
        self._codec = Codec("projects", ids)
        self._on_change = on_change
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="projects", daemon=True)

    def start(self) -> None:
        """Begin reading."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns when it has ended."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        # No group: every process reads everything, so nothing is ever committed.
        consumer = Consumer(consumer_config(self._settings, "unused", log_level=0))
        try:
            topic = self._settings.topic("projects")
            end = self._end(consumer, topic)
            consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
            while not self._stopping.is_set():
                message = consumer.poll(_POLL_S)
                if message is not None and message.error() is None:
                    self._apply(message)
                if not self.caught_up.is_set() and self._position(consumer, topic) >= end:
                    self.caught_up.set()
        finally:
            consumer.close()

    def _end(self, consumer: Consumer, topic: str) -> int:
        while not self._stopping.is_set():
            try:
                end: int = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=5.0)[1]
                return end
            except KafkaException as error:
                log.warning("projects cannot be read yet", reason=error.args[0].str())
                time.sleep(1.0)
        return 0

    def _position(self, consumer: Consumer, topic: str) -> int:
        position: int = consumer.position([TopicPartition(topic, 0)])[0].offset
        if position >= 0:
            return position
        low, _ = consumer.get_watermark_offsets(TopicPartition(topic, 0), cached=True)
        return low if low >= 0 else 0

    def _apply(self, message: Any) -> None:
        write_key = (message.key() or b"").decode("utf-8", "replace")
        value = message.value()
        try:
            project = None if value is None else Project.from_record(self._codec.decode(value))
        except (RecordInvalidError, ValueError, TypeError) as error:
            log.error("a record of projects is skipped", offset=message.offset(), reason=str(error))
            return
        self.directory.apply(write_key, project)
        if self._on_change is not None:
            self._on_change()
