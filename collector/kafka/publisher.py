"""Records to Kafka: one future a request, resolved when Kafka has acknowledged every record of it.

Delivery reports are collected on the event loop, every millisecond while something is in flight: no thread competes
with the loop for the interpreter.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NotRequired, Protocol, TypedDict

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.kafka import producer_config
from schemas.settings import Settings

_log: Final = structlog.get_logger()
_BUSY_POLL_S: Final = 0.001
_IDLE_POLL_S: Final = 0.5
_AT_ONCE: Final = 16  # so many records are worth a call of their own
_QUEUE_RECORDS_MAX: Final = 2_000_000  # never the first limit to be met: inflight_bytes_max is


_Report = Callable[[Any, Any], None]


class Record(TypedDict):
    """A record as librdkafka takes it; callback and error are between it and the publisher."""

    key: bytes
    value: bytes
    callback: NotRequired[_Report]
    _error: NotRequired[KafkaError]


Batches = list[tuple[str, list[Record]]]
"""Records by topic."""


def size_of(batches: Batches) -> int:
    """How many bytes records have."""
    return sum(len(record["key"]) + len(record["value"]) for _, records in batches for record in records)


class OverloadedError(RuntimeError):
    """Too much waits for Kafka already; the request was not taken."""


class Publisher(Protocol):
    """Where records go."""

    @property
    def inflight_bytes(self) -> int:
        """Bytes of the records that wait for an acknowledgement."""

    def publish(self, batches: Sequence[tuple[str, list[Record]]], size: int) -> "asyncio.Future[bool]":
        """Hand over records by topic; `size` is about how many bytes they have in all.

        The future tells whether all of them are durable; False after a failure or the longest wait, when some may be.
        Raises OverloadedError.
        """


class _Request:
    """The records of one request that Kafka has not acknowledged yet."""

    __slots__ = ("_settled", "deadline", "durable", "future", "size", "waiting")

    def __init__(self, future: "asyncio.Future[bool]", deadline: float, size: int, settled: Callable[[int], None]):
        self.future = future
        self.deadline = deadline
        self.size = size
        self.waiting = 0
        self.durable = True
        self._settled = settled

    def report(self, error: object, _message: object) -> None:
        """Take the delivery report of one record."""
        if error is not None:
            self.durable = False
        self.waiting -= 1
        if not self.waiting:
            self.settle()

    def settle(self) -> None:
        """All reports are in."""
        self._settled(self.size)
        if not self.future.done():
            self.future.set_result(self.durable)


class KafkaPublisher:
    """Publishes through librdkafka: idempotent, acks=all. `on_fatal` is called when it can never publish again."""

    def __init__(
        self, settings: Settings, on_fatal: Callable[[str], None], loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._on_fatal = on_fatal
        self._ack_wait_s_max = settings.collector_ack_wait_ms_max / 1000
        self._inflight_bytes_max = settings.collector_inflight_bytes_max
        self._inflight_bytes = 0
        self._requests: deque[_Request] = deque()
        self._queued: dict[str, list[Record]] = {}
        self._producer = Producer(
            producer_config(
                settings,
                client_id="tally-collector",
                linger_ms=settings.collector_linger_ms,
                # What nobody waits for any more must not be delivered minutes later.
                message_timeout_ms=settings.collector_ack_wait_ms_max,
                queue_buffering_max_messages=_QUEUE_RECORDS_MAX,
                queue_buffering_max_kbytes=max(2**20, 4 * settings.collector_inflight_bytes_max // 1024),
                reconnect_backoff_max_ms=1000,
            )
            | {"error_cb": self._on_error},
            logger=logging.getLogger("librdkafka"),
        )
        self._timer = self._loop.call_later(_IDLE_POLL_S, self._poll)
        self._is_busy = False

    @property
    def inflight_bytes(self) -> int:
        return self._inflight_bytes

    def publish(self, batches: Sequence[tuple[str, list[Record]]], size: int) -> "asyncio.Future[bool]":
        if self._inflight_bytes + size > self._inflight_bytes_max:
            raise OverloadedError(f"{self._inflight_bytes} bytes wait for Kafka's acknowledgement")
        self._inflight_bytes += size
        request = _Request(self._loop.create_future(), self._loop.time() + self._ack_wait_s_max, size, self._give_back)
        request.waiting = sum(len(records) for _, records in batches)
        self._requests.append(request)
        for topic, records in batches:
            if len(records) >= _AT_ONCE:
                self._produce(topic, records, request.report)
            else:
                self._queue(topic, records, request.report)
        self._hurry()
        return request.future

    def _queue(self, topic: str, records: list[Record], report: _Report) -> None:
        """Keep a few records until the loop has handled what else has arrived, and hand them over in one call."""
        if not self._queued:
            self._loop.call_soon(self._produce_queued)
        for record in records:
            record["callback"] = report
        self._queued.setdefault(topic, []).extend(records)

    def _produce_queued(self) -> None:
        queued, self._queued = self._queued, {}
        for topic, records in queued.items():
            self._produce(topic, records, None)

    def _produce(self, topic: str, records: list[Record], report: _Report | None) -> None:
        """Give records to librdkafka; those it does not take are reported at once."""
        try:
            taken = self._producer.produce_batch(topic, records, on_delivery=report)
        except (BufferError, KafkaException) as error:
            _log.warning("records were not queued", topic=topic, error=str(error))
            for record in records:
                (report or record["callback"])(error, None)
            return
        if taken != len(records):
            for record in records:
                if "_error" in record:
                    (report or record["callback"])(record["_error"], None)

    def _give_back(self, size: int) -> None:
        self._inflight_bytes -= size

    def _hurry(self) -> None:
        if not self._is_busy:
            self._is_busy = True
            self._timer.cancel()
            self._timer = self._loop.call_later(_BUSY_POLL_S, self._poll)

    def _poll(self) -> None:
        try:
            self._producer.poll(0)
            self._give_up_oldest()
        finally:
            self._is_busy = bool(self._requests)
            self._timer = self._loop.call_later(_BUSY_POLL_S if self._is_busy else _IDLE_POLL_S, self._poll)

    def _give_up_oldest(self) -> None:
        """Forget what is settled, end what has waited too long: as all wait equally long, the oldest is at the left."""
        requests = self._requests
        now = self._loop.time()
        while requests and (not requests[0].waiting or requests[0].deadline <= now):
            request = requests.popleft()
            if not request.future.done():
                request.future.set_result(False)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            _log.error("kafka", error=error.str())
            self._on_fatal(error.str())

    def close(self, timeout_s: float) -> int:
        """Wait for what is in flight; returns how many records are left unacknowledged."""
        self._timer.cancel()
        self._produce_queued()
        left: int = self._producer.flush(timeout_s)
        return left
