"""Bad records become dead letters on their topic, durable before their batch is acknowledged."""

import hashlib
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas import keys
from schemas.codec import Codec, RecordInvalidError
from schemas.registry import RegistryUnavailableError
from schemas.settings import MESSAGE_BYTES_MAX
from sinks.batching.batch import BadRecord
from sinks.errors import WriteFailedError

_FLUSH_S: Final = 30.0
_NAMESPACE: Final = uuid.UUID("6f0bca6e-3f5d-5c53-9d0c-6f6c5f3a4e11")
_DETAIL_CHARS: Final = 500
_KEY_CHARS: Final = 4_000
_ID_CHARS: Final = 1_000
# What else is in a dead letter: the fields above at their longest in UTF-8, and Kafka's own bytes around them.
_PAYLOAD_BYTES_MAX: Final = MESSAGE_BYTES_MAX - 64 * 1024
_STAGE: Final = "sinks"


def _fitting(bad: BadRecord) -> tuple[bytes, str]:
    """Payload and detail, cut to what a message may hold; then the detail says so, and how to know the whole again."""
    if len(bad.value) <= _PAYLOAD_BYTES_MAX:
        return bad.value, bad.detail[:_DETAIL_CHARS]
    digest = hashlib.sha256(bad.value).hexdigest()
    cut = f"payload cut from {len(bad.value)} to {_PAYLOAD_BYTES_MAX} bytes, sha256 of the whole {digest}"
    return bad.value[:_PAYLOAD_BYTES_MAX], f"{cut}; {bad.detail}"[:_DETAIL_CHARS]


class DeadLetterEncoder:
    """Makes the dead letters of one topic; the same record always makes the one with the same id."""

    def __init__(
        self, topic_name: str, codec: Codec, letters: Codec, generation: int, clock: Callable[[], float]
    ) -> None:
        self._topic_name = topic_name
        self._codec = codec
        self._letters = letters
        self._generation = generation
        self._clock = clock

    def encode(self, bad: BadRecord, partition: int) -> tuple[bytes, bytes]:
        """Key and value for the topic dead_letters."""
        record = self._decoded(bad.value)
        # Of other topics the keys name no project.
        named = keys.owner_of(bad.key) if self._codec.topic == "enriched_events" else ("", "")
        tenant_id = record.get("tenant_id", named[0])[:_ID_CHARS]
        project_id = record.get("project_id", named[1])[:_ID_CHARS]
        place = f"{self._generation}/{self._topic_name}/{partition}/{bad.offset}"
        payload, detail = _fitting(bad)
        letter = {
            "dead_letter_id": str(uuid.uuid5(_NAMESPACE, place)),
            "tenant_id": tenant_id,
            "project_id": project_id,
            "stage": _STAGE,
            "reason": bad.reason,
            "detail": detail,
            "payload": payload,
            "client_message_id": record.get("client_message_id", "")[:_ID_CHARS],
            "source_topic": self._topic_name,
            "source_partition": partition,
            "source_offset": bad.offset,
            "first_seen_at": self._moment(bad),
            "source_key": (bad.key or b"").decode("utf-8", "replace")[:_KEY_CHARS],
        }
        return keys.of_dead_letter(tenant_id, project_id), self._letters.encode(letter)

    def _moment(self, bad: BadRecord) -> datetime:
        """When Kafka took the record: the same however often its dead letter is made."""
        return datetime.fromtimestamp(bad.timestamp / 1000 if bad.timestamp else self._clock(), UTC)

    def _decoded(self, value: bytes) -> dict[str, Any]:
        """The record, to say whose it is; {} when it cannot be decoded."""
        try:
            return self._codec.decode(value)
        except RecordInvalidError:
            return {}


class KafkaDeadLetters:
    """Uses an idempotent producer, which may be shared between threads."""

    def __init__(self, producer: Producer, topic_name: str, encoder: DeadLetterEncoder) -> None:
        self._producer = producer
        self._topic_name = topic_name
        self._encoder = encoder

    def publish(self, partition: int, bad: Iterable[BadRecord]) -> None:
        """Returns when all are durable. Raises WriteFailedError."""
        failures: list[KafkaError] = []
        waiting = 0

        def delivered(error: KafkaError | None, _message: Message) -> None:
            nonlocal waiting
            waiting -= 1
            if error is not None:
                failures.append(error)

        for record in bad:
            try:
                key, value = self._encoder.encode(record, partition)
                self._producer.produce(self._topic_name, value, key, on_delivery=delivered)
            except (BufferError, KafkaException, RegistryUnavailableError) as error:
                raise WriteFailedError(f"a dead letter was not taken: {error}") from None
            waiting += 1
            self._producer.poll(0)
        while waiting and not failures:
            if self._producer.flush(_FLUSH_S) and waiting:
                raise WriteFailedError(f"{waiting} dead letters are not acknowledged after {_FLUSH_S:.0f} s")
        if failures:
            raise WriteFailedError(f"a dead letter was not delivered: {failures[0].str()}")
