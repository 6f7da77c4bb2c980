"""What the publisher makes of delivery reports, with a producer in memory: an epoch's flush is sure or it raises."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError
from faust.types import TP

from streams.runtime import publisher as publisher_module
from streams.runtime.operator import Outgoing
from streams.runtime.publisher import KafkaPublisher, PublishError


class Delivered:
    """A message as librdkafka reports it."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        self._place = topic, partition, offset

    def topic(self) -> str:
        return self._place[0]

    def partition(self) -> int:
        return self._place[1]

    def offset(self) -> int:
        return self._place[2]


class MemoryProducer:
    """Takes at most `room` records at once; makes room when polled, and reports when flushed."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.report: Callable[[KafkaError | None, Delivered], None] = config["on_delivery"]
        self.room = 1_000
        self.taken: list[tuple[str, int, Outgoing]] = []
        self.error: KafkaError | None = None
        self.left = 0

    def produce_batch(self, topic: str, records: Sequence[Outgoing], partition: int) -> int:
        fitting = records[: self.room]
        self.taken += [(topic, partition, record) for record in fitting]
        for record in records[self.room :]:
            record["_error"] = KafkaError(KafkaError._QUEUE_FULL)
        self.room -= len(fitting)
        return len(fitting)

    def poll(self, _timeout_s: float) -> None:
        self.room = 2

    def flush(self, _timeout_s: float) -> int:
        for offset, (topic, partition, _) in enumerate(self.taken):
            self.report(self.error, Delivered(topic, partition, offset))
        return self.left


@pytest.fixture
def producers(monkeypatch: pytest.MonkeyPatch) -> list[MemoryProducer]:
    """Those that publishers of the test have made."""
    made: list[MemoryProducer] = []

    def make(config: dict[str, Any]) -> MemoryProducer:
        made.append(MemoryProducer(config))
        return made[-1]

    monkeypatch.setattr(publisher_module, "Producer", make)
    return made


def records(count: int) -> list[Outgoing]:
    return [{"key": b"k", "value": b"%d" % number} for number in range(count)]


async def test_a_record_that_was_not_delivered_fails_the_flush(producers: list[MemoryProducer]) -> None:
    publisher = KafkaPublisher({}, offsets=True)
    publisher.publish("changelog", records(2), 0)
    producers[0].error = KafkaError(KafkaError._MSG_TIMED_OUT)
    with pytest.raises(PublishError, match="changelog"):
        await publisher.flush()


async def test_a_record_that_is_still_on_its_way_fails_the_flush(producers: list[MemoryProducer]) -> None:
    publisher = KafkaPublisher({})
    publisher.publish("sessions", records(2))
    producers[0].left = 1
    with pytest.raises(PublishError, match="1 records not delivered"):
        await publisher.flush()


async def test_a_flush_tells_the_last_offset_of_each_partition(producers: list[MemoryProducer]) -> None:
    publisher = KafkaPublisher({}, offsets=True)
    publisher.publish("changelog", records(2), 0)
    publisher.publish("changelog", records(1), 1)
    assert await publisher.flush() == {TP("changelog", 0): 1, TP("changelog", 1): 2}


async def test_a_full_queue_is_waited_for_and_every_record_is_queued_once(producers: list[MemoryProducer]) -> None:
    publisher = KafkaPublisher({})
    producers[0].room = 3
    publisher.publish("sessions", records(8))
    assert [record["value"] for _, _, record in producers[0].taken] == [b"%d" % number for number in range(8)]


async def test_each_record_goes_to_the_partition_that_it_names(producers: list[MemoryProducer]) -> None:
    publisher = KafkaPublisher({})
    publisher.publish("enriched_events", [{"key": b"k", "value": b"v", "partition": number % 2} for number in range(4)])
    assert [partition for _, partition, _ in producers[0].taken] == [0, 0, 1, 1]
