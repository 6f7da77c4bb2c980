"""Records on raw_events that no collector writes: each must become one dead letter, alone, with its bytes."""

import hashlib
import random
import threading
from collections import Counter
from typing import Any, Final

from confluent_kafka import Producer

from schemas.kafka import producer_config
from schemas.settings import Settings
from tests.chaos.expected import Letter
from tests.streams.raw import RAW, key_of, other_schema, raw_event, truncated, unknown_schema, with_invalid_utf8

_FLUSH_S: Final = 120.0
_LARGE: Final = 900_000


class Poison:
    """Writes them. `letters`: the dead letter that each must become, by the place that Kafka acknowledged."""

    def __init__(self, settings: Settings, tenant_id: str, project_id: str) -> None:
        self.letters: Counter[Letter] = Counter()
        self._topic = settings.topic("raw_events")
        self._producer = Producer(producer_config(settings, linger_ms=5) | {"log_level": 0})
        self._scope = {"tenant_id": tenant_id, "project_id": project_id}
        self._lock = threading.Lock()

    def __call__(self, chance: random.Random) -> None:
        """One of each kind, durable when it returns."""
        failed: list[str] = []
        for key, value, reason in self._records(chance):

            def written(
                error: Any, message: Any, key: bytes | None = key, value: bytes = value or b"", reason: str = reason
            ) -> None:
                if error is not None:
                    failed.append(str(error))
                else:
                    self.letters[self._letter(message.partition(), message.offset(), key, value, reason)] += 1

            self._producer.produce(self._topic, value, key, on_delivery=written)
        with self._lock:
            if self._producer.flush(_FLUSH_S) or failed:
                raise TimeoutError(f"poisoned records could not be written: {failed}")

    def _letter(self, partition: int, offset: int, key: bytes | None, value: bytes, reason: str) -> Letter:
        """Whose it is stands in the key alone: the record is what cannot be read."""
        tenant_id, project_id = (self._scope["tenant_id"], self._scope["project_id"]) if key else ("", "")
        digest = hashlib.sha256(value).hexdigest()
        return Letter("streams", "raw_events", partition, offset, digest, reason, tenant_id, project_id, "")

    def _records(self, chance: random.Random) -> list[tuple[bytes | None, bytes | None, str]]:
        """Key, value, reason."""
        event = raw_event(chance.randrange(10**9), anonymous_id=f"poison-{chance.randrange(50)}", **self._scope)
        key, value = key_of(event), RAW.encode(event)
        wrong: dict[str, Any] = chance.choice(({"event_id": "no uuid"}, {"timestamp": -1}, {"project_id": ""}))
        return [
            (key, truncated(value), "not_avro"),
            (key, chance.randbytes(_LARGE), "not_avro"),
            (key, b"\1" + chance.randbytes(300), "not_avro"),
            (key, unknown_schema(value), "schema_id_unknown"),
            (key, other_schema(value), "schema_mismatch"),
            (key, with_invalid_utf8(value), "invalid_utf8"),
            (None, value, "field_invalid"),
            (key, RAW.encode(event | wrong), "field_invalid"),
        ]
