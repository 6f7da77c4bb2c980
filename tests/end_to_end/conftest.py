"""One running pipeline for the module; each test has a project of its own in it."""

from collections.abc import Iterator

import pytest

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from tests.pipeline import Pipeline


@pytest.fixture(scope="module")
def running(
    kafka_server: KafkaServer, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    """Collector, one worker and sinks, with the geo databases that tests of places need left out."""
    clickhouse_server.query("CREATE DATABASE end_to_end")
    home = tmp_path_factory.mktemp("pipeline")
    names = {"database": "end_to_end", "topic_prefix": "end_to_end_"}
    with Pipeline(home, kafka_server, clickhouse_server, **names, sinks_ledger_interval_s=1) as pipeline:
        yield pipeline
        print(pipeline.logs())  # shown beside a failure, and only there
    clickhouse_server.query("DROP DATABASE end_to_end SYNC")


@pytest.fixture
def shop(running: Pipeline) -> Pipeline:
    """The running pipeline with a fresh project of a fresh tenant: its write_key, project_id and tenant_id."""
    running.new_tenant()
    running.add_project("shop", "--settings", '{"conversion_events":["Order Completed"]}')
    return running
