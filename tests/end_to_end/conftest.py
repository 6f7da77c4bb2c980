"""One running pipeline for the module; each test has a project of its own in it."""

import uuid
from collections.abc import Iterator

import pytest

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from docker.local.services import Pipeline


@pytest.fixture(scope="module")
def running(
    kafka_server: KafkaServer, clickhouse_server: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    """Collector, one worker and sinks, with the geo databases that tests of places need left out."""
    # Each module's own, topics and tables alike: to the ledger, raw events of dropped tables would be lost.
    name = f"end_to_end_{uuid.uuid4().hex[:8]}"
    clickhouse_server.query(f"CREATE DATABASE {name}")
    home = tmp_path_factory.mktemp("pipeline")
    whole = Pipeline(
        home, kafka_server, clickhouse_server, database=name, topic_prefix=f"{name}_", sinks_ledger_interval_s=1
    )
    with whole as pipeline:
        yield pipeline
        print(pipeline.logs())  # shown beside a failure, and only there
    clickhouse_server.query(f"DROP DATABASE {name} SYNC")


@pytest.fixture
def shop(running: Pipeline) -> Pipeline:
    """The running pipeline with a fresh project of a fresh tenant: its write_key, project_id and tenant_id."""
    running.new_tenant()
    running.add_project("shop", settings='{"conversion_events":["Order Completed"]}')
    # The collector reads of it on a topic, after whoever wrote it.
    return running
