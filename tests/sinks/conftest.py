"""One sink between the real servers: topics, tables, and processes that end with the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from docker.local.process import ServerProcess
from tests.sinks.rig import SinkRig


@pytest.fixture
def rig(
    tmp_path: Path,
    kafka_server: KafkaServer,
    clickhouse_server: ClickHouseServer,
    clickhouse_database: str,
    topic_prefix: str,
) -> Iterator[SinkRig]:
    """Topics and tables of this test, and no process yet; what it starts ends with the test."""
    rig = SinkRig.create(tmp_path, kafka_server, clickhouse_server, clickhouse_database, topic_prefix)
    yield rig
    rig.close()


@pytest.fixture
def outage_rig(
    tmp_path: Path, own_kafka: KafkaServer, own_clickhouse: ClickHouseServer, unique_name: str
) -> Iterator[SinkRig]:
    """The same between servers that the test may suspend and kill; its group knows itself at the beginning.

    However the test ends, its servers run again for the next one.
    """
    own_clickhouse.query(f"CREATE DATABASE {unique_name}")
    rig = SinkRig.create(tmp_path, own_kafka, own_clickhouse, unique_name, f"{unique_name}_")
    rig.found_group()
    yield rig
    for server in (own_kafka, own_clickhouse):
        _bring_back(server)
    rig.close()


def _bring_back(server: ServerProcess) -> None:
    server.resume()
    server.start()
