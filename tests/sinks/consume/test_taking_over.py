"""Partitions are taken over while the broker is away: that waits, and ends the consumer only when it lasts."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from sinks.batching.batcher import Batcher, Limits, Resumption
from sinks.batching.filter import RecordFilter
from sinks.consume.assignment import Assignment
from sinks.write.thread import WriteThread
from tests.sinks.memory_group import TOPIC


class Broker:
    """As much of a consumer as taking over needs; each question fails so many times before it is answered."""

    def __init__(self, failures: int) -> None:
        self.failures = {"committed": failures, "bounds": failures}
        self.assigned: list[TopicPartition] = []

    def subscribe(self, topics: list[str], *, on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        on_assign(self, [TopicPartition(topics[0], 0)])

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self._fail("committed")
        return [TopicPartition(place.topic, place.partition, -1001) for place in partitions]

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        self._fail("bounds")
        return 3, 10

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        self.assigned = places

    def _fail(self, question: str) -> None:
        if self.failures[question]:
            self.failures[question] -= 1
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))


def take_over(broker: Broker) -> list[Resumption]:
    """What the consumer goes on with; time passes only while it waits."""
    now = 0.0
    found: list[Resumption] = []

    def pause(seconds: float) -> None:
        nonlocal now
        now += seconds

    def open_batcher(_partition: int, resumption: Resumption) -> Batcher:
        found.append(resumption)
        return Batcher(TOPIC, 0, RecordFilter(0, True, lambda _id: None), Limits(10, 1_000, 1.0), resumption)

    write_thread = WriteThread(TOPIC, lambda *_: pytest.fail("nothing is written"))
    try:
        Assignment(broker, TOPIC, open_batcher, write_thread, lambda: now, 0.5, pause).subscribe()
    finally:
        write_thread.close()
    return found


def test_a_broker_that_is_away_for_a_while_is_waited_for() -> None:
    broker = Broker(failures=40)
    (resumption,) = take_over(broker)
    assert (resumption.offset, resumption.metadata.doubt_end) == (3, 10)
    assert len(broker.assigned) == 1


def test_a_broker_that_stays_away_ends_the_consumer() -> None:
    with pytest.raises(KafkaException):
        take_over(Broker(failures=1_000))
