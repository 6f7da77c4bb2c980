"""What a request is told of its records, with a producer in memory: success means that every one is acknowledged."""

from collections.abc import Callable
from typing import Any

import pytest

from collector.kafka import publisher as publisher_module
from collector.kafka.publisher import KafkaPublisher, OverloadedError, Record
from schemas.settings import Settings
from tests.waiting import until

Report = Callable[[Any, Any], None]


class MemoryProducer:
    """Takes up to `room` records of a call; `answer` reports on what it took, at the next poll."""

    def __init__(self, *_config: object, **_options: object) -> None:
        self.room = 1_000
        self.waiting: list[tuple[Record, Report]] = []
        self.answers: list[tuple[Report, object]] = []

    def produce_batch(self, _topic: str, records: list[Record], on_delivery: Report | None) -> int:
        for record in records[: self.room]:
            self.waiting.append((record, on_delivery or record["callback"]))
        for record in records[self.room :]:
            record["_error"] = "the queue is full"
        return min(len(records), self.room)

    def answer(self, *errors: object) -> None:
        """One report for each of the records that have waited longest: None when it is durable."""
        for error in errors:
            self.answers.append((self.waiting.pop(0)[1], error))

    def poll(self, _timeout_s: float) -> None:
        answers, self.answers = self.answers, []
        for report, error in answers:
            report(error, None)

    def flush(self, _timeout_s: float) -> int:
        return len(self.waiting)


def records(count: int) -> list[Record]:
    return [{"key": b"k", "value": b"%d" % number} for number in range(count)]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[KafkaPublisher, MemoryProducer]]:
    """Opens a publisher over a producer in memory."""

    def open_with(**settings: int) -> tuple[KafkaPublisher, MemoryProducer]:
        producer = MemoryProducer()
        monkeypatch.setattr(publisher_module, "Producer", lambda *_args, **_options: producer)
        return KafkaPublisher(Settings.model_validate(settings), lambda _error: None), producer

    return open_with


Opened = Callable[..., tuple[KafkaPublisher, MemoryProducer]]


@pytest.mark.parametrize("count", [3, 30], ids=["few", "many"])
async def test_a_request_is_durable_when_the_last_of_its_records_is(opened: Opened, count: int) -> None:
    publisher, producer = opened()
    future = publisher.publish([("events", records(count))], 10)
    await until(lambda: len(producer.waiting) == count)
    producer.answer(*[None] * (count - 1))
    producer.poll(0)
    assert not future.done()
    producer.answer(None)
    assert await future
    publisher.close(0)


@pytest.mark.parametrize("count", [3, 30], ids=["few", "many"])
async def test_one_record_that_kafka_refuses_makes_the_request_not_durable(opened: Opened, count: int) -> None:
    publisher, producer = opened()
    future = publisher.publish([("events", records(count))], 10)
    await until(lambda: len(producer.waiting) == count)
    producer.answer("too large", *[None] * (count - 1))
    assert not await future
    publisher.close(0)


@pytest.mark.parametrize("count", [3, 30], ids=["few", "many"])
async def test_a_record_that_the_producer_has_no_room_for_makes_the_request_not_durable(
    opened: Opened, count: int
) -> None:
    publisher, producer = opened()
    producer.room = count - 1
    future = publisher.publish([("events", records(count))], 10)
    await until(lambda: len(producer.waiting) == count - 1)
    producer.answer(*[None] * (count - 1))
    assert not await future
    assert publisher.inflight_bytes == 0
    publisher.close(0)


async def test_a_request_that_has_waited_too_long_is_not_durable(opened: Opened) -> None:
    publisher, _ = opened(collector_ack_wait_ms_max=100)
    assert not await publisher.publish([("events", records(1))], 10)
    publisher.close(0)


async def test_what_waits_for_kafka_is_bounded_with_the_request_that_comes(opened: Opened) -> None:
    publisher, producer = opened(collector_inflight_bytes_max=1_000)
    future = publisher.publish([("events", records(1))], 600)
    with pytest.raises(OverloadedError):
        publisher.publish([("events", records(1))], 401)
    publisher.publish([("events", records(1))], 400).cancel()
    await until(lambda: len(producer.waiting) == 2)
    producer.answer(None, None)
    assert await future
    assert publisher.inflight_bytes == 0
    publisher.close(0)
