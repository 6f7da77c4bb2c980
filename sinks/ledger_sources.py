"""What the ledger is computed from: offsets and raw events of Kafka, lineage columns of ClickHouse."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from clickhouse_driver import Client
from confluent_kafka import Consumer, TopicPartition

from schemas.codec import Codec, RecordInvalidError
from schemas.kafka import consumer_config
from schemas.registry import SchemaIds
from schemas.settings import Settings
from sinks import plan, watermark
from sinks.ledger import Offsets, RawEvent, Stored

_TIMEOUT_S: Final = 10.0
_SKIP_MAX: Final = 5_000  # reading over so many records costs less than a seek
_IDS_MAX: Final = 5_000  # message ids asked for at once


class LedgerError(RuntimeError):
    """A source of the ledger cannot be read; the message says which."""


class Topics:
    """Reads positions and raw events; commits nothing."""

    def __init__(self, settings: Settings, ids: SchemaIds) -> None:
        self._settings = settings
        self._codec = Codec("raw_events", ids)
        self._raw = settings.topic("raw_events")
        self._enriched = settings.topic("enriched_events")
        self._consumer = Consumer(consumer_config(settings, "ledger", log_level=0))
        version = f"-v{settings.streams_generation}" if settings.streams_generation > 1 else ""
        self._streams = self._of_group(f"{settings.streams_app_id}{version}")
        self._sinks = self._of_group(f"{settings.sinks_group}-enriched_events")
        self._letters = self._of_group(f"{settings.sinks_group}-dead_letters")

    def _of_group(self, group: str) -> Consumer:
        return Consumer(consumer_config(self._settings, group, log_level=0))

    def partitions(self) -> list[int]:
        """The partitions of raw_events. Raises LedgerError when there is no such topic."""
        topic = self._consumer.list_topics(self._raw, timeout=_TIMEOUT_S).topics[self._raw]
        if topic.error is not None:
            raise LedgerError(f"topic {self._raw}: {topic.error.str()}; run `python -m schemas apply`")
        return sorted(topic.partitions)

    def bounds(self, partition: int) -> tuple[int, int]:
        """The first and the next offset of raw_events."""
        low, high = self._consumer.get_watermark_offsets(TopicPartition(self._raw, partition), timeout=_TIMEOUT_S)
        return int(low), int(high)

    def processed(self, partition: int) -> int:
        """The streams group's committed offset; 0 before its first commit."""
        return max(0, int(self._committed(self._streams, self._raw, partition).offset))

    def sink(self, partition: int) -> tuple[int | None, bool]:
        """The highest source offset the sink has written, and whether enriched_events holds more than that."""
        committed = self._committed(self._sinks, self._enriched, partition)
        low, high = self._consumer.get_watermark_offsets(TopicPartition(self._enriched, partition), timeout=_TIMEOUT_S)
        planned = plan.decode(committed.metadata)
        written = max(committed.offset, int(low))
        mark = None if planned is None or planned.watermark < 0 else watermark.offset_of(planned.watermark)
        return mark, written < int(high) or (planned is not None and planned.end is not None)

    def dead_letters_behind(self) -> bool:
        """Whether the topic dead_letters holds more than its sink has written."""
        topic = self._settings.topic("dead_letters")
        partitions = self._consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
        for partition in partitions:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT_S)
            committed = self._committed(self._letters, topic, partition)
            planned = plan.decode(committed.metadata)
            if max(committed.offset, low) < high or (planned is not None and planned.end is not None):
                return True
        return False

    def offset_at(self, partition: int, since_ms: int, end: int) -> int:
        """The first offset of raw_events at or after a time; `end` when there is none."""
        (found,) = self._consumer.offsets_for_times([TopicPartition(self._raw, partition, since_ms)], _TIMEOUT_S)
        return int(found.offset) if found.offset >= 0 else end

    def _committed(self, consumer: Consumer, topic: str, partition: int) -> TopicPartition:
        (committed,) = consumer.committed([TopicPartition(topic, partition)], timeout=_TIMEOUT_S)
        return committed

    def read(self, partition: int, offsets: Offsets, containing: bytes = b"") -> Iterator[RawEvent]:
        """The raw events at these offsets (rising), as far as the topic still has them and they can be decoded.

        containing: only those whose bytes hold this, which is told without decoding.
        """
        position = -1
        for offset in offsets.tolist():
            if position < 0 or not position <= offset <= position + _SKIP_MAX:
                self._consumer.assign([TopicPartition(self._raw, partition, offset)])
                position = offset
            while position <= offset:
                message = self._next()
                if message is None:
                    return
                position = message.offset() + 1
                if message.offset() == offset and containing in (message.value() or b""):
                    yield from self._decoded(message)

    def tail(self, partition: int, start: int, end: int, containing: bytes = b"") -> Iterator[RawEvent]:
        """The raw events of [start, end) whose bytes hold `containing`."""
        return self.read(partition, np.arange(start, end, dtype=np.int64), containing)

    def _next(self) -> Any:
        message = self._consumer.poll(_TIMEOUT_S)
        if message is not None and message.error() is not None:
            raise LedgerError(f"topic {self._raw}: {message.error().str()}")
        return message

    def _decoded(self, message: Any) -> Iterator[RawEvent]:
        try:
            record = self._codec.decode(message.value() or b"")
        except RecordInvalidError:
            return
        received_ms = int(record["received_at"].timestamp() * 1000)
        yield RawEvent(message.offset(), record["tenant_id"], record["project_id"], record["message_id"], received_ms)

    def close(self) -> None:
        """Leave Kafka."""
        for consumer in (self._consumer, self._streams, self._sinks, self._letters):
            consumer.close()


