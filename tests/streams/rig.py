"""What the integration tests of streams stand on: topics, raw records with their oracle, workers as processes."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from docker.local.kafka import KafkaServer
from docker.local.process import free_port
from docker.local.services import Service
from schemas.apply.topics import apply_topics
from schemas.column_codec import ColumnCodec
from schemas.outcomes import DeadReason
from schemas.settings import Settings
from schemas.topics import streams_group
from schemas.whole_topic import Record
from streams.topology import rules
from tests.kafka import ANY_PARTITION, Kafka
from tests.streams.oracle import accounted
from tests.streams.raw import IDS, RAW
from tests.streams.readers import in_ms, past_the_watermark
from tests.streams.universe import Place, Row
from tests.waiting import wait_until

PARTITIONS: Final = 4
WAIT_S: Final = 120.0
_SOURCES: Final = ("raw_events", "identity_claims", "conversation_signals")


class WorkerProcess(Service):
    """`python -m streams run`, or another package's."""

    def start_to_be_killed(self) -> None:
        """Start without waiting: it may have ended before it is asked."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._spawn()

    def become(self, package: str) -> None:
        """From the next start on the same member of the group is of another release."""
        self._package = package


class StreamsRig:
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
                "streams_clock_ahead_s_max": 10**9,  # the events have times of their own, whatever day it is
            }
        )
        self.workers: list[WorkerProcess] = []
        self.kafka = Kafka(self.settings)
        apply_topics(self.settings)

    def worker(self, package: str = "streams", static: bool = True) -> WorkerProcess:
        """One more worker of the group, not started. static: a member that stays for a while when it has ended."""
        number = len(self.workers)
        # A static member that was killed is back at once; of another the group waits for the session to end.
        own = {"streams_admin_port": free_port(), "streams_instance_id": f"worker-{number}" if static else None}
        settings = self.settings.model_copy(update=own)
        found = WorkerProcess(package, self.home / f"worker-{number}", settings, settings.streams_admin_port)
        self.workers.append(found)
        return found

    # --- raw events

    def produce(self, pairs: Iterable[tuple[bytes | str | None, bytes | None]], partition: int = ANY_PARTITION) -> None:
        """Raw records by key, durable when it returns."""
        self.kafka.produce("raw_events", pairs, partition)

    def load(self, pairs: Sequence[tuple[bytes | str, bytes]], seconds: float) -> "BackgroundLoad":
        """Produce them evenly over so many seconds, again and again, in a thread, until its `end`."""
        return BackgroundLoad(self, pairs, seconds)

    def expected(self) -> tuple[dict[Place, Row], dict[Place, DeadReason]]:
        """By the oracles: the rows kept, and the records that are dead."""
        records = ((record.partition, record.offset, record.key, record.value) for record in self.records("raw_events"))
        return accounted(records, rules(self.settings).dedup, RAW)

    # --- what came of them

    def records(self, topic: str) -> list[Record]:
        """Every record of a topic, partition by partition."""
        return self.kafka.read(topic)

    def rows(self, topic: str) -> list[Row]:
        """The fields of every record of a topic, partition by partition, times in ms."""
        stored = self.records(topic)
        batch, indexes, invalid = ColumnCodec(topic, IDS).decode_columns([record.value or b"" for record in stored])
        assert not invalid
        rows: list[Row] = batch.to_pylist()
        for index, row in zip(indexes, rows, strict=True):
            row |= {name: in_ms(value) for name, value in row.items() if hasattr(value, "timestamp")}
            row |= {"topic_partition": stored[index].partition, "key": stored[index].key}
        return rows

    def past_the_watermark(self) -> list[Row]:
        """enriched_events as a sink takes them."""
        return past_the_watermark((row["topic_partition"], row) for row in self.rows("enriched_events"))

    # --- the group

    def committed(self) -> dict[tuple[str, int], int]:
        """What the group has committed of the sources."""
        group = self.settings.topic(streams_group(self.settings))
        return {
            (topic, answer.partition): max(0, answer.offset)
            for topic in _SOURCES
            for answer in self.kafka.committed(group, topic, self.settings.partitions)
        }

    def ends(self) -> dict[tuple[str, int], int]:
        """Where the sources end."""
        return {(topic, number): end for topic in _SOURCES for number, end in enumerate(self.kafka.ends(topic))}

    @staticmethod
    def total(offsets: Mapping[tuple[str, int], int]) -> int:
        """Over all partitions."""
        return sum(offsets.values())

    def catch_up(self) -> None:
        """Return once everything is committed."""
        self.wait_until(lambda: self.committed() == self.ends(), "everything is committed")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Return once it holds. Fails with the logs of the workers."""

        def logs() -> str:
            lives = (f"--- exit {worker.exit_code}\n{worker.log_tail(60)}" for worker in self.workers)
            return "\n".join([what, *lives])

        wait_until(condition, logs, timeout_s=WAIT_S, poll_s=0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.workers:
            worker.kill()
        self.kafka.close()


class BackgroundLoad:
    """Records produced evenly over some seconds, and then again, until told to end: something else happens meanwhile.

    What comes again are the same events, as SDKs send them that have lost an answer.
    """

    def __init__(
        self, rig: StreamsRig, pairs: Sequence[tuple[bytes | str, bytes]], seconds: float, steps: int = 50
    ) -> None:
        self._ending = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(rig, pairs, seconds / steps, steps), daemon=True)
        self._thread.start()

    def _run(self, rig: StreamsRig, pairs: Sequence[tuple[bytes | str, bytes]], pause_s: float, steps: int) -> None:
        size = -(-len(pairs) // steps)
        try:
            while True:
                for start in range(0, len(pairs), size):
                    rig.produce(pairs[start : start + size])
                    self._ending.wait(pause_s)
                if self._ending.is_set():
                    return
        except BaseException as error:
            self._error = error

    @property
    def is_alive(self) -> bool:
        """Whether records still come."""
        return self._thread.is_alive()

    def end(self) -> None:
        """Return when all are produced, the last pass to its end. Raises what the producing raised, or TimeoutError."""
        self._ending.set()
        self._thread.join(WAIT_S)
        if self._error is not None:
            raise self._error
        if self._thread.is_alive():
            raise TimeoutError(f"the load is not produced after {WAIT_S:.0f} s")
