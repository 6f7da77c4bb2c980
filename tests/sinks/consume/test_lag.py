"""Lag is counted in Kafka's time, and what Kafka deleted before it was read is counted as lost."""

from typing import Any

from confluent_kafka import KafkaError, Message, TopicPartition
from prometheus_client import CollectorRegistry

from schemas.metrics import SinksMetrics
from sinks.batching.batcher import Batcher, Limits, Resumption
from sinks.batching.commit_metadata import CommitMetadata
from sinks.batching.filter import RecordFilter, SchemaVerdict
from sinks.consume.dispatch import Dispatcher
from sinks.consume.partition import PartitionState
from sinks.consume.report import Report
from sinks.errors import TopicStoppedError
from tests.sinks.records import framed
from tests.sinks.rig import SinkRig

TOPIC = "enriched_events"
HOUR_S = 3_600


class Reading:
    """A dispatcher of one partition, from offset 0, with what it told."""

    def __init__(self, gapless: bool = True, verdict: SchemaVerdict = lambda _id: None) -> None:
        batcher = Batcher(
            TOPIC, 0, RecordFilter(0, True, verdict), Limits(1_000, 1 << 20), Resumption(0, CommitMetadata(None))
        )
        self.state = PartitionState(0, batcher, Resumption(0, CommitMetadata(None)), 0.0)
        self.seeks: list[int] = []
        self.expired: list[int] = []
        seek = lambda place: self.seeks.append(place.offset)  # noqa: E731
        self._dispatcher = Dispatcher(TOPIC, {0: self.state}, seek, gapless, self.expired.append)

    def take(self, *offsets: int, timestamp_ms: int = 0, end: int | None = None) -> None:
        messages = [record(offset, timestamp_ms) for offset in offsets]
        if end is not None:
            messages.append(Message(topic=TOPIC, partition=0, offset=end, error=KafkaError(KafkaError._PARTITION_EOF)))
        self._dispatcher.dispatch(messages, 0.0)


def record(offset: int, timestamp_ms: int) -> Message:
    return Message(topic=TOPIC, partition=0, offset=offset, value=framed(offset), timestamp=(1, timestamp_ms))


def lag(reading: Reading, wall_clock_s: float) -> float:
    registry = CollectorRegistry()
    none: Any = lambda _: None  # noqa: E731
    Report(TOPIC, SinksMetrics(registry), none, none, lambda: wall_clock_s).stepped({0: reading.state}, 100.0)
    value = registry.get_sample_value("tally_sinks_lag_seconds", {"topic": TOPIC})
    assert value is not None
    return value


def stopped(reading: Reading) -> bool:
    registry = CollectorRegistry()
    none: Any = lambda _: None  # noqa: E731
    Report(TOPIC, SinksMetrics(registry), none, none, lambda: 0.0).stepped({0: reading.state}, 100.0)
    return registry.get_sample_value("tally_sinks_stopped", {"topic": TOPIC, "cause": "registry_away"}) == 1


def test_a_record_that_kafka_took_an_hour_ago_lags_an_hour_the_moment_it_is_read() -> None:
    reading = Reading()
    reading.take(0, 1, 2, timestamp_ms=1_000_000)
    assert lag(reading, 1_000 + HOUR_S) == HOUR_S


def test_nothing_that_waits_is_no_lag() -> None:
    assert lag(Reading(), 1e9) == 0


def test_the_oldest_record_counts_also_when_its_batch_is_full_or_ready() -> None:
    reading = Reading()
    reading.take(0, 1, timestamp_ms=1_000_000)
    batch = reading.state.prepare(10.0, 1.0, lambda _batch: None)
    assert batch is not None
    reading.take(2, 3, timestamp_ms=2_000_000)
    assert lag(reading, 1_000 + HOUR_S) == HOUR_S


def test_a_partition_that_waits_lags_and_is_stopped_also_while_its_record_is_tried_again() -> None:
    away = True

    def verdict(_id: int) -> None:
        if away:
            raise TopicStoppedError("registry_away", "cannot be reached")

    reading = Reading(verdict=verdict)
    for _ in range(3):
        reading.take(0, 1, timestamp_ms=1_000_000)
        assert reading.state.pending is not None
        reading.state.pending = None  # as when the time has come to try again, and its record is on its way
        assert lag(reading, 1_000 + HOUR_S) == HOUR_S
        assert stopped(reading)
    away = False
    reading.take(0, 1, timestamp_ms=1_000_000)
    assert not stopped(reading)


def test_records_deleted_before_they_were_read_are_counted_once_after_a_second_look() -> None:
    reading = Reading()
    reading.take(40, 41)
    assert (reading.seeks, reading.expired) == ([0], [])
    reading.take(40, 41)
    reading.take(42)
    assert reading.expired == [40]


def test_a_log_of_which_nothing_is_left_is_counted_too() -> None:
    reading = Reading()
    for _ in range(3):
        reading.take(end=70)
    assert reading.expired == [70]
    reading.take(70)
    assert reading.expired == [70]


def test_gaps_of_a_compacted_topic_are_no_loss() -> None:
    reading = Reading(gapless=False)
    reading.take(40, end=50)
    assert (reading.seeks, reading.expired) == ([], [])


def test_what_retention_deleted_on_a_real_broker_is_counted(rig: SinkRig) -> None:
    rig.found_group()
    rig.produce(TOPIC, map(framed, range(30)))
    name = rig.settings.topic(TOPIC)
    for future in rig.kafka.admin.delete_records([TopicPartition(name, 0, 20)]).values():
        future.result(30)
    sink = rig.sink()
    sink.start()
    rig.wait_for_acknowledgement([30, 0])
    assert sink.metric('tally_sinks_expired_records_total{topic="enriched_events"}') == 20
    assert rig.sources() == [(1, 0, offset) for offset in range(20, 30)]
