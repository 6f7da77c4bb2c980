"""Bad records onto the topic dead_letters, durable before their batch is acknowledged."""

from collections.abc import Iterable
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.registry import RegistryUnavailableError
from sinks.batching.batch import Bad
from sinks.write.bisect import DeadLetters
from sinks.write.writer import WriteFailedError

_FLUSH_S: Final = 30.0


class KafkaGraveyard:
    """Uses an idempotent producer, which may be shared between threads."""

    def __init__(self, producer: Producer, topic_name: str, letters: DeadLetters) -> None:
        self._producer = producer
        self._topic_name = topic_name
        self._letters = letters

    def bury(self, partition: int, bad: Iterable[Bad]) -> None:
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
                key, value = self._letters.encode(record, partition)
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
