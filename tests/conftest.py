"""The real servers, one of each for the whole test session and started by the first test that asks for it.

A server that does not start fails the tests that need it, with its last log lines: nothing is skipped.
"""

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from docker.local.clickhouse import ClickHouseServer
from docker.local.kafka import KafkaServer
from docker.local.prometheus import PrometheusServer
from docker.local.services import Pipeline
from schemas.settings import Settings

# Also of modules that hold no tests: a failed assertion there says what there was.
pytest.register_assert_rewrite(
    *(f"tests.{path.stem}" for path in Path(__file__).parent.iterdir() if path.stem[0] != "_")
)

from tests import effort, schedule, time_limits  # noqa: E402
from tests.fast import (  # noqa: E402, F401
    pytest_collection_finish,
    pytest_make_collect_report,
    pytest_runtest_call,
    pytest_runtest_protocol,
    pytest_runtest_teardown,
)
from tests.schedule import pytest_xdist_make_scheduler  # noqa: E402, F401

effort.register()


def pytest_configure(config: pytest.Config) -> None:
    """Its hooks have the names of those of `tests.fast`."""
    config.pluginmanager.register(time_limits)


KAFKA_HEAP_MB = 384  # a worker of the parallel run may have two at once


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command that a test runs in this process sets up logging for the stream of that test, which is closed then."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        for handler in [handler for handler in logging.root.handlers if type(handler) is logging.StreamHandler]:
            logging.root.removeHandler(handler)


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A running Kafka; clients connect to `.bootstrap`."""
    with KafkaServer(_home(tmp_path_factory, "kafka"), heap_mb=KAFKA_HEAP_MB, lives_minutes=True) as server:
        yield server


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """A running ClickHouse at `.host`, `.tcp_port`, `.http_port`."""
    with ClickHouseServer(_home(tmp_path_factory, "clickhouse")) as server:
        yield server


@pytest.fixture(scope="module")
def module_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """The Kafka behind `own_kafka`: a test asks for that."""
    with KafkaServer(tmp_path_factory.mktemp("own-kafka"), heap_mb=KAFKA_HEAP_MB, lives_minutes=True) as server:
        yield server


@pytest.fixture(scope="module")
def module_clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseServer]:
    """The ClickHouse behind `own_clickhouse`: a test asks for that."""
    with ClickHouseServer(tmp_path_factory.mktemp("own-clickhouse")) as server:
        yield server


@pytest.fixture
def own_kafka(module_kafka: KafkaServer) -> Iterator[KafkaServer]:
    """A Kafka that a test may suspend and end: the session's is shared. The module's next test finds it running."""
    yield module_kafka
    module_kafka.resume()
    module_kafka.start()


@pytest.fixture
def own_clickhouse(module_clickhouse: ClickHouseServer) -> Iterator[ClickHouseServer]:
    """A ClickHouse that a test may suspend and end: the session's is shared. The next test finds it running."""
    yield module_clickhouse
    module_clickhouse.resume()
    module_clickhouse.start()


@pytest.fixture(scope="session")
def prometheus_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """A running Prometheus at `.url`; give it something to scrape with `.configure(text)`."""
    with PrometheusServer(_home(tmp_path_factory, "prometheus")) as server:
        yield server


@pytest.fixture
def unique_name() -> str:
    """A short name no other test uses: good for groups, databases, projects."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def topic_prefix(unique_name: str) -> str:
    """Put before topic names, so that tests share one Kafka and no topic."""
    return f"{unique_name}_"


@pytest.fixture(scope="module")
def module_tables(clickhouse_server: ClickHouseServer) -> Iterator[Settings]:
    """Settings of a database of the module's own with all tables, dropped after its last test."""
    # Imported late: fast tests do without the driver.
    from schemas.apply.tables import apply_tables

    clickhouse_server.start()  # again, if it has crashed: that has failed one test, and is to fail no other
    settings = Settings.model_validate(
        {
            "clickhouse_host": clickhouse_server.host,
            "clickhouse_tcp_port": clickhouse_server.tcp_port,
            "clickhouse_http_port": clickhouse_server.http_port,
            "clickhouse_database": f"t{uuid.uuid4().hex[:10]}",
        }
    )
    apply_tables(settings)
    yield settings
    clickhouse_server.query(f"DROP DATABASE {settings.clickhouse_database} SYNC")


@pytest.fixture
def clickhouse_database(clickhouse_server: ClickHouseServer, unique_name: str) -> Iterator[str]:
    """The name of an empty database, dropped after the test."""
    clickhouse_server.start()  # again, if it has crashed: that has failed one test, and is to fail no other
    clickhouse_server.query(f"CREATE DATABASE {unique_name}")
    yield unique_name
    try:
        clickhouse_server.query(f"DROP DATABASE {unique_name} SYNC")
    except OSError:
        print(clickhouse_server.log_tail(200))
        raise


@pytest.fixture
def pipeline(
    kafka_server: KafkaServer,
    clickhouse_server: ClickHouseServer,
    clickhouse_database: str,
    topic_prefix: str,
    tmp_path: Path,
) -> Iterator[Pipeline]:
    """Collector, one streams worker and sinks, running, with topics, tables and a project of their own."""
    started = Pipeline(
        tmp_path, kafka_server, clickhouse_server, database=clickhouse_database, topic_prefix=topic_prefix
    )
    with started:
        yield started
        print(started.logs())  # shown beside a failure, and only there


def _home(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    return tmp_path_factory.mktemp(name)


_SERVERS = {
    "kafka_server", "own_kafka", "clickhouse_server", "own_clickhouse", "prometheus_server",
    "pipeline",
}  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for a server is an integration test; nobody has to remember the mark. Long files come first."""
    for item in items:
        if _SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.integration)
    items.sort(key=lambda item: schedule.turn(item.nodeid))
