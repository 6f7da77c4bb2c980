"""Settings for the contract on real servers."""

import pytest

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from schemas.settings import Settings


@pytest.fixture
def settings(
    kafka_server: KafkaServer, clickhouse_server: ClickHouseServer, clickhouse_database: str, topic_prefix: str
) -> Settings:
    """Topics and a database of the test's own, with two partitions."""
    return Settings.model_validate(
        {
            "kafka_bootstrap": kafka_server.bootstrap,
            "topic_prefix": topic_prefix,
            "partitions": 2,
            "clickhouse_host": clickhouse_server.host,
            "clickhouse_tcp_port": clickhouse_server.tcp_port,
            "clickhouse_http_port": clickhouse_server.http_port,
            "clickhouse_database": clickhouse_database,
        }
    )
