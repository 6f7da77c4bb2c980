"""What a publisher of streams promises: one suite for Kafka's and for those in memory that stand in for it."""

import asyncio
import random
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import pytest
from faust.types import TP

from docker.local.kafka import KafkaServer
from docker.local.process import HOST, free_port
from schemas.kafka import producer_config
from schemas.settings import MESSAGE_BYTES_MAX, Settings
from streams.runtime.newest import tombstone_headers
from streams.runtime.operator import Outgoing
from streams.runtime.publisher import KafkaPublisher, Publisher, PublishError
from tests.kafka import Kafka
from tests.streams.runtime.epoch_fakes import FakePublisher
from tests.streams.universe import PARTITIONS
from tests.streams.world import Fuse, Log, LogPublisher

Stored = list[tuple[bytes | None, bytes | None]]  # keys and values


class Subject(Protocol):
    """Publishers, and the topics that they publish to."""

    topic: str
    lost: str

    def open(self, offsets: bool = False, fails_at: str = "") -> Publisher:
        """A publisher: one without room, or one that does not deliver what goes to the topic `lost`."""

    def late(self, publisher: Publisher) -> AbstractContextManager[None]:
        """While it lasts nothing is answered."""

    def stored(self) -> list[Stored]:
        """What is durable in each partition."""

    def headers(self, partition: int) -> Iterator[list[tuple[str, bytes]]]:
        """Those of each record of a partition."""


class InMemory:
    """Of the tests of epochs, or of the crash law: that one has no failures but kills, and tells offsets always."""

    topic, lost = "topic", "lost"

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._log = Log()

    def open(self, offsets: bool = False, fails_at: str = "") -> Publisher:
        if self._kind == "log":
            return LogPublisher(self._log, Fuse(sys.maxsize), random.Random(0))
        publisher = FakePublisher("outputs", [], self._log, offsets=offsets)
        publisher.fails_at = fails_at
        return publisher

    @contextmanager
    def late(self, publisher: Publisher) -> Iterator[None]:
        assert isinstance(publisher, LogPublisher)
        publisher.gate = asyncio.Event()
        yield
        publisher.gate.set()

    def stored(self) -> list[Stored]:
        return [
            [(record.key, record.value) for record in self._log.records[self.topic, partition]]
            for partition in range(PARTITIONS)
        ]

    def headers(self, partition: int) -> Iterator[list[tuple[str, bytes]]]:
        return (list(record.headers) for record in self._log.records[self.topic, partition])


class OnKafka:
    """On a real Kafka."""

    def __init__(self, server: KafkaServer, prefix: str) -> None:
        settings = Settings.model_validate({"kafka_bootstrap": server.bootstrap, "topic_prefix": prefix})
        self.kafka = Kafka(settings)
        self.kafka.create("topic", PARTITIONS)
        self._server = server
        self.topic, self.lost = settings.topic("topic"), settings.topic("lost")
        self._settings = settings

    def open(self, offsets: bool = False, fails_at: str = "") -> Publisher:
        config = producer_config(self._settings, log_level=0)
        if fails_at == "publish":
            config |= {"bootstrap.servers": f"{HOST}:{free_port()}", "queue.buffering.max.messages": 1}
        # Of the topic `lost` nothing more is to be done: it is not there.
        return KafkaPublisher(config, offsets, flush_timeout_s={"": 60.0, "publish": 0.2, "flush": 2.0}[fails_at])

    @contextmanager
    def late(self, publisher: Publisher) -> Iterator[None]:
        self._server.suspend()
        try:
            yield
        finally:
            self._server.resume()

    def stored(self) -> list[Stored]:
        found: list[Stored] = [[] for _ in range(PARTITIONS)]
        for record in self.kafka.read("topic"):
            found[record.partition].append((record.key, record.value))
        return found

    def headers(self, partition: int) -> Iterator[list[tuple[str, bytes]]]:
        return (list(record.headers) for record in self.kafka.read("topic") if record.partition == partition)


@pytest.fixture(params=["fake", "log", pytest.param("kafka", marks=pytest.mark.integration)])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param != "kafka":
        yield InMemory(request.param)
        return
    yield from on_kafka(request, "kafka_server")


@pytest.fixture(params=["fake", "log", pytest.param("kafka", marks=pytest.mark.integration)])
def late_subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """One that can be made to answer late."""
    if request.param == "kafka":
        yield from on_kafka(request, "own_kafka")
    else:
        yield InMemory(request.param)


def on_kafka(request: pytest.FixtureRequest, server: str) -> Iterator[Subject]:
    subject = OnKafka(request.getfixturevalue(server), request.getfixturevalue("topic_prefix"))
    yield subject
    subject.kafka.close()


can_fail = pytest.mark.parametrize(
    "subject", ["fake", pytest.param("kafka", marks=pytest.mark.integration)], indirect=True
)


def record(number: int, key: bytes = b"key", **more: int) -> Outgoing:
    return {"key": key, "value": b"%d" % number, **more}


def numbers(some: Stored) -> list[int]:
    return [int(value or b"") for _, value in some]


