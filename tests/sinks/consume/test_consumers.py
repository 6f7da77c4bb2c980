"""A consumer in a group: one suite for librdkafka on a real Kafka and for the one in memory that stands in for it."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Consumer as KafkaConsumer

from docker.local.kafka import KafkaServer
from schemas.kafka import consumer_config
from schemas.settings import Settings
from sinks.consume.consumer import Consumer
from tests.kafka import Kafka
from tests.sinks.memory_group import TOPIC, MemoryBroker, SimConsumer
from tests.waiting import wait_until

PARTITIONS = 2
SESSION_MS = 6_000  # the least that the broker takes


class Member:
    """A consumer that reads from where its group has committed, and notes what happens to it."""

    def __init__(self, consumer: Consumer, topic: str) -> None:
        self.consumer = consumer
        self.topic = topic
        self.owned: set[int] = set()
        self.moves: list[tuple[str, list[int]]] = []
        self.records: list[tuple[int, int]] = []  # partition and offset
        self.ends: list[tuple[int, int]] = []
        self.acknowledges = False  # what it has read, when partitions go
        self.resumes = False  # partitions as they come
        consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def place(self, partition: int, offset: int = OFFSET_INVALID, metadata: str = "") -> TopicPartition:
        return TopicPartition(self.topic, partition, offset, metadata)

    def consume(self) -> None:
        """One call."""
        for message in self.consumer.consume(100, 0.05):
            error = message.error()
            if error is None:
                self.records.append((message.partition(), message.offset()))
            elif error.code() == KafkaError._PARTITION_EOF:
                self.ends.append((message.partition(), message.offset()))
            else:
                assert error.code() == KafkaError._MAX_POLL_EXCEEDED, error

    def until(self, condition: Callable[[], bool]) -> None:
        """Consume until it holds."""

        def consumed() -> bool:
            self.consume()
            return condition()

        wait_until(consumed, lambda: (self.moves, self.records, self.ends))

    def brings(self, *records: tuple[int, int], end: tuple[int, int] | None = None) -> bool:
        """Whether these come next, in any order of partitions, and then the end: that nothing else came is known by
        that, as a partition is read in order."""
        self.records.clear()
        self.ends.clear()
        self.until(lambda: len(self.records) >= len(records) and (end is None or end in self.ends))
        return sorted(self.records) == sorted(records)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self._note("assigned", partitions)
            found = consumer.committed(partitions, timeout=30)
            starts = [(one.partition, one.offset if one.offset >= 0 else OFFSET_BEGINNING) for one in found]
            consumer.incremental_assign([self.place(*start) for start in starts])
            if self.resumes:
                consumer.resume([self.place(*start) for start in starts])
            self.owned |= {partition for partition, _ in starts}

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._note("revoked", partitions)
        read = {partition: offset + 1 for partition, offset in sorted(self.records)}
        gone = {one.partition for one in partitions}
        if offsets := [self.place(*place) for place in read.items() if self.acknowledges and place[0] in gone]:
            consumer.commit(offsets=offsets, asynchronous=False)
        self.owned -= gone

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._note("lost", partitions)
        self.owned -= {one.partition for one in partitions}

    def _note(self, move: str, partitions: Sequence[TopicPartition]) -> None:
        self.moves.append((move, sorted(one.partition for one in partitions)))


class Group(Protocol):
    """A topic of two partitions, and the group that reads it."""

    def join(self) -> Member:
        """One more member; the partitions are spread evenly once all have consumed."""

    def append(self, partition: int, count: int) -> None:
        """So many records more."""

    def expel(self, member: Member) -> None:
        """Return when the broker has given a member up that does not know."""


class MemoryGroup:
    """In memory."""

    def __init__(self) -> None:
        self._broker = MemoryBroker(random.Random(1), {partition: [] for partition in range(PARTITIONS)}, calm=True)

    def join(self) -> Member:
        member = Member(SimConsumer(self._broker), TOPIC)
        while len(set(self._broker.owners.values())) < len(self._broker.members):
            self._broker.rebalance()
        return member

    def append(self, partition: int, count: int) -> None:
        end = self._broker.end(partition)
        self._broker.logs[partition] += [(end + number, b"value") for number in range(count)]

    def expel(self, member: Member) -> None:
        assert isinstance(member.consumer, SimConsumer)
        self._broker.expel(member.consumer)


class KafkaGroup:
    """On a real Kafka."""

    def __init__(self, settings: Settings) -> None:
        self.kafka = Kafka(settings)
        self.kafka.create(TOPIC, PARTITIONS)
        self.consumers: list[Consumer] = []
        self._settings = settings

    def join(self) -> Member:
        consumer = KafkaConsumer(
            consumer_config(
                self._settings, "group", enable_partition_eof=True, session_timeout_ms=SESSION_MS,
                heartbeat_interval_ms=200, max_poll_interval_ms=SESSION_MS, log_level=0,
            )
        )  # fmt: skip
        self.consumers.append(consumer)
        return Member(consumer, self._settings.topic(TOPIC))

    def append(self, partition: int, count: int) -> None:
        self.kafka.produce(TOPIC, [(None, b"value")] * count, partition)

    def expel(self, member: Member) -> None:
        admin, group = self.kafka.admin, f"{self._settings.topic_prefix}group"

        def members() -> int:
            return len(admin.describe_consumer_groups([group])[group].result(30).members)

        wait_until(lambda: members() == 0, members)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def group(request: pytest.FixtureRequest) -> Iterator[Group]:
    if request.param == "memory":
        yield MemoryGroup()
        return
    server: KafkaServer = request.getfixturevalue("kafka_server")
    prefix = request.getfixturevalue("topic_prefix")
    group = KafkaGroup(Settings.model_validate({"kafka_bootstrap": server.bootstrap, "topic_prefix": prefix}))
    yield group
    for consumer in group.consumers:
        consumer.close()
    group.kafka.close()


def test_a_member_is_told_its_partitions_and_reads_each_in_order_to_its_end(group: Group) -> None:
    group.append(0, 3)
    group.append(1, 2)
    member = group.join()
    member.until(lambda: len(member.ends) == 2)
    assert member.moves == [("assigned", [0, 1])]
    assert sorted(member.records) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert [record for record in member.records if record[0] == 0] == [(0, 0), (0, 1), (0, 2)]
    assert sorted(member.ends) == [(0, 3), (1, 2)]


def test_the_end_of_a_partition_is_told_once_until_there_is_more(group: Group) -> None:
    member = group.join()
    group.append(1, 1)
    member.until(lambda: (0, 0) in member.ends and (1, 1) in member.ends)
    group.append(1, 1)
    assert member.brings((1, 1), end=(1, 2))
    assert member.ends == [(1, 2)]  # and not once more that of the other, at each of the calls until then


def test_what_was_committed_is_found_with_its_metadata_and_what_was_not_is_said_to_be_missing(group: Group) -> None:
    member = group.join()
    member.until(lambda: member.owned == {0, 1})
    (answer,) = member.consumer.commit(offsets=[member.place(0, 7, "some text")], asynchronous=False)
    assert answer.error is None
    found = member.consumer.committed([member.place(0), member.place(1)], timeout=30)
    assert [(one.partition, one.offset, one.metadata, one.error) for one in found] == [
        (0, 7, "some text", None),
        (1, OFFSET_INVALID, None, None),
    ]


def test_the_bounds_of_a_log(group: Group) -> None:
    group.append(0, 3)
    member = group.join()
    member.until(lambda: member.owned == {0, 1})
    assert [member.consumer.get_watermark_offsets(member.place(one), timeout=30) for one in (0, 1)] == [(0, 3), (0, 0)]


def test_a_seek_goes_back_and_the_end_is_told_again(group: Group) -> None:
    group.append(0, 4)
    member = group.join()
    member.until(lambda: (0, 4) in member.ends)
    member.consumer.seek(member.place(0, 2))
    assert member.brings((0, 2), (0, 3), end=(0, 4))
    member.consumer.seek(member.place(0, 4))
    assert member.brings(end=(0, 4))


def test_a_paused_partition_brings_nothing_and_goes_on_where_it_was(group: Group) -> None:
    group.append(0, 2)
    member = group.join()
    member.until(lambda: (0, 2) in member.ends)
    member.consumer.pause([member.place(0)])
    group.append(0, 1)
    group.append(1, 1)
    assert member.brings((1, 0), end=(1, 1))
    member.consumer.resume([member.place(0)])
    assert member.brings((0, 2), end=(0, 3))
    member.consumer.pause([member.place(0)])
    member.consumer.resume([member.place(0)])
    assert member.brings(end=(0, 3))


def test_a_partition_that_is_sought_and_then_paused_goes_on_where_it_was_sought(group: Group) -> None:
    group.append(0, 3)
    member = group.join()
    member.until(lambda: (0, 3) in member.ends)
    member.consumer.seek(member.place(0, 1))
    member.consumer.pause([member.place(0)])
    group.append(1, 1)
    assert member.brings((1, 0), end=(1, 1))
    member.consumer.resume([member.place(0)])
    assert member.brings((0, 1), (0, 2), end=(0, 3))


def test_a_partition_is_given_back_before_its_heir_is_told_and_the_others_stay(group: Group) -> None:
    group.append(0, 2)
    group.append(1, 2)
    first = group.join()
    first.acknowledges = True
    first.until(lambda: len(first.ends) == 2)
    second = group.join()

    def spread() -> bool:
        second.consume()
        assert not first.owned & second.owned
        return len(first.owned) == len(second.owned) == 1

    first.until(spread)
    (kept,), (moved,) = first.owned, second.owned
    assert ("revoked", [moved]) in first.moves
    assert second.moves == [("assigned", [moved])]
    group.append(0, 1)
    group.append(1, 1)
    assert second.brings((moved, 2))  # the first has acknowledged what it had read
    assert first.brings((kept, 2))


def goes_away_and_comes_back(group: Group, first: Member) -> int:
    """One of the partitions, to a second member that does not stay."""
    second = group.join()

    def spread() -> bool:
        second.consume()
        return len(first.owned) == len(second.owned) == 1

    first.until(spread)
    (moved,) = second.owned
    second.consumer.close()
    assert second.owned == set()
    first.until(lambda: first.owned == {0, 1})
    return moved


def test_a_partition_that_went_away_paused_comes_back_paused(group: Group) -> None:
    first = group.join()
    first.until(lambda: first.owned == {0, 1})
    first.consumer.pause([first.place(0), first.place(1)])
    moved = goes_away_and_comes_back(group, first)
    group.append(0, 1)
    group.append(1, 1)
    kept = 1 - moved
    first.consumer.resume([first.place(kept)])
    assert first.brings((kept, 0), end=(kept, 1))
    first.consumer.resume([first.place(moved)])
    assert first.brings((moved, 0), end=(moved, 1))


def test_a_partition_that_is_resumed_as_it_comes_back_begins_where_it_was_told_to(group: Group) -> None:
    group.append(0, 3)
    group.append(1, 3)
    first = group.join()
    first.until(lambda: len(first.ends) == 2)
    first.consumer.pause([first.place(0), first.place(1)])
    first.consumer.commit(offsets=[first.place(0, 1), first.place(1, 1)], asynchronous=False)
    first.resumes = True
    first.records.clear()
    moved = goes_away_and_comes_back(group, first)
    first.until(lambda: (moved, 2) in first.records)
    assert [record for record in first.records if record[0] == moved] == [(moved, 1), (moved, 2)]


def test_who_is_no_member_any_more_cannot_commit_and_learns_of_its_loss_when_it_consumes(group: Group) -> None:
    member = group.join()
    member.until(lambda: member.owned == {0, 1})
    group.expel(member)
    with pytest.raises(KafkaException) as refused:
        member.consumer.commit(offsets=[member.place(0, 1)], asynchronous=False)
    assert refused.value.args[0].code() == KafkaError.UNKNOWN_MEMBER_ID
    assert member.owned == {0, 1}
    member.until(lambda: len(member.moves) > 1)
    assert member.moves[1] == ("lost", [0, 1])


def test_closing_gives_all_back(group: Group) -> None:
    member = group.join()
    member.until(lambda: member.owned == {0, 1})
    member.consumer.close()
    assert member.owned == set()
    assert {move for move, _ in member.moves} == {"assigned", "revoked"}
