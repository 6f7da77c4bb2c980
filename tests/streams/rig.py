"""What the integration tests of streams stand on: topics, raw records with their oracle, workers as processes."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from docker.local.kafka import KafkaServer
from docker.local.process import free_port
from docker.local.services import Service
from schemas.apply_topics import apply_topics
from schemas.codec import Codec
from schemas.kafka import producer_config
from schemas.outcomes import DeadReason
from schemas.settings import Settings
from streams.app import app_id, rules
from tests.streams.oracle import Deduplicator, decode_record
from tests.streams.raw import IDS, RAW
from tests.streams.universe import Row

PARTITIONS: Final = 4
WAIT_S: Final = 120.0
Place = tuple[int, int]  # partition and offset


class Stored(NamedTuple):
    """A record of a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes


class Worker(Service):
    """`python -m streams run`, or another package's."""

    def start_to_be_killed(self) -> None:
        """Start without waiting: it may have ended before it is asked."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._spawn()


class Rig:
    """Topics with four partitions, a producer of raw events, and any number of workers."""

    def __init__(self, home: Path, kafka: KafkaServer, topic_prefix: str) -> None:
        self.home = home
        self.settings = Settings.model_validate(
            {
                "kafka_bootstrap": kafka.bootstrap,
                "topic_prefix": topic_prefix,
                "partitions": PARTITIONS,
                "streams_chunk_records_max": 1_000,
                "streams_epoch_ms_max": 300,
            }
        )
        self.workers: list[Worker] = []
        self._admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        self._producer = Producer(producer_config(self.settings, linger_ms=5))
        # A fetch that waits for records would hold up every other request of the same connection.
        reading = {"bootstrap.servers": kafka.bootstrap, "fetch.wait.max.ms": 10}
        self._reader = Consumer(reading | {"group.id": "reader"})
        self._group = Consumer(reading | {"group.id": app_id(self.settings)})
        apply_topics(self.settings)

    def worker(self, package: str = "streams") -> Worker:
        """One more worker of the group, not started."""
        number = len(self.workers)
        # A static member that was killed is back at once; of another the group waits for the session to end.
        own = {"streams_admin_port": free_port(), "streams_instance_id": f"worker-{number}"}
        settings = self.settings.model_copy(update=own)
        found = Worker(package, self.home / f"worker-{number}", settings, settings.streams_admin_port)
        self.workers.append(found)
        return found

    # --- raw events

    def produce(self, pairs: Iterable[tuple[Any, bytes | None]], partition: int = -1) -> None:
        """Raw records by key, durable when it returns."""
        chosen = {} if partition < 0 else {"partition": partition}
        for key, value in pairs:
            while True:
                try:
                    self._producer.produce(self.settings.topic("raw_events"), value, key, **chosen)
                    break
                except BufferError:
                    self._producer.poll(0.1)
            self._producer.poll(0)
        assert self._producer.flush(WAIT_S) == 0

    def load(self, pairs: Sequence[tuple[Any, bytes]], seconds: float) -> "Load":
        """Produce them evenly over so many seconds, in a thread."""
        return Load(self, pairs, seconds)

    def expected(self) -> tuple[dict[Place, Row], dict[Place, DeadReason]]:
        """By the oracles: the rows kept, and the records that are dead."""
        kept: dict[Place, Row] = {}
        dead: dict[Place, DeadReason] = {}
        deduplicator = Deduplicator(rules(self.settings).dedup)
        for partition, offset, key, value in self.records("raw_events"):
            row = decode_record(key, value, RAW)
            if isinstance(row, DeadReason):
                dead[partition, offset] = row
                continue
            row |= {"key": key, "source_partition": partition, "source_offset": offset}
            if deduplicator.take(row) == "keep":
                kept[partition, offset] = row
        return kept, dead

    # --- what came of them

    def records(self, topic: str) -> list[Stored]:
        """Every record of a topic, partition by partition."""
        places = [TopicPartition(self.settings.topic(topic), partition) for partition in range(PARTITIONS)]
        ends = self._ends(places)
        self._reader.assign([TopicPartition(place.topic, place.partition, 0) for place in places])
        found: list[list[Stored]] = [[] for _ in places]
        while any((rows[-1].offset + 1 if rows else 0) < end for rows, end in zip(found, ends, strict=True)):
            for message in self._reader.consume(10_000, timeout=0.5):
                assert message.error() is None
                stored = Stored(message.partition(), message.offset(), message.key(), message.value())
                found[stored.partition].append(stored)
        self._reader.unassign()
        return [stored for rows in found for stored in rows]

    def _ends(self, places: Sequence[TopicPartition]) -> list[int]:
        return [self._reader.get_watermark_offsets(place, timeout=WAIT_S)[1] for place in places]

    def rows(self, topic: str) -> list[Row]:
        """The fields of every record of a topic, partition by partition, times in ms."""
        stored = self.records(topic)
        batch, indexes, invalid = Codec(topic, IDS).decode_columns([record.value for record in stored])
        assert not invalid
        rows: list[Row] = batch.to_pylist()
        for index, row in zip(indexes, rows, strict=True):
            row |= {name: in_ms(value) for name, value in row.items() if hasattr(value, "timestamp")}
            row |= {"topic_partition": stored[index].partition, "key": stored[index].key}
        return rows

    def past_the_watermark(self) -> list[Row]:
        """enriched_events as a sink takes them: at or below the highest source offset seen is a repeat."""
        reached = dict.fromkeys(range(PARTITIONS), -1)
        found = []
        for row in self.rows("enriched_events"):
            assert row["topic_partition"] == row["source_partition"]
            if row["source_offset"] > reached[row["source_partition"]]:
                reached[row["source_partition"]] = row["source_offset"]
                found.append(row)
        return found

    # --- the group

    def committed(self) -> dict[tuple[str, int], int]:
        """What the group has committed of both sources."""
        answers = self._group.committed(self._sources(), timeout=WAIT_S)
        return {(answer.topic, answer.partition): max(0, answer.offset) for answer in answers}

    def ends(self) -> dict[tuple[str, int], int]:
        """Where both sources end."""
        sources = self._sources()
        return {(place.topic, place.partition): end for place, end in zip(sources, self._ends(sources), strict=True)}

    def _sources(self) -> list[TopicPartition]:
        topics = (self.settings.topic("raw_events"), self.settings.topic("identity_claims"))
        return [TopicPartition(topic, partition) for topic in topics for partition in range(PARTITIONS)]

    @staticmethod
    def total(offsets: Mapping[tuple[str, int], int]) -> int:
        """Over all partitions."""
        return sum(offsets.values())

    def settle(self) -> None:
        """Return once everything is committed."""
        self.wait_until(lambda: self.committed() == self.ends(), "everything is committed")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Return once it holds. Fails with the logs of the workers."""
        give_up_at = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > give_up_at:
                logs = "\n".join(f"--- exit {worker.exit_code}\n{worker.log_tail(60)}" for worker in self.workers)
                raise AssertionError(f"after {WAIT_S:.0f} s still not: {what}\n{logs}")
            time.sleep(0.1)

    def sleep(self, seconds: float) -> None:
        """Let the workers work."""
        time.sleep(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.workers:
            worker.kill()
        self._reader.close()
        self._group.close()
        prefix = self.settings.topic_prefix
        assert prefix
        topics = [name for name in self._admin.list_topics(timeout=WAIT_S).topics if name.startswith(prefix)]
        for future in self._admin.delete_topics(topics).values():
            future.result(WAIT_S)


class Load:
    """Records produced evenly over some seconds, while something else happens."""

    def __init__(self, rig: Rig, pairs: Sequence[tuple[Any, bytes]], seconds: float, steps: int = 50) -> None:
        self._thread = threading.Thread(target=self._run, args=(rig, pairs, seconds, steps), daemon=True)
        self._error: BaseException | None = None
        self._thread.start()

    def _run(self, rig: Rig, pairs: Sequence[tuple[Any, bytes]], seconds: float, steps: int) -> None:
        size = -(-len(pairs) // steps)
        try:
            for start in range(0, len(pairs), size):
                rig.produce(pairs[start : start + size])
                time.sleep(seconds / steps)
        except BaseException as error:
            self._error = error

    def join(self) -> None:
        """Return when all is produced. Raises what the producing raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error


def in_ms(at: Any) -> int:
    """A time without a zone, which is UTC's, in ms since 1970."""
    ms: int = round(at.replace(tzinfo=UTC).timestamp() * 1_000)
    return ms