async def test_each_partition_has_its_records_in_order_once_they_are_flushed(subject: Subject) -> None:
    publisher = subject.open()
    for start in range(0, 300, 100):
        publisher.publish(subject.topic, [record(number, partition=number % 2) for number in range(start, start + 100)])
    await publisher.flush()
    assert [numbers(some) for some in subject.stored()] == [list(range(0, 300, 2)), list(range(1, 300, 2)), []]


async def test_records_without_a_partition_go_where_their_key_belongs(subject: Subject) -> None:
    publisher = subject.open()
    publisher.publish(subject.topic, [record(number, b"%d" % (number % 20)) for number in range(100)])
    await publisher.flush()
    places: dict[bytes | None, set[int]] = {}
    for partition, some in enumerate(subject.stored()):
        for key, _ in some:
            places.setdefault(key, set()).add(partition)
    assert len(places) == 20
    assert {len(found) for found in places.values()} == {1}
    assert len(set.union(*places.values())) > 1


async def test_the_partition_of_the_call_is_that_of_all_its_records(subject: Subject) -> None:
    publisher = subject.open()
    publisher.publish(subject.topic, [record(1), record(2, partition=0)], 2)
    await publisher.flush()
    assert [numbers(some) for some in subject.stored()] == [[], [], [1, 2]]


async def test_a_record_without_a_value_is_kept_as_one(subject: Subject) -> None:
    publisher = subject.open()
    publisher.publish(subject.topic, [{"key": b"gone", "value": None}], 0)
    await publisher.flush()
    assert subject.stored()[0] == [(b"gone", None)]


async def test_a_tombstone_keeps_its_headers_and_its_place(subject: Subject) -> None:
    publisher = subject.open(offsets=True)
    publisher.publish(subject.topic, [{"key": b"a", "value": b"1"}], 2)
    publisher.publish_one(subject.topic, {"key": b"a", "value": None, "headers": tombstone_headers(7)}, 2)
    assert await publisher.flush() == {TP(subject.topic, 2): 1}
    assert subject.stored()[2] == [(b"a", b"1"), (b"a", None)]
    assert list(subject.headers(2)) == [[], [("applied", b"7")]]


async def test_what_is_not_flushed_is_counted(subject: Subject) -> None:
    publisher = subject.open(offsets=True)
    assert publisher.queued() == 0
    publisher.publish(subject.topic, [{"key": b"a", "value": b"1"}, {"key": b"b", "value": b"2"}], 2)
    publisher.publish_one(subject.topic, {"key": b"a", "value": None, "headers": tombstone_headers(7)}, 2)
    assert publisher.queued() == 3
    await publisher.flush()
    assert publisher.queued() == 0


async def test_the_offsets_reached_are_told_once(subject: Subject) -> None:
    publisher = subject.open(offsets=True)
    publisher.publish(subject.topic, [record(number) for number in range(3)], 1)
    publisher.publish(subject.topic, [record(4)], 0)
    assert await publisher.flush() == {TP(subject.topic, 1): 2, TP(subject.topic, 0): 0}
    assert await publisher.flush() == {}
    publisher.publish(subject.topic, [record(5)], 1)
    assert await publisher.flush() == {TP(subject.topic, 1): 3}


@can_fail
async def test_who_does_not_track_offsets_tells_none(subject: Subject) -> None:
    publisher = subject.open()
    publisher.publish(subject.topic, [record(1)], 1)
    assert await publisher.flush() == {}


async def test_a_flush_waits_for_late_answers_and_for_what_is_published_meanwhile(late_subject: Subject) -> None:
    publisher = late_subject.open(offsets=True)
    publisher.publish(late_subject.topic, [record(0)], 1)
    await publisher.flush()
    with late_subject.late(publisher):
        publisher.publish(late_subject.topic, [record(1)], 1)
        flush = asyncio.ensure_future(publisher.flush())
        answered, _ = await asyncio.wait({flush}, timeout=0.5)
        publisher.publish(late_subject.topic, [record(2)], 1)
    assert not answered
    assert await flush == {TP(late_subject.topic, 1): 2}
    assert numbers(late_subject.stored()[1]) == [0, 1, 2]


async def test_a_record_too_large_is_refused_and_its_neighbours_may_stand_all_the_same(subject: Subject) -> None:
    publisher = subject.open()
    large: Outgoing = {"key": b"key", "value": bytes(MESSAGE_BYTES_MAX + 1)}
    with pytest.raises(PublishError, match=subject.topic):
        publisher.publish(subject.topic, [record(1), large, record(2)], 0)
    await publisher.flush()
    assert numbers(subject.stored()[0]) == [1, 2]


@can_fail
async def test_without_room_the_call_fails(subject: Subject) -> None:
    publisher = subject.open(fails_at="publish")
    with pytest.raises(PublishError, match=subject.topic):
        publisher.publish(subject.topic, [record(1), record(2)], 0)


@can_fail
async def test_a_record_that_is_not_delivered_fails_this_flush_and_the_next_and_others_stand(subject: Subject) -> None:
    publisher = subject.open(fails_at="flush")
    publisher.publish(subject.topic, [record(1), record(2)], 0)
    publisher.publish(subject.lost, [record(3)], 0)
    for _ in range(2):
        with pytest.raises(PublishError):
            await publisher.flush()
    assert numbers(subject.stored()[0]) == [1, 2]
