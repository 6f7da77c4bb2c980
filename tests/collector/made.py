"""Made-up projects, settings, events and a publisher in memory for the tests of the collector."""

import asyncio
import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from random import getrandbits
from typing import Any

from collector.events.admit import Admission, Limits, admit
from collector.events.arrival import Arrival
from collector.events.event_ids import EventIds
from collector.events.parse import Batch, parse_batch, parse_single
from collector.events.times import Bounds
from collector.kafka.encode import DeadLetterEncoder, Encoders, RawEventEncoder
from collector.kafka.publisher import OverloadedError, Record
from collector.projects.directory import Project, ProjectDirectory
from schemas.codec import Codec
from schemas.registry import EmbeddedIds

PROJECT_ID = "5b1c0c0e-7d0f-4a53-9b6a-0a1f8f0b7a11"
TENANT_ID = "0c9a3f52-6f0b-4a86-8f4c-3f2f6f1f4a22"
WRITE_KEY = "key-of-the-tests"
RECEIVED_AT = 1_795_000_000_000
LIMITS = Limits(32 * 1024, 2_500, Bounds(365 * 86_400, 3_600), Bounds(730 * 86_400, 3_600), 60_000)


def project_fields(**changes: Any) -> dict[str, Any]:
    """A record of the topic `projects`."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    fields = {
        "project_id": PROJECT_ID,
        "tenant_id": TENANT_ID,
        "name": "tests",
        "write_key": WRITE_KEY,
        "allowed_origins": [],
        "settings": "{}",
        "created_at": moment,
        "updated_at": moment,
        "is_disabled": False,
    }
    return fields | changes


def directory_of(*records: dict[str, Any]) -> ProjectDirectory:
    """A directory of these projects, by default the one of `project_fields()`."""
    directory = ProjectDirectory()
    for record in records or (project_fields(),):
        directory.apply(record["write_key"], record)
    return directory


PROJECT = Project(project_fields())


def arrival(event_type: str | None = None, **changes: Any) -> Arrival:
    """A request of the project, from 203.0.113.7."""
    fields: dict[str, Any] = {
        "project": PROJECT,
        "received_at": RECEIVED_AT,
        "ip_address": "203.0.113.7",
        "user_agent": "header/1.0",
        "event_type": event_type,
    }
    return Arrival(**(fields | changes))


def as_json(value: Any) -> bytes:
    """Compact JSON; bytes are taken as JSON already."""
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def single(event: Any) -> Batch:
    """The body of a route for one event."""
    return parse_single(as_json(event), key_wanted=False)


def batch(*events: Any, **members: Any) -> Batch:
    """The body of a batch; an event may be given as the bytes that stand there."""
    inner = b",".join(as_json(event) for event in events)
    rest = b"".join(b',"%s":%s' % (name.encode(), as_json(value)) for name, value in members.items())
    return parse_batch(b'{"batch":[' + inner + b"]" + rest + b"}")


def admit_one(event: Any, event_type: str | None = None, **changes: Any) -> Admission:
    """What becomes of one event sent alone; without event_type it must say its type itself."""
    return admit(single(event), arrival(event_type, **changes), LIMITS, EventIds(getrandbits))


def admit_all(sent: Batch, **changes: Any) -> Admission:
    """What becomes of the events of a batch."""
    return admit(sent, arrival(**changes), LIMITS, EventIds(getrandbits))


def track(**members: Any) -> dict[str, Any]:
    """A track call that is in order."""
    return {"type": "track", "event": "Signed Up", "anonymousId": "visitor-1"} | members


def codec(topic: str) -> Codec:
    """The codec of a topic with the committed ids."""
    return Codec(topic, EmbeddedIds())


def encoders() -> Encoders:
    """The collector's encoders."""
    return Encoders(RawEventEncoder(codec("raw_events")), DeadLetterEncoder(codec("dead_letters")))


class MemoryPublisher:
    """Keeps what is published: it passes the same tests as the publisher to Kafka.

    durable: what the acknowledgement says; None: it never comes. slack: bytes by which a size may exceed what there is.
    """

    def __init__(self) -> None:
        self.durable: bool | None = True
        self.slack = 4096
        self.inflight_bytes = 0
        self.inflight_bytes_max = 2**60
        self.records: list[tuple[str, Record]] = []
        self.published = asyncio.Event()
        self._waiting: list[tuple[asyncio.Future[bool], int]] = []

    def publish(self, batches: Sequence[tuple[str, list[Record]]], size: int) -> "asyncio.Future[bool]":
        if self.inflight_bytes + size > self.inflight_bytes_max:
            raise OverloadedError("full")
        # What is accounted for is not far from what there is.
        actual = sum(len(r["key"]) + len(r["value"]) for _, records in batches for r in records)
        assert actual / 4 < size < actual * 4 + self.slack
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.published.set()
        self.records += [(topic, record) for topic, records in batches for record in records]
        self.inflight_bytes += size
        if self.durable is not None:
            # Later: nothing is acknowledged while it is handed over.
            asyncio.get_running_loop().call_soon(self._settle, future, size, self.durable)
        else:
            self._waiting.append((future, size))
        return future

    def _settle(self, future: "asyncio.Future[bool]", size: int, durable: bool) -> None:
        self.inflight_bytes -= size
        if not future.done():
            future.set_result(durable)

    def acknowledge(self) -> None:
        """All that waits is durable now."""
        while self._waiting:
            self._settle(*self._waiting.pop(0), True)

    def decoded(self, topic: str) -> list[dict[str, Any]]:
        """The records published to a topic."""
        own = codec(topic)
        return [own.decode(record["value"]) for name, record in self.records if name == topic]


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID in its usual form."""
    return str(uuid.UUID(text)) == text
