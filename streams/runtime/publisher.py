"""Records to Kafka through librdkafka, every delivery report checked."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, Message, Producer
from faust.types import TP

from streams.runtime.operator import Outgoing

_QUEUE_FULL_PAUSE_S: Final = 0.01


class PublishError(RuntimeError):
    """A record was not delivered. The epoch it belongs to must not be committed."""


class Publisher(Protocol):
    """Where records of an epoch go."""

    def publish(self, topic: str, records: Sequence[Outgoing], partition: int = -1) -> None:
        """Queue records. Raises PublishError when there is no room for them."""

    def publish_one(self, topic: str, record: Outgoing, partition: int) -> None:
        """Queue a record that has `headers`, names and bytes. Raises PublishError when there is no room for it."""

    def queued(self) -> int:
        """How many records are not known to be durable."""

    async def flush(self) -> dict[TP, int]:
        """Return when all queued records are durable: the last offset of each partition written. Raises PublishError.

        A publisher that does not track offsets returns an empty dictionary.
        """


class KafkaPublisher:
    """An idempotent librdkafka producer.

    offsets: whether `flush` tells the offsets reached; a report for each record then calls Python, which outputs, of
    which only failures matter, are spared.
    """

    def __init__(self, config: dict[str, Any], offsets: bool = False, flush_timeout_s: float = 60.0) -> None:
        self._failures: list[str] = []
        self._queued = 0
        self._reached: dict[TP, int] = {}
        self._flush_timeout_s = flush_timeout_s
        self._producer = Producer(
            config
            | {
                "delivery.report.only.error": not offsets,
                "on_delivery": self._on_report,
                "message.timeout.ms": int(flush_timeout_s * 1000),
            }
        )

    def publish(self, topic: str, records: Sequence[Outgoing], partition: int = -1) -> None:
        if partition >= 0:
            self._queue(topic, records, partition)
            return
        # `produce_batch` takes one partition for all and passes over that of a record, whatever its documentation says.
        by_partition: dict[int, list[Outgoing]] = {}
        for record in records:
            by_partition.setdefault(record.get("partition", -1), []).append(record)
        for chosen, some in by_partition.items():
            self._queue(topic, some, chosen)

    def publish_one(self, topic: str, record: Outgoing, partition: int) -> None:
        self._queued += 1
        deadline = time.monotonic() + self._flush_timeout_s
        while True:
            try:
                # `produce_batch` passes over headers.
                self._producer.produce(topic, record["value"], record["key"], partition, headers=record["headers"])
                return
            except BufferError:
                if time.monotonic() > deadline:
                    raise PublishError(f"{topic}: a record found no room in the producer's queue") from None
                self._producer.poll(_QUEUE_FULL_PAUSE_S)

    def _queue(self, topic: str, records: Sequence[Outgoing], partition: int) -> None:
        self._queued += len(records)
        done = 0
        deadline = time.monotonic() + self._flush_timeout_s
        while done < len(records):
            rest = records[done:] if done else records
            # The count matters: what found the queue full is not an exception.
            done += self._producer.produce_batch(topic, list(rest), partition=partition)
            if done < len(records):
                # Taken off: a record that finds room at the next try would keep the error of this one.
                errors = [record.pop("_error") for record in rest if record.get("_error") is not None]
                refused = next((error for error in errors if error.code() != KafkaError._QUEUE_FULL), None)
                if refused is not None:
                    raise PublishError(f"{topic}: {refused.str()}")
                if time.monotonic() > deadline:
                    raise PublishError(f"{topic}: {len(records) - done} records found no room in the producer's queue")
                self._producer.poll(_QUEUE_FULL_PAUSE_S)

    def queued(self) -> int:
        return self._queued

    async def flush(self) -> dict[TP, int]:
        # Blocking, so in a thread: heartbeats and the web server go on.
        left = await asyncio.get_running_loop().run_in_executor(None, self._producer.flush, self._flush_timeout_s)
        if self._failures:
            raise PublishError("; ".join(self._failures[:3]))
        if left:
            raise PublishError(f"{left} records not delivered within {self._flush_timeout_s} s")
        self._queued = 0
        reached, self._reached = self._reached, {}
        return reached

    def _on_report(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failures.append(f"{message.topic()}: {error.str()}")
        else:
            self._reached[TP(message.topic(), message.partition())] = message.offset()
