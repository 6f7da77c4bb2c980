"""Bad records become dead letters on their topic, durable before their batch is acknowledged."""

import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas import keys
from schemas.codec import Codec, RecordInvalidError
from schemas.dead_letters import Place, dead_letter
from schemas.registry import RegistryUnavailableError
from sinks.batching.batch import BadRecord
from sinks.errors import WriteFailedError

_FLUSH_S: Final = 30.0
_NAMESPACE: Final = uuid.UUID("6f0bca6e-3f5d-5c53-9d0c-6f6c5f3a4e11")


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
        refused = self._decoded(bad.value)
        # Of other topics the keys name no project.
        named = keys.owner_of(bad.key) if self._codec.topic == "enriched_events" else ("", "")
        owner = refused.get("tenant_id", named[0]), refused.get("project_id", named[1])
        name = f"{self._generation}/{self._topic_name}/{partition}/{bad.offset}"
        record = dead_letter(
            str(uuid.uuid5(_NAMESPACE, name)),
            "sinks",
            bad.reason,
            bad.detail,
            bad.value,
            owner=owner,
            # When Kafka took the record: the same however often its dead letter is made.
            first_seen_at=bad.timestamp or int(self._clock() * 1000),
            place=Place(self._topic_name, partition, bad.offset, bad.key),
            client_message_id=refused.get("client_message_id", ""),
        )
        return keys.of_dead_letter(record["tenant_id"], record["project_id"]), self._letters.encode(record)

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
