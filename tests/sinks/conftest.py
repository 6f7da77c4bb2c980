"""One sink between the real servers: topics, tables, and the process or its lane."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
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
