"""A whole topic is read to the end it had, whatever goes on being written."""

from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace
from typing import Any, Final

import pytest
from confluent_kafka import KafkaError, TopicPartition

from schemas import whole_topic
from schemas.settings import Settings
from schemas.whole_topic import TopicUnreadableError, read_whole

SETTINGS: Final = Settings.model_validate({"topic_prefix": ""})
READS_MAX: Final = 100


class Message:
    """A record, or with an error what librdkafka has to say of a partition."""

    def __init__(self, partition: int, offset: int, error: int | None = None) -> None:
        self._place = partition, offset
        self._error = error

    def partition(self) -> int:
        return self._place[0]

    def offset(self) -> int:
        return self._place[1]

    def error(self) -> KafkaError | None:
        return None if self._error is None else KafkaError(self._error)

    def key(self) -> bytes:
        return b"key"

    def value(self) -> bytes:
        return b"value"

    def headers(self) -> None:
        return None


class Broker:
    """In place of a consumer: partitions that ended at `ends` when they were asked, and what comes of them then."""

    def __init__(self, ends: list[int], coming: Iterator[Message]) -> None:
        self._ends = ends
        self._coming = coming
        self._polls = 0

    def list_topics(self, name: str, timeout: float) -> Any:
        partitions = dict.fromkeys(range(len(self._ends)))
        return SimpleNamespace(topics={name: SimpleNamespace(error=None, partitions=partitions)})

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        return 0, self._ends[place.partition]

    def assign(self, places: list[TopicPartition]) -> None:
        assert [place.offset for place in places] == [0] * len(self._ends)

    def poll(self, timeout: float) -> Message | None:
        self._polls += 1
        assert self._polls < READS_MAX, "reads for ever"
        return next(self._coming, None)

    def consume(self, records: int, timeout: float) -> list[Message]:
        return []

    def close(self) -> None:
        pass


def read(monkeypatch: pytest.MonkeyPatch, ends: list[int], coming: Iterator[Message]) -> list[tuple[int, int]]:
    """Partition and offset of what is read."""
    monkeypatch.setattr(whole_topic, "Consumer", lambda _: Broker(ends, coming))
    return [(record.partition, record.offset) for record in read_whole(SETTINGS, "projects")]


def end_of(partition: int, offset: int) -> Message:
    return Message(partition, offset, KafkaError._PARTITION_EOF)


def test_it_ends_where_the_topic_ended_though_records_never_cease(monkeypatch: pytest.MonkeyPatch) -> None:
    # No fetch comes back empty, so librdkafka never speaks of an end.
    endless = (Message(0, offset) for offset in count())
    assert read(monkeypatch, [3], endless) == [(0, 0), (0, 1), (0, 2)]


def test_a_record_beyond_the_end_says_that_nothing_before_it_is_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    # The last ones of before were compacted away.
    assert read(monkeypatch, [3], (Message(0, offset) for offset in (0, *range(7, 1000)))) == [(0, 0)]


def test_each_partition_is_read_to_its_own_end(monkeypatch: pytest.MonkeyPatch) -> None:
    coming = [Message(0, 0), Message(0, 1), end_of(2, 0), Message(1, 0), Message(0, 2), Message(1, 1)]
    assert read(monkeypatch, [1, 2, 0], iter(coming)) == [(0, 0), (1, 0), (1, 1)]


def test_where_the_last_are_no_records_the_end_is_what_kafka_says(monkeypatch: pytest.MonkeyPatch) -> None:
    # A transaction's marker has an offset of its own.
    assert read(monkeypatch, [3], iter([Message(0, 0), Message(0, 1), end_of(0, 3)])) == [(0, 0), (0, 1)]


def test_silence_before_the_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TopicUnreadableError, match=r"nothing came of partitions \[0\]"):
        read(monkeypatch, [3], iter([Message(0, 0)]))
