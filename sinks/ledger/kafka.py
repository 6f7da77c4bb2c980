"""What the ledger reads of Kafka: how far everybody is, and raw events."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from schemas.codec import Codec, RecordInvalidError
from schemas.kafka import consumer_config
from schemas.registry import SchemaIds
from schemas.settings import Settings
from schemas.topics import streams_group
from sinks.batching import commit_metadata, watermark
from sinks.errors import ReadFailedError
from sinks.ledger.account import Offsets, RawEvent

_TIMEOUT_S: Final = 10.0
_SKIP_MAX: Final = 5_000  # reading over so many records costs less than a seek
_FETCH_RECORDS: Final = 10_000
_OWNERS: Final = re.compile(rb"[0-9a-f-]{36}/([0-9a-f-]{36})/")  # tenant_id/project_id/session key
# To turn to other offsets, a fetch that waits at the end of a log must be waited for: 0.5 s by default, each time.
_READING: Final = {
    "fetch_wait_max_ms": 10, "queued_max_messages_kbytes": 16_384, "fetch_queue_backoff_ms": 20,
    "enable_partition_eof": True,
}  # fmt: skip


class KafkaTopics:
    """Reads positions and raw events; commits nothing. `timeout_s`: longest wait for an answer of Kafka."""

    def __init__(self, settings: Settings, ids: SchemaIds, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._settings = settings
        self._codec = Codec("raw_events", ids)
        self._raw = settings.topic("raw_events")
        self._enriched = settings.topic("enriched_events")
        self._generation = settings.streams_generation
        self._consumer = Consumer(consumer_config(settings, "ledger", log_level=0, **_READING))
        self._streams = self._of_group(streams_group(settings))
        self._sinks = self._of_group(f"{settings.sinks_group}-enriched_events")
        self._letters = self._of_group(f"{settings.sinks_group}-dead_letters")

    def _of_group(self, group: str) -> Consumer:
        return Consumer(consumer_config(self._settings, group, log_level=0))

    def partitions(self) -> list[int]:
        """The partitions of raw_events. Raises ReadFailedError when there is no such topic."""
        topic = self._consumer.list_topics(self._raw, timeout=self._timeout_s).topics[self._raw]
        if topic.error is not None:
            raise ReadFailedError(f"topic {self._raw}: {topic.error.str()}; run `python -m schemas apply`")
        return sorted(topic.partitions)

    def bounds(self, partition: int) -> tuple[int, int]:
        """The first and the next offset of raw_events."""
        low, high = self._consumer.get_watermark_offsets(TopicPartition(self._raw, partition), timeout=self._timeout_s)
        return int(low), int(high)

    def processed(self, partition: int) -> int:
        """The streams group's committed offset; 0 before its first commit."""
        return max(0, int(self._committed(self._streams, self._raw, partition).offset))

    def sink(self, partition: int) -> tuple[int | None, bool]:
        """The highest source offset the sink has written, and whether enriched_events holds more than that."""
        committed = self._committed(self._sinks, self._enriched, partition)
        low, high = self._consumer.get_watermark_offsets(
            TopicPartition(self._enriched, partition), timeout=self._timeout_s
        )
        planned = commit_metadata.decode(committed.metadata)
        written = max(committed.offset, int(low))
        behind = written < int(high) or (planned is not None and planned.end is not None)
        mark = None if planned is None or planned.watermark < 0 else planned.watermark
        if mark is None or watermark.generation_of(mark) != self._generation:
            # Offsets of another generation say nothing about those of this one.
            return None, behind
        return watermark.offset_of(mark), behind

    def dead_letter_ends(self) -> dict[int, int]:
        """The end of each partition of the topic dead_letters."""
        topic = self._settings.topic("dead_letters")
        partitions = self._consumer.list_topics(topic, timeout=self._timeout_s).topics[topic].partitions
        ends = {}
        for partition in partitions:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=self._timeout_s)
            ends[partition] = int(high) if high > low else 0
        return ends

    def dead_letters_written(self, ends: Mapping[int, int]) -> bool:
        """Whether the sink has written the dead letters below these offsets."""
        topic = self._settings.topic("dead_letters")
        asked = [TopicPartition(topic, partition) for partition, end in ends.items() if end]
        # A plan says nothing of what is below its own start, which is the committed offset.
        found = self._letters.committed(asked, timeout=self._timeout_s) if asked else []
        return all(answer.offset >= ends[answer.partition] for answer in found)

    def offset_at(self, partition: int, since_ms: int, end: int) -> int:
        """The first offset of raw_events at or after a time; `end` when there is none."""
        (found,) = self._consumer.offsets_for_times([TopicPartition(self._raw, partition, since_ms)], self._timeout_s)
        return int(found.offset) if found.offset >= 0 else end

    def _committed(self, consumer: Consumer, topic: str, partition: int) -> TopicPartition:
        (committed,) = consumer.committed([TopicPartition(topic, partition)], timeout=self._timeout_s)
        return committed

    def read(self, partition: int, offsets: Offsets) -> Iterator[RawEvent]:
        """The raw events at these offsets (rising), as far as the topic still has them and they can be decoded.

        Raises ReadFailedError when Kafka does not answer: what was not read is not gone.
        """
        for run in np.split(offsets, np.flatnonzero(np.diff(offsets) > _SKIP_MAX) + 1):
            if len(run):
                wanted = set(run.tolist())
                for message in self._between(partition, int(run[0]), int(run[-1]) + 1):
                    if message.offset() in wanted:
                        yield from self._decoded(message)

    def matching(self, partition: int, start: int, end: int, texts: Sequence[bytes]) -> Iterator[RawEvent]:
        """The raw events of [start, end) whose bytes hold one of the texts, which is told without decoding."""
        for message in self._between(partition, start, end):
            value = message.value() or b""
            if any(text in value for text in texts):
                yield from self._decoded(message)

    def projects(self, partition: int, start: int, end: int) -> Counter[str]:
        """How many raw events of [start, end) each project has, by their keys; only odd keys cost a decoding."""
        found: Counter[str] = Counter()
        for message in self._between(partition, start, end):
            match = _OWNERS.match(message.key() or b"")
            if match is not None:
                found[match[1].decode()] += 1
            else:
                found.update(event.project_id for event in self._decoded(message))
        return found

    def _between(self, partition: int, start: int, end: int) -> Iterator[Message]:
        """The records of [start, end), one fetch in memory. Raises ReadFailedError when Kafka does not answer."""
        self._consumer.assign([TopicPartition(self._raw, partition, start)])
        try:
            while True:
                first = self._consumer.poll(self._timeout_s)
                if first is None:
                    raise ReadFailedError(
                        f"topic {self._raw}, partition {partition}: Kafka has not answered for "
                        f"{self._timeout_s:.0f} s; nothing can be said of what it holds, try again"
                    )
                for message in (first, *self._consumer.consume(_FETCH_RECORDS, 0)):
                    if (error := message.error()) is not None:
                        if error.code() == KafkaError._PARTITION_EOF:
                            return
                        raise ReadFailedError(f"topic {self._raw}: {error.str()}")
                    if message.offset() >= end:
                        return
                    if message.offset() >= start:
                        yield message
                    if message.offset() == end - 1:
                        return
        finally:
            self._consumer.unassign()  # else it would go on fetching all that follows

    def _decoded(self, message: Message) -> Iterator[RawEvent]:
        try:
            record = self._codec.decode(message.value() or b"")
        except RecordInvalidError:
            return
        offset = message.offset()
        assert offset is not None
        yield RawEvent(offset, record["project_id"], record["message_id"], record["client_message_id"])

    def close(self) -> None:
        """Leave Kafka."""
        for consumer in (self._consumer, self._streams, self._sinks, self._letters):
            consumer.close()
