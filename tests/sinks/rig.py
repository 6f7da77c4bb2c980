"""What the integration tests of the sinks stand on."""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, Self

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from docker.local.process import free_port
from docker.local.services import Service
from schemas.apply.tables import apply_tables
from schemas.settings import Settings
from sinks.batching.commit_metadata import CommitMetadata, decode
from tests.kafka import Kafka
from tests.sinks.records import codec
from tests.waiting import WAIT_S, wait_until

PARTITIONS = 2


class Sink(Service):
    """`python -m sinks run TOPIC…` as a process."""

    def __init__(self, home: Path, settings: Settings, topics: Sequence[str], program: str) -> None:
        super().__init__(program, home, settings, settings.sinks_admin_port)
        self._topics = topics

    def command(self) -> list[str]:
        return [*super().command(), *self._topics]

    def sample(self, name: str) -> float:
        """The same as `metric`; 0 also while nobody answers yet."""
        try:
            return self.metric(name)
        except OSError:
            return 0.0

    def wait_ended(self) -> int:
        """Its exit code, once it has one."""
        wait_until(lambda: self.exit_code is not None, self.log_tail)
        assert self.exit_code is not None
        return self.exit_code


class SinkRig:
    """Topics with two partitions, tables, a producer."""

    def __init__(self, home: Path, clickhouse: ClickHouseServer, settings: Settings) -> None:
        self.home = home
        self.clickhouse = clickhouse
        self.settings = settings
        self.kafka = Kafka(settings)
        self._sinks: list[Sink] = []

    @classmethod
    def create(
        cls, home: Path, kafka: KafkaServer, clickhouse: ClickHouseServer, database: str, topic_prefix: str
    ) -> Self:
        """Make the topics and tables."""
        settings = Settings.model_validate(
            {
                "kafka_bootstrap": kafka.bootstrap,
                "topic_prefix": topic_prefix,
                "partitions": PARTITIONS,
                "clickhouse_host": clickhouse.host,
                "clickhouse_tcp_port": clickhouse.tcp_port,
                "clickhouse_http_port": clickhouse.http_port,
                "clickhouse_database": database,
                "sinks_flush_age_ms_max": 200,
                "sinks_retry_ms_max": 500,
                "sinks_session_ms_max": 6_000,
            }
        )
        rig = cls(home, clickhouse, settings)
        for topic in ("enriched_events", "sessions", "identities", "identity_changes", "projects", "dead_letters"):
            rig.create_topic(topic)
        apply_tables(settings)
        return rig

    def create_topic(self, topic: str) -> None:
        """One topic with the rig's partitions."""
        self.kafka.create(topic, PARTITIONS)

    def sink(self, *topics: str, program: str = "sinks", **overrides: Any) -> Sink:
        """One more process, not started. `program`: a module that stands in for `sinks`."""
        number = len(self._sinks)
        # A static member comes back at once after a kill: else each would cost the session timeout.
        own = {"sinks_admin_port": free_port(), "sinks_instance_id": f"sink-{number}"}
        settings = self.settings.model_copy(update=own | overrides)
        sink = Sink(self.home / f"sink-{number}", settings, topics or ("enriched_events",), program)
        self._sinks.append(sink)
        return sink

    def produce(
        self, topic: str, values: Iterable[bytes | None], partition: int = 0, keys: Iterable[bytes] | None = None
    ) -> None:
        """Durable when it returns. Without keys the records have none."""
        self.kafka.produce(topic, zip(repeat(None) if keys is None else keys, values, strict=False), partition)

    def consume(self, topic: str) -> list[dict[str, Any]]:
        """Every record of a topic, decoded."""
        return [codec(topic).decode(record.value or b"") for record in self.kafka.read(topic)]

    def committed(self, topic: str) -> list[tuple[int, CommitMetadata | None]]:
        """Offset and plan of each partition."""
        answers = self.kafka.committed(self._group(topic), topic, PARTITIONS)
        return [(answer.offset, decode(answer.metadata)) for answer in answers]

    def found_group(self, topic: str = "enriched_events") -> None:
        """Have the group know itself at the beginning of the topic: so nothing that follows is in doubt."""
        self.kafka.commit(self._group(topic), topic, [0] * PARTITIONS, CommitMetadata(None).encode())

    def reset_offsets(self, offset: int, topic: str = "enriched_events") -> None:
        """What `kafka-consumer-groups --reset-offsets` does; the group must have no members."""
        partitions = [TopicPartition(self.settings.topic(topic), partition, offset) for partition in range(PARTITIONS)]
        request = ConsumerGroupTopicPartitions(self._group(topic), partitions)
        for future in self.kafka.admin.alter_consumer_group_offsets([request]).values():
            future.result(30)

    def query(self, sql: str) -> str:
        """One statement in the test's database."""
        return self.clickhouse.query(sql.replace("{db}", self.settings.clickhouse_database))

    def number(self, sql: str) -> int:
        """The answer of a query for one number."""
        return int(self.query(sql))

    def rows(self, table: str = "events") -> int:
        """How many rows stand in a table."""
        return self.number(f"SELECT count() FROM {{db}}.{table}")

    def sources(self) -> list[tuple[int, int, int]]:
        """(generation, partition, offset) of every row of events, sorted, repeats included."""
        answer = self.query(
            "SELECT source_generation, source_partition, source_offset FROM {db}.events ORDER BY ALL FORMAT TSV"
        )
        rows = [line.split("\t") for line in answer.splitlines()]
        return [(int(generation), int(partition), int(offset)) for generation, partition, offset in rows]

    def wait_until(self, condition: Callable[[], bool], what: Callable[[], object], timeout_s: float = WAIT_S) -> None:
        """Return once it holds. Fails with what is found instead and the logs."""

        def all_there_is() -> str:
            logs = "\n".join(f"--- {sink.name} exit {sink.exit_code}\n{sink.log_tail()}" for sink in self._sinks)
            return f"{what()}\n{logs}"

        wait_until(condition, all_there_is, timeout_s=timeout_s)

    def wait_for_word(self, sink: Sink, text: str, times: int = 1) -> None:
        """Return once the sink's log has said it so often since its start."""
        self.wait_until(lambda: sink.said(text) >= times, lambda: f"{sink.name} said {sink.said(text)} times: {text}")

    def shares(self, topic: str = "enriched_events") -> list[int]:
        """How many partitions each member of the group owns, as its coordinator sees it, the least first."""
        group = self._group(topic)
        found = self.kafka.admin.describe_consumer_groups([group])[group].result(30)
        return sorted(len(member.assignment.topic_partitions) for member in found.members)

    def wait_for_shares(self, *shares: int) -> None:
        """Return once the group of enriched_events has so many members with so many partitions each."""
        self.wait_until(lambda: self.shares() == sorted(shares), self.shares)

    def wait_for_rows(self, count: int, table: str = "events") -> None:
        """Return once the table has at least so many rows."""
        self.wait_until(lambda: self.rows(table) >= count, lambda: self.rows(table))

    def wait_for_acknowledgement(self, ends: Sequence[int], topic: str = "enriched_events") -> None:
        """Return once everything up to these offsets is acknowledged and nothing is planned."""
        self.wait_until(
            lambda: (
                [(offset, plan and plan.end) for offset, plan in self.committed(topic)] == [(end, None) for end in ends]
            ),
            lambda: self.committed(topic),
        )

    def close(self) -> None:
        """End what was started."""
        for sink in self._sinks:
            if sink.running:
                sink.kill()
        self.kafka.close()

    def _group(self, topic: str) -> str:
        return f"{self.settings.topic_prefix}{self.settings.sinks_group}-{topic}"