class Tables:
    """Reads the lineage columns."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._generation = settings.streams_generation
        self._source_topic = settings.topic("raw_events")

    def stored(self, partition: int, start: int, end: int) -> Stored:
        """What stands of the source offsets [start, end) of a partition."""
        where = {"generation": self._generation, "partition": partition, "start": start, "end": end}
        span = "source_offset >= %(start)s AND source_offset < %(end)s AND source_partition = %(partition)s"
        rows = self._offsets(
            f"SELECT source_offset, count() FROM events WHERE {span} AND source_generation = %(generation)s "
            "GROUP BY source_offset ORDER BY source_offset",
            where,
        )
        dead = self._offsets(
            "SELECT source_offset, count() FROM dead_letters WHERE source_topic = %(topic)s AND stage = 'streams' "
            f"AND {span} GROUP BY source_offset ORDER BY source_offset",
            where | {"topic": self._source_topic},
        )
        return Stored(rows[0], rows[0][rows[1] > 1], dead[0])

    def kept(self, events: Sequence[RawEvent]) -> set[tuple[str, str]]:
        """Which (project_id, message_id) of these events have a row."""
        found: set[tuple[str, str]] = set()
        ids = sorted({event.message_id for event in events})
        for start in range(0, len(ids), _IDS_MAX):
            rows = self._client.execute(
                "SELECT DISTINCT project_id, toString(message_id) FROM events WHERE message_id IN %(ids)s",
                {"ids": tuple(ids[start : start + _IDS_MAX])},
            )
            found.update(rows)
        return found

    def by_project(self, partition: int, start: int, end: int) -> list[tuple[str, str, int]]:
        """Outcome (stored or dead), project id and number of the source offsets [start, end) of a partition."""
        span = "source_offset >= %(start)s AND source_offset < %(end)s AND source_partition = %(partition)s"
        rows: list[tuple[str, str, int]] = self._client.execute(
            "SELECT 'stored', project_id, uniqExact(source_offset) FROM events "
            f"WHERE {span} AND source_generation = %(generation)s GROUP BY project_id UNION ALL "
            "SELECT 'dead', project_id, uniqExact(source_offset) FROM dead_letters "
            f"WHERE {span} AND source_topic = %(topic)s AND stage = 'streams' GROUP BY project_id",
            {
                "generation": self._generation,
                "partition": partition,
                "start": start,
                "end": end,
                "topic": self._source_topic,
            },
        )
        return rows

    def refused(self, since_ms: int) -> list[tuple[str, int]]:
        """Project id and number of the dead letters of the collector since a time (ms since 1970)."""
        rows: list[tuple[str, int]] = self._client.execute(
            "SELECT project_id, uniqExact(dead_letter_id) FROM dead_letters WHERE stage = 'collector' "
            "AND first_seen_at >= fromUnixTimestamp64Milli(toInt64(%(since)s)) GROUP BY project_id",
            {"since": since_ms},
        )
        return rows

    def _offsets(self, query: str, where: dict[str, Any]) -> tuple[Offsets, Offsets]:
        columns = self._client.execute(query, where, columnar=True)
        if not columns:
            empty = np.empty(0, dtype=np.int64)
            return empty, empty
        return np.asarray(columns[0], dtype=np.int64), np.asarray(columns[1], dtype=np.int64)
