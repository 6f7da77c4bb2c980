"""What the integration tests of the sinks stand on."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from docker.local.process import free_port
from docker.local.services import Service
from schemas.apply_tables import apply_tables
from schemas.kafka import producer_config
from schemas.settings import Settings
from sinks.plan import Plan, decode
from tests.sinks.records import codec

WAIT_S = 60.0
PARTITIONS = 2


class Sink(Service):
    """`python -m sinks run TOPIC…` as a process."""

    def __init__(self, home: Path, settings: Settings, topics: Sequence[str], program: str) -> None:
        super().__init__(program, home, settings, settings.sinks_admin_port)
        self._topics = topics

    def command(self) -> list[str]:
        return [*super().command(), *self._topics]

    def wait_ended(self) -> int:
        """Its exit code, once it has one."""
        give_up_at = time.monotonic() + WAIT_S
        while (code := self.exit_code) is None:
            assert time.monotonic() < give_up_at, self.log_tail()
            time.sleep(0.05)
        return code


class Rig:
    """Topics with two partitions, tables, a producer."""

    def __init__(self, home: Path, clickhouse: ClickHouseServer, settings: Settings) -> None:
        self.home = home
        self.clickhouse = clickhouse
        self.settings = settings
        self.admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
        self._producer = Producer(producer_config(settings, linger_ms=0))
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
        for topic in ("enriched_events", "sessions", "identities", "projects", "dead_letters"):
            rig.create_topic(topic)
        apply_tables(settings)
        return rig

    def create_topic(self, topic: str) -> None:
        """One topic, without compaction, so that nothing vanishes during a test."""
        name = self.settings.topic(topic)
        self.admin.create_topics([NewTopic(name, PARTITIONS)])[name].result(30)

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
        """Durable when it returns."""
        name = self.settings.topic(topic)
        all_keys: Iterable[bytes | None] = keys if keys is not None else iter(lambda: None, 0)
        for value, key in zip(values, all_keys, strict=False):
            self._producer.produce(name, value, key, partition=partition)
        assert self._producer.flush(30) == 0

    def consume(self, topic: str) -> list[dict[str, Any]]:
        """Every record of a topic, decoded."""
        name = self.settings.topic(topic)
        consumer = Consumer({"bootstrap.servers": self.settings.kafka_bootstrap, "group.id": "test"})
        records: list[Any] = []
        for partition in range(PARTITIONS):
            low, high = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=15)
            consumer.assign([TopicPartition(name, partition, low)])
            records += consumer.consume(high - low, timeout=15) if high > low else []
        consumer.close()
        return [codec(topic).decode(record.value()) for record in records]

    def committed(self, topic: str) -> list[tuple[int, Plan | None]]:
        """Offset and plan of each partition."""
        consumer = Consumer({"bootstrap.servers": self.settings.kafka_bootstrap, "group.id": self._group(topic)})
        asked = [TopicPartition(self.settings.topic(topic), partition) for partition in range(PARTITIONS)]
        found = [(answer.offset, decode(answer.metadata)) for answer in consumer.committed(asked, timeout=15)]
        consumer.close()
        return found

    def found_group(self, topic: str = "enriched_events") -> None:
        """Have the group know itself at the beginning of the topic: so nothing that follows is in doubt."""
        consumer = Consumer({"bootstrap.servers": self.settings.kafka_bootstrap, "group.id": self._group(topic)})
        name, metadata = self.settings.topic(topic), Plan(None).encode()
        starts = [TopicPartition(name, partition, 0, metadata) for partition in range(PARTITIONS)]
        consumer.commit(offsets=starts, asynchronous=False)
        consumer.close()

    def reset_offsets(self, offset: int, topic: str = "enriched_events") -> None:
        """What `kafka-consumer-groups --reset-offsets` does; the group must have no members."""
        partitions = [TopicPartition(self.settings.topic(topic), partition, offset) for partition in range(PARTITIONS)]
        request = ConsumerGroupTopicPartitions(self._group(topic), partitions)
        for future in self.admin.alter_consumer_group_offsets([request]).values():
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
        give_up_at = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > give_up_at:
                logs = "\n".join(f"--- {sink.name} exit {sink.exit_code}\n{sink.log_tail()}" for sink in self._sinks)
                raise AssertionError(f"after {timeout_s:.0f} s still not, but {what()}\n{logs}")
            time.sleep(0.05)

    def wait_for_rows(self, count: int, table: str = "events") -> None:
        """Return once the table has at least so many rows."""
        self.wait_until(lambda: self.rows(table) >= count, lambda: self.rows(table))

    def wait_for_settlement(self, ends: Sequence[int], topic: str = "enriched_events") -> None:
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
        topics = [name for name in self.admin.list_topics(timeout=15).topics if name.startswith(self._prefix)]
        for future in self.admin.delete_topics(topics).values() if topics else ():
            future.result(30)

    def _group(self, topic: str) -> str:
        return f"{self._prefix}{self.settings.sinks_group}-{topic}"

    @property
    def _prefix(self) -> str:
        assert self.settings.topic_prefix
        return self.settings.topic_prefix
