"""Partitions are taken over while the broker is away: that waits, and ends the consumer only when it lasts."""

import random

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from sinks.batching.batcher import Batcher, Limits, Resumption
from sinks.batching.filter import RecordFilter
from sinks.consume.assignment import Assignment
from tests.sinks.memory_group import TOPIC, MemoryBroker, SimConsumer, SimWriteThread


class Away(SimConsumer):
    """Each question fails so many times before it is answered."""

    def __init__(self, failures: int) -> None:
        super().__init__(
            MemoryBroker(random.Random(1), {0: [(offset, b"value") for offset in range(3, 10)]}, calm=True)
        )
        self._failures = {"committed": failures, "bounds": failures}

    def committed(self, partitions: list[TopicPartition], *, timeout: float) -> list[TopicPartition]:
        self._fail("committed")
        return super().committed(partitions, timeout=timeout)

    def get_watermark_offsets(self, partition: TopicPartition, *, timeout: float) -> tuple[int, int]:
        self._fail("bounds")
        return super().get_watermark_offsets(partition, timeout=timeout)

    def _fail(self, question: str) -> None:
        if self._failures[question]:
            self._failures[question] -= 1
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))


def take_over(consumer: SimConsumer) -> list[Resumption]:
    """What the consumer goes on with; time passes only while it waits."""
    now = 0.0
    found: list[Resumption] = []

    def pause(seconds: float) -> None:
        nonlocal now
        now += seconds

    def open_batcher(_partition: int, resumption: Resumption) -> Batcher:
        found.append(resumption)
        return Batcher(TOPIC, 0, RecordFilter(0, True, lambda _id: None), Limits(10, 1_000), resumption)

    write_thread = SimWriteThread(random.Random(1), lambda *_: pytest.fail("nothing is written"))
    Assignment(consumer, TOPIC, open_batcher, write_thread, lambda: now, 0.5, pause).subscribe()
    consumer.consume(10, 0.0)
    return found


def test_a_broker_that_is_away_for_a_while_is_waited_for() -> None:
    consumer = Away(failures=40)
    (resumption,) = take_over(consumer)
    assert (resumption.offset, resumption.metadata.doubt_end) == (3, 10)
    assert consumer.positions.keys() == {0}


def test_a_broker_that_stays_away_ends_the_consumer() -> None:
    with pytest.raises(KafkaException):
        take_over(Away(failures=1_000))


def test_a_partition_that_went_away_paused_is_read_when_it_comes_back() -> None:
    broker = MemoryBroker(random.Random(1), {0: [(0, b"value")]}, calm=True)
    consumer = SimConsumer(broker)
    take_over(consumer)
    consumer.pause([TopicPartition(TOPIC, 0)])
    consumer.hand_over(0)
    consumer.coming.add(0)
    found: list[Message] = []
    for _ in range(20):
        found += consumer.consume(10, 0.0)
    assert [message.offset() for message in found if message.error() is None] == [0]
