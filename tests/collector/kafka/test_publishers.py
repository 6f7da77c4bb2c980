"""What a publisher of the collector promises: one suite for Kafka's and for the one in memory that stands in for it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from collector.kafka.publisher import KafkaPublisher, OverloadedError, Publisher, Record
from docker.local.kafka import KafkaServer
from schemas.settings import Settings
from tests.collector.made import MemoryPublisher
from tests.kafka import Kafka
from tests.waiting import until

SIZE = 30  # of one record, about


class Subject(Protocol):
    """A publisher that lets 3 records wait, and what has come of its records."""

    @property
    def publisher(self) -> Publisher: ...

    def topic(self, name: str) -> str:
        """The broker's name of "one" or "two"."""

    def lose(self) -> str:
        """A topic whose records are not delivered, from now on."""

    def stored(self, name: str) -> list[bytes]:
        """The values in a topic, in order."""


class InMemory:
    """For the tests of the collector."""

    def __init__(self) -> None:
        self.publisher = MemoryPublisher()
        self.publisher.inflight_bytes_max = 3 * SIZE

    def topic(self, name: str) -> str:
        return name

    def lose(self) -> str:
        self.publisher.durable = False
        return "lost"

    def stored(self, name: str) -> list[bytes]:
        return [record["value"] for topic, record in self.publisher.records if topic == name]


class OnKafka:
    """On a real Kafka."""

    def __init__(self, settings: Settings, fatal: list[str]) -> None:
        self.kafka = Kafka(settings)
        for name in ("one", "two"):
            self.kafka.create(name, 1)
        self.publisher = KafkaPublisher(settings, fatal.append)
        self.topic = settings.topic

    def lose(self) -> str:
        return self.topic("lost")

    def stored(self, name: str) -> list[bytes]:
        return [record.value or b"" for record in self.kafka.read(name)]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "memory":
        yield InMemory()
        return
    server: KafkaServer = request.getfixturevalue("kafka_server")
    own = {
        "kafka_bootstrap": server.bootstrap,
        "topic_prefix": request.getfixturevalue("topic_prefix"),
        "collector_inflight_bytes_max": 3 * SIZE,
        "collector_ack_wait_ms_max": 1_500,
    }
    fatal: list[str] = []
    on_kafka = OnKafka(Settings.model_validate(own), fatal)
    yield on_kafka
    on_kafka.publisher.close(10)
    on_kafka.kafka.close()
    assert fatal == []


def record(text: str) -> Record:
    return {"key": b"the same key", "value": text.encode().rjust(SIZE - 12)}


def texts(values: list[bytes]) -> list[str]:
    return [value.decode().strip() for value in values]


async def test_records_are_durable_once_the_future_says_so_and_never_before_it_was_handed_out(
    subject: Subject,
) -> None:
    answer = subject.publisher.publish([(subject.topic("one"), [record("a"), record("b")])], 2 * SIZE)
    assert not answer.done()
    assert await answer is True
    assert texts(subject.stored("one")) == ["a", "b"]


async def test_records_of_one_key_keep_their_order_over_requests(subject: Subject) -> None:
    for number in range(20):
        assert await subject.publisher.publish([(subject.topic("one"), [record(f"{number}")])], SIZE)
    assert texts(subject.stored("one")) == [f"{number}" for number in range(20)]


async def test_one_future_is_for_all_topics_of_a_request(subject: Subject) -> None:
    batches = [(subject.topic("one"), [record("a")]), (subject.topic("two"), [record("b")])]
    assert await subject.publisher.publish(batches, 2 * SIZE)
    assert [texts(subject.stored(name)) for name in ("one", "two")] == [["a"], ["b"]]


async def test_what_may_wait_is_bounded_and_given_back(subject: Subject) -> None:
    publisher, topic = subject.publisher, subject.topic("one")
    answers = [publisher.publish([(topic, [record(text)])], SIZE) for text in ("a", "b", "c")]
    assert publisher.inflight_bytes == 3 * SIZE
    with pytest.raises(OverloadedError):
        publisher.publish([(topic, [record("d")])], SIZE)
    assert await asyncio.gather(*answers) == [True, True, True]
    assert publisher.inflight_bytes == 0
    assert await publisher.publish([(topic, [record("e")])], SIZE)
    assert texts(subject.stored("one")) == ["a", "b", "c", "e"]  # what was refused is not stored later


async def test_a_request_of_which_one_record_is_lost_is_not_durable_and_the_others_may_stand(subject: Subject) -> None:
    lost = subject.lose()
    batches = [(subject.topic("one"), [record("a")]), (lost, [record("b")])]
    assert await subject.publisher.publish(batches, 2 * SIZE) is False
    assert texts(subject.stored("one")) == ["a"]
    await until(lambda: subject.publisher.inflight_bytes == 0)  # Kafka's client gives up after the request did
